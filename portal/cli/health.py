"""`health`: whether the queue is served, for people and for monitors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from portal import health as looks
from portal.cli.parsing import add_json, parser
from portal.cli.text import as_json
from portal.health import Finding, Health
from portal.settings import Settings

_ABOUT = """Tell whether the queue is served. Exit status 0 when it is, 1 when it is not, so that a monitor can ask.

It is not when no worker runs, when one hangs (it lives and has not gone round for long) or was stopped, when the disk is full, or when
jobs are overdue though a slot is free. A pause, a worker that is being drained and files that were set aside are told and do not make it unwell.
Let a monitor ask twice before it wakes somebody: after the machine has slept, jobs are overdue until a worker has gone round once."""


def health(arguments: list[str], settings: Settings) -> int:
    """Tell whether the queue is served."""
    made = parser("health", _ABOUT, "[--json]")
    add_json(made)
    given = made.parse_args(arguments)
    found = looks.look(settings)
    print(as_json(told(found)) if given.json else "\n".join(_lines(found)))
    return 0 if found.well else 1


def told(found: Health) -> dict[str, Any]:
    """Return the state of a queue as plain values."""
    return {
        "well": found.well, "problems": [asdict(item) for item in found.problems], "notes": [asdict(item) for item in found.notes],
        "counts": found.counts, "workers": [asdict(item) for item in found.workers], "disks": [asdict(item) for item in found.disks],
    }  # fmt: skip


def _lines(found: Health) -> Iterator[str]:
    living = [item for item in found.workers if item.alive]
    slots, busy = sum(item.slots for item in living), sum(item.running for item in living)
    jobs = ", ".join(f"{found.counts.get(name, 0)} {name}" for name in ("queued", "delayed", "running"))
    workers = f"{len(living)} worker{'' if len(living) == 1 else 's'}, {busy} of {slots} slots busy"
    yield f"{'well' if found.well else 'NOT WELL'}: {workers}; {jobs}"
    for word, items in (("problem", found.problems), ("note", found.notes)):
        for item in items:
            yield from _finding(word, item)


def _finding(word: str, item: Finding) -> Iterator[str]:
    yield f"{word}: {item.text}"
    if item.hint:
        yield f"  what to do: {item.hint}"
