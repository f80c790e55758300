"""Limits: a job that names one runs only while it holds one of the limit's places."""

from __future__ import annotations

import hashlib
from pathlib import Path

from portal.errors import BadJobFile
from portal.jobs import Job
from portal.spool.layout import Layout
from portal.spool.locks import Lock
from portal.spool.records import read, running_ids


class Backlog:
    """The jobs that limits hold back, as one worker remembers them: a limit is tried once a look, not once for each job that waits for it.

    It is a memory and no truth: a file that changed is read again, and every look finds out anew which limits are full.
    """

    def __init__(self) -> None:
        self.full: set[str] = set()
        """Limits that had no place free in the present look."""
        self._known: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {}
        self._met: set[str] = set()

    def begin(self) -> None:
        self.full, self._met = set(), set()

    def holds_back(self, path: Path) -> bool:
        """Tell, without reading the file, that its job waits for a limit that is full."""
        known = self._known.get(path.name)
        if known is None or self.full.isdisjoint(known[1]) or known[0] != stamp_of(path):
            return False
        self._met.add(path.name)
        return True

    def remember(self, path: Path, stamp: tuple[int, int], job: Job) -> None:
        """Take in a job that found no place; `stamp` is of before it was read."""
        self._known[path.name] = stamp, job.limits
        self._met.add(path.name)

    def end(self) -> None:
        """The look has met every job: forget those that are gone."""
        self._known = {name: known for name, known in self._known.items() if name in self._met}


def stamp_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def take(layout: Layout, job: Job, full: set[str] | None = None) -> list[Lock] | None:
    """Take a place of each limit of a job, in the order of their names; None, and nothing held, when one has no place free.

    Args:
        full: limits that are not tried, because they are full; gets the one that turns out to be.
    """
    full = set() if full is None else full
    held: list[Lock] = []
    for name in sorted(set(job.limits)):
        place = None if name in full else _take_place(layout, name, job.id)
        if place is None:
            full.add(name)
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
