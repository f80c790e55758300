"""Limits: a job that names one runs only while it holds one of the limit's places.

A job names its limits itself (one writer for a target table); the operator limits a whole engine by giving `engine:NAME` places in PORTAL_LIMITS.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

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


class Backlog:
    """The jobs that limits and paused engines hold back, as one worker remembers them: a limit is tried once a look, not once for each job.

    It is a memory and no truth: a file that changed is read again, and every look finds out anew which limits are full and what is paused.
    """

    def __init__(self) -> None:
        self.full: set[str] = set()
        """Limits that had no place free in the present look."""
        self.paused: Collection[str] = ()
        """Engines that start nothing new in the present look."""
        self._known: dict[str, tuple[tuple[int, int], _Needs]] = {}
        self._met: set[str] = set()
        self._same: dict[_Needs, _Needs] = {}

    def begin(self, paused: Collection[str] = ()) -> None:
        self.full, self._met, self.paused = set(), set(), paused

    def holds_back(self, path: Path) -> bool:
        """Tell, without reading the file, that its job waits for a limit that is full or is of a paused engine."""
        known = self._known.get(path.name)
        if known is None or not self._blocks(known[1]) or known[0] != stamp_of(path):
            return False
        self._met.add(path.name)
        return True

    def _blocks(self, needs: _Needs) -> bool:
        return needs.engine in self.paused or not self.full.isdisjoint(needs.limits)

    def remember(self, path: Path, stamp: tuple[int, int], job: Job, needed: tuple[str, ...] | None = None) -> None:
        """Take in a job that is held back.

        Args:
            stamp: of its file, from before it was read.
            needed: its limits (`of`).
        """
        needs = _Needs(job.engine, job.limits if needed is None else needed)
        self._known[path.name] = stamp, self._same.setdefault(needs, needs)
        self._met.add(path.name)

    def end(self) -> None:
        """The look has met every job: forget those that are gone."""
        self._known = {name: known for name, known in self._known.items() if name in self._met}
        self._same = {needs: needs for _, needs in self._known.values()}


@dataclass(frozen=True, slots=True)
class _Needs:
    """What the start of a job may have to wait for."""

    engine: str
    limits: tuple[str, ...]


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
    for name in of(layout.settings, job):
        place = None if name in full else _take_place(layout, name, job.id)
        if place is None:
            full.add(name)
            release(held)
            return None
        held.append(place)
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
        if _in_use(layout, name, job_id) < room:
            return place
        place.release()
        return None
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
