"""Who wants to be told of a job, and when: the short form `CONNECTION:EVENT,…` and the follow-ups that it stands for. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from portal.errors import BadParameters
from portal.jobs import Followup, When

ENGINE = "notify"

EVENTS: dict[str, tuple[When, ...]] = {
    "failed": (When.FAILED, When.REJECTED), "partial": (When.PARTIAL,), "succeeded": (When.SUCCEEDED,), "cancelled": (When.CANCELLED,),
    "slower": (When.SLOWER,), "ended": (When.ALWAYS,),
}  # fmt: skip
"""What somebody can be told of, and what starts the follow-up that tells it."""

MEANINGS = {
    "failed": "it failed or was rejected", "partial": "it succeeded in part", "succeeded": "it succeeded", "cancelled": "it was cancelled",
    "slower": "it still runs though it usually would have ended", "ended": "it ended, however",
}  # fmt: skip
USUAL = ("failed", "partial")

_PRIORITY, _TIMEOUT_S, _ATTEMPTS = 1, 600.0, 12
"""News are told before other work is done, and tried for about an hour: 5 s after the first try, then twice as long each time, up to 15 minutes."""


@dataclass(frozen=True)
class Wish:
    """That a connection is told of these events, each a name of `EVENTS`, in their order."""

    connection: str
    events: tuple[str, ...] = USUAL

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `CONNECTION` or `CONNECTION:EVENT,…`. Raises BadParameters."""
        name, colon, listed = text.strip().rpartition(":") if ":" in text else (text.strip(), "", "")
        given = [word.strip() for word in listed.split(",") if word.strip()]
        unknown = [word for word in given if word not in EVENTS]
        if unknown or not name or (colon and not given):
            problem = f"{unknown[0]!r} is nothing to be told of" if unknown else "a connection and events are wanted"
            hint = f"Write CONNECTION, or CONNECTION:EVENT,… with {', '.join(EVENTS)}; alone it means {', '.join(USUAL)}."
            raise BadParameters(f"{text!r}: {problem}.", hint=hint)
        return cls.of(name, given or USUAL)

    @classmethod
    def of(cls, connection: str, events: Iterable[str]) -> Self:
        """The same from names; what another event includes is left out."""
        wanted = set(events)
        ends = {"slower", "ended"} if "ended" in wanted else set(EVENTS)
        return cls(connection, tuple(event for event in EVENTS if event in wanted & ends))

    def __str__(self) -> str:
        return f"{self.connection}:{','.join(self.events)}"

    def followups(self) -> list[Followup]:
        params = {"connection": self.connection}
        return [
            Followup(ENGINE, params, when, priority=_PRIORITY, timeout_s=_TIMEOUT_S, max_attempts=_ATTEMPTS)
            for event in self.events for when in EVENTS[event]
        ]  # fmt: skip


def followups(texts: Iterable[str]) -> list[Followup]:
    """Return the follow-ups that wishes stand for; those of one connection are brought together. Raises BadParameters."""
    wanted: dict[str, set[str]] = {}
    for wish in map(Wish.parse, texts):
        wanted.setdefault(wish.connection, set()).update(wish.events)
    return [item for name, events in wanted.items() for item in Wish.of(name, events).followups()]


def entries(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return the same as the JSON objects of a job's or a trigger's `then`. Raises BadParameters."""
    return [
        {"engine": item.engine, "params": dict(item.params), "when": item.when.value, "priority": item.priority, "timeout_s": item.timeout_s,
         "max_attempts": item.max_attempts} for item in followups(texts)
    ]  # fmt: skip


def renewed(then: Iterable[Mapping[str, Any]], texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the entries of a `then` with these wishes in place of those that it has for the same connections. Raises BadParameters."""
    named = {Wish.parse(text).connection for text in texts}
    others = [dict(item) for item in then if item.get("engine") != ENGINE or dict(item.get("params") or {}).get("connection") not in named]
    return [*others, *entries(texts)]


def parted(then: Sequence[Followup]) -> tuple[list[Wish], list[Followup]]:
    """Return the wishes among follow-ups, and those follow-ups that are of no wish."""
    found: dict[str, list[Followup]] = {}
    for item in then:
        name = item.params.get("connection")
        if item.engine == ENGINE and isinstance(name, str):
            found.setdefault(name, []).append(item)
    wishes = [wish for name, items in found.items() if (wish := _wish_of(name, items))]
    made = [item for wish in wishes for item in wish.followups()]
    return wishes, [item for item in then if _bare(item) not in made]


def _wish_of(name: str, items: list[Followup]) -> Wish | None:
    there = [_bare(item) for item in items]
    events = [event for event in EVENTS if all(item in there for item in Wish(name, (event,)).followups())]
    return Wish.of(name, events) if events else None


def _bare(item: Followup) -> Followup:
    """The follow-up as `Wish.followups` makes it: what a submit adds for a connection that was typed in is no part of a wish."""
    return item if item.engine != ENGINE else Followup(
        item.engine, dict(item.params), item.when, item.priority, item.timeout_s, item.max_attempts, limits=item.limits, then=item.then
    )  # fmt: skip
