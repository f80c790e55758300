"""Claiming by lock, not by clock: whoever holds a job's lock may act on it, and looks again before it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from portal.errors import BadJobFile
from portal.jobs import Job
from portal.spool import corrupt, limits
from portal.spool.layout import Layout, Waiting, ready_name
from portal.spool.locks import Lock
from portal.spool.records import archived_path, as_waiting, delayed_paths, each_delayed, each_ready, move, names, read, remove


@dataclass
class Claim:
    """A job in running/ whose lock, and whose places of its limits, are held here."""

    job: Job
    lock: Lock
    places: list[Lock] = field(default_factory=list)

    def let_go(self) -> None:
        """Close this process's copies of the locks."""
        limits.release(self.places)
        self.lock.release()


Guard = Callable[[str], AbstractContextManager[None]]
"""What one job's work is done in, so that it cannot stop the work on the others."""


def unguarded(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def claims(layout: Layout, guard: Guard = unguarded, backlog: limits.Backlog | None = None) -> Iterator[Claim]:
    """Move the jobs that can be claimed to running/, one by one, in their order; look at the queue once.

    Args:
        backlog: what the looks before this one found out about jobs that limits hold back.
    """
    backlog = backlog or limits.Backlog()
    backlog.begin()
    for item in each_ready(layout):
        if backlog.holds_back(layout.queue / item.name):
            continue
        claim = None
        with guard(item.job_id):
            try:
                claim = _claim(layout, item, backlog)
            except BadJobFile as error:
                _set_aside(layout, item, error)
        if claim is not None:
            yield claim
    backlog.end()


def _claim(layout: Layout, item: Waiting, backlog: limits.Backlog) -> Claim | None:
    path = layout.queue / item.name
    stamp = limits.stamp_of(path)
    seen = read(path)
    if seen is None:
        return None
    if seen.id != item.job_id:
        _rename(layout, path, seen)
        return None
    places = limits.take(layout, seen, backlog.full)
    if places is None:
        backlog.remember(path, stamp, seen)
        return None
    claim = None
    try:
        claim = _claim_with(layout, item, seen, places)
    finally:
        if claim is None:
            limits.release(places)
    return claim


def _claim_with(layout: Layout, item: Waiting, seen: Job, places: list[Lock]) -> Claim | None:
    lock = Lock.take(layout.lock(item.job_id))
    if lock is None:
        return None
    claimed = False
    try:
        path = layout.queue / item.name
        if read(path) != seen:
            return None
        if is_duplicate(layout, item, path):
            remove(path)
            return None
        move(path, layout.record(seen.id))
        claimed = True
        return Claim(as_waiting(seen, item), lock, places)
    finally:
        if not claimed:
            lock.remove()


def is_duplicate(layout: Layout, item: Waiting, path: Path) -> bool:
    """Tell whether a file in queue/ stands beside another record of its job. Called under the job's lock."""
    elsewhere = layout.record(item.job_id).exists() or archived_path(layout, item.job_id) or delayed_paths(layout, item.job_id)
    # A job whose priority was changed by hand may have two names: the more urgent one counts.
    return bool(elsewhere) or any((layout.queue / f"{urgent}-{item.job_id}.json").exists() for urgent in range(int(path.name[0])))


def _set_aside(layout: Layout, item: Waiting, error: BadJobFile) -> None:
    lock = Lock.take(layout.lock(item.job_id))
    if lock is not None:
        corrupt.set_aside(layout, layout.queue / item.name, error)
        lock.remove()


def _rename(layout: Layout, path: Path, job: Job) -> None:
    """Give a job file the name that its content asks for."""
    lock = Lock.take(layout.lock(job.id))
    if lock is None:
        return
    try:
        item = Waiting(ready_name(job), job.id, job.priority)
        target = layout.queue / item.name
        if target.exists() or is_duplicate(layout, item, target):
            corrupt.set_aside(layout, path, f"The queue knows {job.id} already; this file has the wrong name for it.")
        else:
            move(path, target)
    except FileNotFoundError:
        return
    finally:
        lock.remove()


def tidy_names(layout: Layout, guard: Guard = unguarded) -> None:
    """Take in the JSON files in queue/ whose name is not that of a job: rename what is one, set aside what is none."""
    for name in names(layout.queue):
        path = layout.queue / name
        if not name.endswith(".json") or name.startswith(".") or Waiting.ready(name):
            continue
        with guard(name):
            _tidy_name(layout, path)


def _tidy_name(layout: Layout, path: Path) -> None:
    try:
        job = read(path)
    except BadJobFile as error:
        corrupt.set_aside(layout, path, error)
        return
    if job is not None:
        _rename(layout, path, job)


def promote(layout: Layout, now_ms: int, guard: Guard = unguarded) -> list[str]:
    """Move the delayed jobs whose moment has come to where they are claimed; returns their ids."""
    promoted = []
    for item in each_delayed(layout):
        if (item.due_ms or 0) > now_ms:
            break
        with guard(item.job_id):
            if _promote(layout, item):
                promoted.append(item.job_id)
    return promoted


def _promote(layout: Layout, item: Waiting) -> bool:
    lock = Lock.take(layout.lock(item.job_id))
    if lock is None:
        return False
    path = layout.delayed / item.name
    try:
        job = read(path)
        if job is None:
            return False
        if job.id != item.job_id:
            raise BadJobFile(f"The file is named for {item.job_id} and holds {job.id}.")
        if layout.record(job.id).exists() or archived_path(layout, job.id):
            remove(path)
            return False
        move(path, layout.queue / ready_name(job))
        return True
    except BadJobFile as error:
        corrupt.set_aside(layout, path, error)
        return False
    finally:
        lock.remove()


def next_due_ms(layout: Layout) -> int | None:
    """The moment at which the next delayed job is due, or None."""
    return next((item.due_ms for item in each_delayed(layout)), None)
