"""The latest events of a trigger and what became of them: history.json, written by the service alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from portal.spool.layout import Layout

FILE = "history.json"
LATEST = 200

Outcome = Literal["submitted", "skipped", "missed", "refused"]


class Happened(BaseModel):
    """One event; moments are RFC 3339."""

    model_config = ConfigDict(frozen=True)

    event: str
    """Its name, by which it is known again."""
    due_at: str
    at: str
    """When it was handled."""
    outcome: Outcome
    """submitted: there is a job. skipped: the one before had not ended. missed: it passed while no worker ran. refused: no job can be made of it."""
    job: str | None = None
    reason: str = ""


class _History(BaseModel):
    """The file: the latest event last."""

    model_config = ConfigDict(frozen=True)

    uid: str = ""
    events: tuple[Happened, ...] = ()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return cls()


def events(layout: Layout, name: str) -> list[Happened]:
    """Return the latest events of a trigger, the last one first."""
    return list(reversed(_read(layout, name).events))


def _read(layout: Layout, name: str) -> _History:
    try:
        return _History.from_json((layout.triggers / name / FILE).read_bytes())
    except OSError:
        return _History()


def with_more(layout: Layout, name: str, uid: str, fresh: Sequence[Happened]) -> bytes:
    """Return what history.json holds when these events have happened; one that is in it already is told anew, where it stands."""
    known = _read(layout, name)
    kept = {item.event: item for item in (known.events if known.uid == uid else ())}
    kept |= {item.event: item for item in fresh}
    return (_History(uid=uid, events=tuple(kept.values())[-LATEST:]).model_dump_json(indent=1) + "\n").encode()
