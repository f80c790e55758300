"""What only the service writes about a trigger: how far it is, what it looked at last, what is wrong. Derived and small, kept in state.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portal import clock
from portal.spool.layout import Layout

FILE = "state.json"


class Problem(BaseModel):
    """What keeps a trigger from its work, for people; moments are RFC 3339."""

    model_config = ConfigDict(frozen=True)

    text: str
    since: str
    times: int = 1
    """How often in a row."""
    of: Literal["look", "event", "left"] = "look"
    """A look could not be taken, and is tried again; the last event could not become a job; or something lies there that no job can be made of."""

    def again(self, text: str) -> Self:
        return self.model_copy(update={"text": text, "times": self.times + 1})


class State(BaseModel):
    """The state of one trigger; moments are RFC 3339."""

    model_config = ConfigDict(frozen=True)

    uid: str = ""
    """Of the trigger that it is about: what a removed one of the same name left counts for nothing."""
    cursor: str | None = None
    """Of a schedule: the last due moment that was handled."""
    since: str = ""
    """The trigger's own `since` that the cursor takes account of: another one says that what passed before it does not count."""
    next_due: str | None = None
    """When a schedule is due next; None of other kinds, or when it never is."""
    looked_at: str | None = None
    """When it was looked at last, to a minute: the time of the file, which costs no write to tell."""
    jobs: tuple[str, ...] = ()
    """Ids of its jobs that had not ended when they were looked at last; one is written down before it is submitted."""
    problem: Problem | None = None
    told: Mapping[str, Any] = Field(default_factory=dict)
    """What its kind has to say, for people and for itself: files that wait, names that nobody can use, …"""

    def to_json(self) -> str:
        return self.model_dump_json(indent=1, exclude={"looked_at"}) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """A state that cannot be read is that of a trigger that has not been looked at: ids of jobs keep its events from being doubled."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return cls()


def state(layout: Layout, name: str) -> State:
    """Return the state of a trigger; an empty one when nobody has looked at it."""
    path = layout.triggers / name / FILE
    try:
        looked_at = clock.iso(path.stat().st_mtime_ns // 1_000_000)
        return State.from_json(path.read_bytes()).model_copy(update={"looked_at": looked_at})
    except OSError:
        return State()
