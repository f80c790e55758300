"""Where one trigger's files lie, for the service: what it may read and write of it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from portal import clock
from portal.durable import publish, sync_folder
from portal.spool.layout import Layout
from portal.triggers import history, state
from portal.triggers.history import Happened
from portal.triggers.state import State

DEFINITION, ASKED, BATCHES = "trigger.json", "asked", "batches"
SERVICE_LOCK, BELL, WANTED, REMOVED = ".lock", ".bell", ".wanted", ".removed-"
"""Names in queue/triggers/ that are no trigger: the service's lock, what wakes it, that it is needed without a trigger, what was removed."""

_TOLD_EVERY_MS = 60_000


@dataclass(frozen=True)
class Asked:
    """That somebody wants a trigger to run now; `key` is of this request and no other."""

    by: str
    at: str
    key: str


@dataclass
class TriggerFolder:
    """The folder of one trigger. Only the service changes what is in it, one look at a time; who asks and edits is `portal.triggers.book`."""

    layout: Layout
    name: str
    uid: str
    place: Path | None = None
    """Where it lies, when it was removed and only what it began is being ended."""

    @cached_property
    def path(self) -> Path:
        return self.place or self.layout.triggers / self.name

    @cached_property
    def state(self) -> State:
        """What was saved last; `change` replaces it."""
        found = state.state(self.layout, self.path.name)
        return found if found.uid in ("", self.uid) else State()

    def change(self, **values: Any) -> State:
        """Replace fields of the state, durably, if that changes anything. Raises FileNotFoundError when the trigger is gone."""
        fresh = self.state.model_copy(update={**values, "uid": self.uid})
        if fresh != self.state:
            fresh = fresh.model_copy(update={"looked_at": clock.iso(clock.now_ms())})
            self._write(state.FILE, fresh.to_json().encode())
            self.state = fresh
        return self.state

    def looked(self, now_ms: int) -> None:
        """Have it known that it was looked at, not oftener than people care. Raises FileNotFoundError when the trigger is gone."""
        before = clock.parse_ms(self.state.looked_at) if self.state.looked_at else 0
        if 0 <= now_ms - before < _TOLD_EVERY_MS:
            return
        if self.state.uid != self.uid:
            self.change()
        else:
            os.utime(self.path / state.FILE)
            self.state = self.state.model_copy(update={"looked_at": clock.iso(now_ms)})

    def tell(self, *fresh: Happened) -> None:
        """Add events to the history, durably. Raises FileNotFoundError when the trigger is gone."""
        self._write(history.FILE, history.with_more(self.layout, self.path.name, self.uid, fresh))

    def _write(self, name: str, data: bytes) -> None:
        publish(self.path / name, data, self.layout.tmp, replace=True)

    def asked(self) -> Asked | None:
        """Return the request to run now that nobody has answered yet."""
        try:
            data: Any = json.loads((self.path / ASKED).read_bytes())
            return Asked(str(data["by"]), clock.iso(clock.parse_ms(data["at"])), str(data["key"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            (self.path / ASKED).unlink(missing_ok=True)  # nobody's: it was not written by the portal
            return None

    def answered(self, asked: Asked) -> None:
        """Forget a request that has been done, durably; another one that came meanwhile stays."""
        if self.asked() == asked:
            (self.path / ASKED).unlink(missing_ok=True)
            sync_folder(self.path)

    @property
    def batches(self) -> Path:
        """Folder of what is under way and must be ended whatever happens to the trigger; it may not be there yet, see `make_batches`."""
        return self.path / BATCHES

    def make_batches(self) -> Path:
        """Make that folder, durably. Raises FileNotFoundError when the trigger is gone: nothing may be begun any more."""
        if not self.batches.is_dir():
            self.batches.mkdir(exist_ok=True)
            sync_folder(self.path)
        return self.batches
