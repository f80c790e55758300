"""Finds the jobs of the chains: by their engines, among those alive and in the archive; which belong together is told by descent."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from portal.errors import BadJobFile
from portal.jobs import Job
from portal.lake.chain import STEPS
from portal.lake.chain_view import View, view
from portal.lake.table_outcome import TABLES_FILE
from portal.spool import Spool, records
from portal.spool.finishing import child_ids

DAYS = 30
"""Days of the archive that are looked through."""
_BUDGET_S = 1.5
_MOST_ALIVE = 5_000
_LONGEST = 1_000
"""Generations of a chain: retries of retries."""
_MOST_TABLES_BYTES = 32 << 20
_ENGINES = tuple(step.value for step in STEPS)
_MARKS = tuple(f'"{name}"'.encode() for name in _ENGINES)


@dataclass
class _Day:
    """What is known of a day's records: those that were opened, and those of them that may belong to a chain."""

    seen: set[str] = field(default_factory=set)
    hits: dict[str, None] = field(default_factory=dict)


_days: OrderedDict[Path, _Day] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Found:
    """Chains, the latest first. `searched_to` is the day (UTC) at which the search stopped early: older records were not looked at yet."""

    chains: tuple[View, ...]
    searched_to: date | None = None


def chains(spool: Spool, *, most: int = 20, days: int = DAYS, budget_s: float = _BUDGET_S) -> Found:
    """Return the latest chains that have a job alive or finished within so many days. The next call goes on where the budget ended this one."""
    grouped, searched_to = _grouped(spool, days, budget_s)
    latest = sorted(grouped, key=lambda first: max(grouped[first]), reverse=True)[:most]
    return Found(tuple(_view(spool, grouped[first]) for first in latest), searched_to)


def one(spool: Spool, mark: str, *, days: int = DAYS, budget_s: float = _BUDGET_S) -> View | None:
    """Return a chain by the id of its first job, or by a beginning or end of it (4 letters or more) that is its alone; None: there is none."""
    grouped, _ = _grouped(spool, days, budget_s)
    if mark not in grouped and (first := _one_more(spool, mark)):  # older, or on its way from one folder to the next while they were looked at
        return _view(spool, {first.id: first})
    fitting = [mark] if mark in grouped else [name for name in grouped if len(mark) >= 4 and (name.startswith(mark) or name.endswith(mark))]
    return _view(spool, grouped[fitting[0]]) if len(fitting) == 1 else None


def _grouped(spool: Spool, days: int, budget_s: float) -> tuple[dict[str, dict[str, Job]], date | None]:
    """The jobs of each chain by id, by the id of the chain's first job."""
    known, searched_to = _found(spool, days, budget_s)
    grouped: dict[str, dict[str, Job]] = {}
    for job in list(known.values()):
        line = _line(spool, job, known)
        grouped.setdefault(line[-1].id, {}).update({each.id: each for each in line})
    return grouped, searched_to


def _line(spool: Spool, job: Job, known: dict[str, Job]) -> list[Job]:
    """A job and those it comes from, up to the first of its chain. What somebody ran again with other parameters begins a chain of its own."""
    line = [job]
    while (parent_id := line[-1].parent) and len(line) < _LONGEST:
        parent = known.get(parent_id) or _one_more(spool, parent_id)
        if parent is None or (line[-1].retry_of != parent_id and line[-1].id not in child_ids(parent)):
            break
        line.append(parent)
    return line


def _one_more(spool: Spool, job_id: str) -> Job | None:
    """A job that was not among those found."""
    with suppress(BadJobFile):
        job = spool.find(job_id)
        return job if job and job.engine in _ENGINES else None
    return None


def _found(spool: Spool, days: int, budget_s: float) -> tuple[dict[str, Job], date | None]:
    alive = chain(spool.running(), islice(spool.each_waiting(), _MOST_ALIVE))
    found = {job.id: job for job in alive if job.engine in _ENGINES}
    paths, searched_to = _archived(spool, days, time.monotonic() + budget_s)
    for path in paths:
        job = _read(path)
        if job and job.engine in _ENGINES:
            found[job.id] = job
    return found, searched_to


def _archived(spool: Spool, days: int, stop_at: float) -> tuple[list[Path], date | None]:
    """The records that may be of a chain, and the day at which time was up. Each record is opened once, for a record never changes."""
    since, hits = datetime.now(UTC).date() - timedelta(days=days - 1), []
    with _lock:
        for day in reversed(spool.archive_folders()):
            if day < since:
                break
            folder = spool.layout.day(day)
            known = _known(folder)
            whole = _look(known, folder, spool.archived_ids(day), stop_at)
            hits += [folder / f"{job_id}.json" for job_id in known.hits]
            if not whole:
                return hits, day
    return hits, None


def _known(folder: Path) -> _Day:
    known = _days.setdefault(folder, _Day())
    _days.move_to_end(folder)
    while len(_days) > 2 * DAYS:
        _days.popitem(last=False)
    return known


def _look(known: _Day, folder: Path, job_ids: Iterable[str], stop_at: float) -> bool:
    for job_id in job_ids:
        if job_id in known.seen:
            continue
        with suppress(OSError):  # retention may have taken it just now
            data = (folder / f"{job_id}.json").read_bytes()
            if any(mark in data for mark in _MARKS):
                known.hits[job_id] = None
        known.seen.add(job_id)
        if time.monotonic() > stop_at:
            return False
    return True


@lru_cache(maxsize=256)
def _read(path: Path) -> Job | None:
    with suppress(BadJobFile, OSError):
        return records.read(path)
    return None


def _view(spool: Spool, known: Mapping[str, Job]) -> View:
    """A chain of these jobs, with the follow-ups that have begun since they were looked for."""
    jobs = dict(known)
    for job in list(jobs.values()):
        jobs |= {child.id: child for child in _descendants(spool, job, jobs)}
    return view(list(jobs.values()), {job.id: outcomes(spool, job) for job in jobs.values()})


def _descendants(spool: Spool, job: Job, known: Mapping[str, Job]) -> Iterator[Job]:
    for child_id in child_ids(job):
        child = known.get(child_id)
        if child is None:
            with suppress(BadJobFile):
                child = spool.find(child_id)
            if child is not None and child.engine in _ENGINES:
                yield child
        if child is not None:
            yield from _descendants(spool, child, known)


def outcomes(spool: Spool, job: Job) -> list[Mapping[str, Any]]:
    """Return what is known of the tables of a job, as `TableOutcome` has it: its file, which a running job may have too, and over it its result."""
    told = ((job.result or {}).get("report") or {}).get("tables") or ()
    items = (item for item in (*_in_file(spool.folder(job.id) / TABLES_FILE), *told) if isinstance(item, dict))
    return list({str(item.get("table")): item for item in items}.values())


def _in_file(path: Path) -> list[Any]:
    with suppress(OSError, ValueError):
        if path.stat().st_size <= _MOST_TABLES_BYTES:
            return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return []
