"""Deleting at the target of a mirror what no source names. What is to be deleted is settled on disk before the first one goes: an attempt that is
cut off is gone on with, and every deletion has its row in the ledger."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from portal.durable import sync_folder
from portal.errors import PortalError, explain
from portal.ledger.journal import Journal
from portal.planning import extras
from portal.planning.extras import Extra
from portal.planning.looking import Looker, each
from portal.wire.ends import End

SETTLED_FILE = ".deleting.csv"
_DELETERS = 8
_NO_ENTRY = -1
"""The journal's number of an object that the plan does not have."""
_SHOWN = 20


@dataclass
class Deleted:
    """What there is to say of deletions; how many went well is in the ledger."""

    notes: list[str] = field(default_factory=list)
    failed: int = 0


class Deletions:
    """Deletes the objects of an extras file, each only as it was listed.

    Args:
        folder: of the job
        opened: opens an end to the target
        check: called often, and may raise Cancelled
    """

    def __init__(self, folder: Path, path: Path, journal: Journal, opened: Callable[[], End], check: Callable[[], None]) -> None:
        self._settled, self._extras, self._journal, self._opened, self._check = folder / SETTLED_FILE, path, journal, opened, check

    @property
    def begun(self) -> bool:
        """An earlier attempt of this job settled what is to be deleted, and perhaps deleted some."""
        return self._settled.exists()

    def run(self) -> Deleted:
        """Delete. Raises Cancelled."""
        if not self.begun:
            self._settle()
        deleted = (columns for columns in self._journal.rows() if _NO_ENTRY in columns["n"])
        done = {key for columns in deleted for key, n in zip(columns["target_key"], columns["n"], strict=True) if n == _NO_ENTRY}
        looker = Looker(self._opened, self._check)
        told = Deleted()
        try:
            left = (extra for extra in extras.read(self._settled) if extra.key not in done)
            for reason in filter(None, each(left, partial(self._delete, looker), _DELETERS)):
                told.failed += 1
                told.notes += [f"could not be deleted: {reason}"] * (told.failed <= _SHOWN)
        finally:
            looker.close()
        return told

    def _settle(self) -> None:
        fresh = self._settled.with_name(f"{self._settled.name}.fresh")
        shutil.copyfile(self._extras, fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(self._settled)
        sync_folder(self._settled.parent)

    def _delete(self, looker: Looker, extra: Extra) -> str:
        try:
            looker.delete(extra.key, extra.etag)
        except PortalError as error:
            return f"{extra.key}: {explain(error)}"
        row = {
            "n": _NO_ENTRY, "outcome": "deleted", "source_key": None, "source_size": None, "source_etag": None, "target_key": extra.key,
            "target_size": extra.size_bytes, "target_etag": extra.etag, "reason": "no source names it",
        }  # fmt: skip
        self._journal.end({name: [value] for name, value in row.items()})
        return ""
