"""Finds the jobs a page shows: those alive first, then the archive, newest first, never reading more than is shown or looked for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

from portal.errors import BadJobFile
from portal.jobs import Job, Status
from portal.spool import Spool, records
from portal.triggers.trigger import NAME_LABEL

PAGE_SIZE = 50
_MOST_ALIVE = 5_000
_BUDGET_S = 1.5
LONGEST_DAYS = 3_650


@dataclass(frozen=True)
class Filters:
    """What a person asked for; the empty value of each asks for everything."""

    statuses: tuple[str, ...] = ()
    engine: str = ""
    owner: str = ""
    text: str = ""
    days: int = 30
    trigger: str = ""

    @property
    def wants_alive(self) -> bool:
        return not self.statuses or any(not Status(name).finished for name in self.statuses)

    @property
    def wants_finished(self) -> bool:
        return not self.statuses or any(Status(name).finished for name in self.statuses)

    @property
    def picks(self) -> bool:
        """True when a job must be read to know whether it fits."""
        return bool(self.statuses or self.engine or self.owner or self.text or self.trigger)

    @property
    def since(self) -> date:
        return datetime.now(UTC).date() - timedelta(days=min(self.days, LONGEST_DAYS) - 1)

    def fits(self, job: Job) -> bool:
        if self.statuses and job.status.value not in self.statuses:
            return False
        if (self.engine and job.engine != self.engine) or (self.owner and job.submitted_by != self.owner):
            return False
        if self.trigger and job.labels.get(NAME_LABEL) != self.trigger:
            return False
        return not self.text or self.text.casefold() in _searched(job)


def _searched(job: Job) -> str:
    values = (value for value in job.params.values() if isinstance(value, str))
    return "\n".join((job.id, job.name, job.engine, job.submitted_by, job.error or "", *values)).casefold()


@dataclass(frozen=True)
class Found:
    """One page of jobs. `searched_to` is the day (UTC) at which the search stopped early: nothing older was looked at."""

    jobs: tuple[Job, ...]
    more: bool = False
    searched_to: str | None = None


def alive(spool: Spool, filters: Filters, limit: int | None = None) -> list[Job]:
    """Running jobs, the latest first, then waiting ones in the order they will start; at most `limit`, and no more are read than that takes."""
    if not filters.wants_alive:
        return []
    waiting = islice(spool.each_waiting(), _MOST_ALIVE)
    return list(islice((job for job in chain(_running(spool), waiting) if filters.fits(job)), limit))


def _running(spool: Spool) -> list[Job]:
    return sorted(spool.running(), key=lambda job: job.id, reverse=True)


def _alive_page(spool: Spool, filters: Filters, start: int, wanted: int) -> tuple[list[Job], int]:
    """At most `wanted` of the jobs alive after the first `start`, and how many there are (at least, when more than those asked for fit).

    Without filters those before are never opened: their names are enough.
    """
    if filters.picks:
        living = alive(spool, filters, start + wanted)
        return living[start:], len(living)
    running, waiting = _running(spool), len(spool.waiting_ids())
    after = islice(spool.each_waiting(max(0, start - len(running))), wanted)
    return list(islice(chain(running[start:], after), wanted)), len(running) + waiting


def finished(spool: Spool, filters: Filters, skip: int, wanted: int, *, budget_s: float = _BUDGET_S) -> Found:
    """Finished jobs, newest first: at most `wanted` after the first `skip` that fit.

    Without filters those skipped are never opened: their names are enough.
    """
    if not filters.wants_finished or wanted <= 0:
        return Found(())
    if filters.picks:
        return _remembered(spool, filters, skip, wanted, budget_s, _mark(spool))
    return _search(spool, filters, skip, wanted, budget_s)


def _mark(spool: Spool) -> tuple[date, tuple[int, ...]]:
    """Changes when a job is archived; cheap to ask. Records themselves never change."""
    today = datetime.now(UTC).date()
    folders = (spool.layout.day(day) for day in (today, today - timedelta(days=1)))
    return today, tuple(folder.stat().st_mtime_ns if folder.exists() else 0 for folder in folders)


@lru_cache(maxsize=32)
def _remembered(spool: Spool, filters: Filters, skip: int, wanted: int, budget_s: float, mark: object) -> Found:
    """A search that opens records; a page that looks every two seconds must not open thousands each time for the same answer."""
    return _search(spool, filters, skip, wanted, budget_s)


def _search(spool: Spool, filters: Filters, skip: int, wanted: int, budget_s: float) -> Found:
    found: list[Job] = []
    stop_at = time.monotonic() + budget_s
    for path in islice(_records(spool, filters), 0 if filters.picks else skip, None):
        job = _read(path)
        if job and filters.fits(job):
            if filters.picks and skip:
                skip -= 1
            elif len(found) == wanted:
                return Found(tuple(found), more=True)
            else:
                found.append(job)
        if time.monotonic() > stop_at:
            return Found(tuple(found), searched_to="/".join(path.parts[-4:-1]).replace("/", "-"))
    return Found(tuple(found))


def _records(spool: Spool, filters: Filters) -> Iterator[Path]:
    """The archive records of the period, newest day first, the latest submitted first; named, not read."""
    for day in reversed(spool.archive_folders()):
        if day >= filters.since:
            folder = spool.layout.day(day)
            yield from (folder / f"{job_id}.json" for job_id in reversed(spool.archived_ids(day)))


def _read(path: Path) -> Job | None:
    """One record; None for one that nobody can read (the audit page shows those)."""
    try:
        return records.read(path)
    except BadJobFile:
        return None


def page(spool: Spool, filters: Filters, number: int) -> Found:
    """Return a page of jobs, counted from 1: those alive, then finished ones."""
    start = (number - 1) * PAGE_SIZE
    living, count = _alive_page(spool, filters, start, PAGE_SIZE + 1)
    shown: Sequence[Job] = living[:PAGE_SIZE]
    rest = finished(spool, filters, max(0, start - count), PAGE_SIZE - len(shown))
    more = rest.more or len(living) > PAGE_SIZE or (len(shown) == PAGE_SIZE and filters.wants_finished)
    return Found((*shown, *rest.jobs), more, rest.searched_to)
