"""Events: their names, the id of the job of each, and parameters that quote them. No I/O.

A parameter quotes what is known of its event by a JSON pointer (RFC 6901): `{"$event": "/source"}`. A moment takes a form and a shift, too:
`{"$event": "/due_at", "format": "s3://sales/%Y/%m/%d/", "days": -1}`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from portal import clock
from portal.errors import BadParameters
from portal.jobs import derived_id

QUOTE = "$event"
FACTS: dict[str, dict[str, str]] = {
    "cron": {
        "due_at": "the moment of the schedule", "previous_due_at": "the moment of the schedule before it", "at": "the same as due_at",
        "name": "name of the trigger", "event": "name of the event",
    },
    "folder": {
        "source": "URL of the folder that the files of this job were moved to", "files": "how many there are", "bytes": "their size together",
        "at": "the moment they were taken", "name": "name of the trigger", "event": "name of the event",
    },
    "sqs": {
        "queue": "name or URL of the queue", "waiting": "messages that waited, about", "at": "the moment that was seen",
        "name": "name of the trigger", "event": "name of the event",
    },
}  # fmt: skip
"""What can be quoted of an event, by kind of trigger, with what it is."""

MOMENTS = frozenset({"due_at", "previous_due_at", "at"})
"""Facts that are moments: RFC 3339 in UTC, unless a form is asked for."""

_WORDS = {QUOTE, "format", "days", "hours"}


@dataclass(frozen=True)
class Event:
    """One event of a trigger.

    Args:
        name: tells it apart from every other event of the trigger, for ever.
        moment_ms: of the event; the id of its job begins with it.
        facts: what parameters may quote (`FACTS`); `name`, `event` and `at` are added.
        job_id: the id of its job where that was chosen before; None: it follows from the trigger and the event.
        not_before: earliest start of its job, RFC 3339.
    """

    name: str
    moment_ms: int
    facts: Mapping[str, Any]
    job_id: str | None = None
    not_before: str | None = None


def job_id(uid: str, event: str, moment_ms: int) -> str:
    """Return the id of the job of an event: always the same one, so that submitting it again changes nothing."""
    order = int.from_bytes(hashlib.sha256(event.encode()).digest()[:2], "big")
    return derived_id(f"{uid}/{event}", order, moment_ms)


def all_facts(trigger: str, event: Event) -> dict[str, Any]:
    return {"at": clock.iso(event.moment_ms), **event.facts, "name": trigger, "event": event.name}


def is_quote(value: Any) -> bool:
    """Tell whether a value of a parameter quotes the event."""
    return isinstance(value, Mapping) and QUOTE in value


def quotes(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every quote in a value."""
    if is_quote(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from quotes(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from quotes(item)


def resolve(value: Any, facts: Mapping[str, Any], zone: str = "UTC") -> Any:
    """Replace each quote in a value by what it names, keeping the type of that; a moment with a form becomes text in `zone`.

    Raises:
        BadParameters: a quote is none, or names what is not known of the event.
    """
    if is_quote(value):
        return _quoted(value, facts, zone)
    if isinstance(value, Mapping):
        return {name: resolve(item, facts, zone) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, facts, zone) for item in value]
    return value


def _quoted(quote: Mapping[str, Any], facts: Mapping[str, Any], zone: str) -> Any:
    if strange := sorted(set(quote) - _WORDS):
        raise BadParameters(f"A quote of the event has no {strange[0]!r}; it may have {', '.join(sorted(_WORDS))}.")
    pointer = quote[QUOTE]
    name = pointer.removeprefix("/") if isinstance(pointer, str) and pointer.startswith("/") else ""
    if name not in facts:
        known = ", ".join(f"/{item}" for item in sorted(facts))
        raise BadParameters(f"{pointer!r} is nothing that is known of the event.", hint=f"Quote one of {known}.")
    if len(quote) == 1:
        return facts[name]
    if name not in MOMENTS:
        raise BadParameters(f"{pointer} is no moment: it takes no format, days or hours.")
    return _formed(quote, facts[name], zone)


def _formed(quote: Mapping[str, Any], moment: str, zone: str) -> str:
    form, days, hours = quote.get("format"), quote.get("days", 0), quote.get("hours", 0)
    if form is not None and not isinstance(form, str):
        raise BadParameters(f"The format of {quote[QUOTE]} is {form!r}; it must be a text like %Y-%m-%d.")
    if isinstance(days, bool) or not isinstance(days, int) or isinstance(hours, bool) or not isinstance(hours, int | float):
        raise BadParameters(f"days and hours of {quote[QUOTE]} must be numbers, days whole ones.")
    try:
        local = datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)) + timedelta(days=days)  # the same time of another day
        shifted = (local.astimezone(UTC) + timedelta(hours=hours)).astimezone(ZoneInfo(zone))
        return clock.iso(round(shifted.timestamp() * 1000)) if form is None else _text(shifted, form)
    except (OverflowError, ValueError) as error:
        raise BadParameters(f"{quote[QUOTE]} cannot be written as {form!r} with days={days}, hours={hours}: {error}.") from None


def _text(moment: datetime, form: str) -> str:
    text = moment.strftime(form)
    if "%" in form and text == form:
        raise ValueError("the form names nothing of a moment")
    return text
