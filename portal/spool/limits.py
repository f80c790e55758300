"""Limits: a job that names one runs only while it holds one of the limit's places.

A job names its limits itself (one writer for a target table); the operator limits a whole engine by giving `engine:NAME` places in PORTAL_LIMITS.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from portal.errors import BadJobFile
from portal.jobs import Job
from portal.settings import Settings
from portal.spool.layout import Layout
from portal.spool.locks import Lock
from portal.spool.records import read, running_ids

_ENGINE = "engine:"
_WAITING_READ = 1000


def of(settings: Settings, job: Job) -> tuple[str, ...]:
    """Return the limits that a job needs a place of, in the order in which they are taken."""
    own = f"{_ENGINE}{job.engine}"
    return tuple(sorted({*job.limits, own} if own in settings.limits else {*job.limits}))


def places(settings: Settings, name: str) -> int:
    """Return how many jobs may hold a limit at once."""
    return settings.limits.get(name, 1)


def take(layout: Layout, job: Job, full: set[str] | None = None) -> list[Lock] | None:
    """Take a place of each limit of a job, in the order of their names; None, and nothing held, when one has no place free.

    Args:
        full: limits that are not tried, because they are full; gets the one that turns out to be.
    """
    full = set() if full is None else full
    held: list[Lock] = []
    try:
        for name in of(layout.settings, job):
            place = None if name in full else _take_place(layout, name, job.id)
            if place is None:
                full.add(name)
                release(held)
                return None
            held.append(place)
    except BaseException:
        release(held)  # a place that this process keeps by mistake is lost for as long as it lives
        raise
    return held


def release(held: list[Lock]) -> None:
    for place in held:
        place.release()


def _take_place(layout: Layout, name: str, job_id: str) -> Lock | None:
    room = places(layout.settings, name)
    stem = hashlib.sha256(name.encode()).hexdigest()[:32]
    for number in range(room):
        place = Lock.take(layout.limits / f"{stem}.{number}")
        if place is None:
            continue
        # A dead runner frees its place at once, but what it started may still write until recovery has ended it: its record counts.
        free = False
        try:
            free = _in_use(layout, name, job_id) < room
        finally:
            if not free:
                place.release()
        return place if free else None
    return None


def _in_use(layout: Layout, name: str, but: str) -> int:
    return sum(job_id != but for job_id in holders(layout).get(name, ()))


def holders(layout: Layout) -> dict[str, list[str]]:
    """Return the ids of the running jobs by the limits that they hold."""
    found: dict[str, list[str]] = {}
    for job_id in running_ids(layout):
        for name in _limits(layout, job_id):
            found.setdefault(name, []).append(job_id)
    return found


def _limits(layout: Layout, job_id: str) -> tuple[str, ...]:
    try:
        job = read(layout.record(job_id))
    except BadJobFile:
        return ()
    return of(layout.settings, job) if job else ()


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How a limit is used at one moment."""

    name: str
    places: int
    held_by: tuple[str, ...]
    """Ids of the running jobs that hold a place."""
    waiting: int
    """Jobs at the head of the queue that need a place of it."""
    all_counted: bool
    """False when the queue is longer than what was read for `waiting`."""


def uses(layout: Layout, waiting: Iterable[Job]) -> list[LimitUse]:
    """Return the limits that are configured, held or waited for, by name.

    Args:
        waiting: the jobs that wait, of which no more than a thousand are read.
    """
    queue = iter(waiting)
    held, needed = holders(layout), Counter(name for job in islice(queue, _WAITING_READ) for name in of(layout.settings, job))
    whole = next(queue, None) is None
    known = sorted({*layout.settings.limits, *held, *needed})
    return [LimitUse(name, places(layout.settings, name), tuple(held.get(name, ())), needed[name], whole) for name in known]
