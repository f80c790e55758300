"""Limits: a job that names one runs only while it holds one of the limit's places."""

from __future__ import annotations

import hashlib

from portal.errors import BadJobFile
from portal.jobs import Job
from portal.spool.layout import Layout
from portal.spool.locks import Lock
from portal.spool.records import read, running_ids


def take(layout: Layout, job: Job) -> list[Lock] | None:
    """Take a place of each limit of a job, in the order of their names; None, and nothing held, when one has no place free."""
    held: list[Lock] = []
    for name in sorted(set(job.limits)):
        place = _take_place(layout, name, job.id)
        if place is None:
            release(held)
            return None
        held.append(place)
    return held


def release(places: list[Lock]) -> None:
    for place in places:
        place.release()


def _take_place(layout: Layout, name: str, job_id: str) -> Lock | None:
    places = layout.settings.limits.get(name, 1)
    stem = hashlib.sha256(name.encode()).hexdigest()[:32]
    for number in range(places):
        place = Lock.take(layout.limits / f"{stem}.{number}")
        if place is None:
            continue
        # A dead runner frees its place at once, but what it started may still write until recovery has ended it: its record counts.
        if _in_use(layout, name, job_id) < places:
            return place
        place.release()
        return None
    return None


def _in_use(layout: Layout, name: str, but: str) -> int:
    return sum(name in _limits(layout, job_id) for job_id in running_ids(layout) if job_id != but)


def _limits(layout: Layout, job_id: str) -> tuple[str, ...]:
    try:
        job = read(layout.record(job_id))
    except BadJobFile:
        return ()
    return job.limits if job else ()
