"""What each field of a job file may hold: its type, and what its value has to be. No I/O; standard library only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from portal import clock
from portal.errors import BadJobFile

PRIORITIES = range(10)

ID_PATTERN = re.compile(r"[0-6][0-9A-HJKMNP-TV-Z]{25}")
"""A ULID in Crockford's base 32, upper case (https://github.com/ulid/spec), of a year that a calendar has (before 9775)."""

LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""

HINT = "Submit jobs with the launcher or `python -m portal submit`; a file written by hand must be complete before it is renamed into queue/."

DEEPEST = 60
"""Levels of lists and objects in a job file: nobody means more, and every reader recurses."""


def is_deep(data: Any) -> bool:
    """Tell whether JSON data is nested deeper than a job file may be."""
    level: list[Any] = [data]
    for _ in range(DEEPEST):
        level = [item for held in level if isinstance(held, dict | list) for item in (held.values() if isinstance(held, dict) else held)]
        if not level:
            return False
    return True


TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,), "engine": (str,), "params": (dict,), "submitted_at": (str,), "submitted_by": (str,), "priority": (int,),
    "not_before": (str, type(None)), "timeout_s": (int, float, type(None)), "key": (str, type(None)), "then": (list,),
    "parent": (str, type(None)), "retry_of": (str, type(None)), "labels": (dict,), "limits": (list,), "sealed": (str, type(None)),
    "status": (str,), "attempts": (list,), "interruptions": (int,), "result": (dict, type(None)), "error": (str, type(None)),
    "finished_at": (str, type(None)), "artefacts": (list,), "schema": (int,), "when": (str,),
    "max_attempts": (int, type(None)),
    "number": (int,), "worker": (str,), "host": (str,), "started_at": (str,), "pid": (int, type(None)), "process_started": (str, type(None)),
    "exit_code": (int, type(None)), "outcome": (str, type(None)), "peak_memory_bytes": (int, type(None)), "cpu_s": (int, float, type(None)),
    "output_lost_bytes": (int, type(None)),
}  # fmt: skip


def _is_moment(value: str) -> bool:
    try:
        return 0 <= clock.parse_ms(value) <= LATEST_MS
    except (ValueError, OverflowError):
        return False


_MOMENT = (_is_moment, "a moment like 2026-11-21T10:58:31.123Z")
_ID = (lambda value: ID_PATTERN.fullmatch(value) is not None, "the id of a job")  # the engine looks into the folder of that name
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "priority": (lambda value: value in PRIORITIES, "0 (most urgent) to 9"), "parent": _ID, "retry_of": _ID,
    "submitted_at": _MOMENT, "not_before": _MOMENT, "finished_at": _MOMENT, "started_at": _MOMENT,
    "timeout_s": (lambda value: 0 < value < 1e9, "a number of seconds above 0"),
    "max_attempts": (lambda value: value >= 1, "1 or more"),
    "interruptions": (lambda value: value >= 0, "0 or more"),
    "number": (lambda value: value >= 1, "1 or more"),
    "limits": (lambda value: all(isinstance(item, str) for item in value), "a list of names"),
    "labels": (lambda value: all(isinstance(item, str) for item in value.values()), "an object of texts"),
    "artefacts": (lambda value: all(isinstance(item, dict) for item in value), "a list of objects"),
}  # fmt: skip


def checked(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the fields of an object. Raises BadJobFile on one that nobody knows, or whose type or value cannot be."""
    if unknown := data.keys() - known:
        raise BadJobFile(f"Nobody knows the field {min(unknown)!r} of a job.", hint=HINT)
    for name, value in data.items():
        if type(value) not in TYPES[name] or (value is not None and name in _RULES):
            _check(name, value)
    return dict(data)


def _check(name: str, value: Any) -> None:
    allowed = TYPES.get(name, (object,))
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise BadJobFile(f"{name!r} is {value!r}; it must be {' or '.join(kind.__name__ for kind in allowed)}.", hint=HINT)
    if name in _RULES and value is not None and not _RULES[name][0](value):
        raise BadJobFile(f"{name} is {value!r}; it must be {_RULES[name][1]}.", hint=HINT)
