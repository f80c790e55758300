"""Claiming by lock, not by clock: whoever holds a job's lock may act on it, and looks again before it does."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from portal.durable import publish
from portal.errors import BadJobFile
from portal.jobs import Job
from portal.spool import corrupt, limits, records
from portal.spool.layout import Layout, Waiting, ready_name
from portal.spool.listing import GONE, Stamp, stamp_of
from portal.spool.locks import Lock
from portal.spool.ready_index import ReadyIndex
from portal.spool.records import move, read

_PARKED_A_LOOK = 1000


@dataclass
class Claim:
    """A job in running/ whose lock, and whose places of its limits, are held here."""

    job: Job
    lock: Lock
    places: list[Lock] = field(default_factory=list)
    opened: bool = False
    """The record has the attempt that the claimer opened."""

    def let_go(self) -> None:
        """Close this process's copies of the locks."""
        limits.release(self.places)
        self.lock.release()


Guard = Callable[[str], AbstractContextManager[None]]
"""What one job's work is done in, so that it cannot stop the work on the others."""

Opening = Callable[[Job], Job | None]
"""Makes of a job, as it is claimed, the job with its next attempt opened; None when it is not to be started."""


class Left(Enum):
    """Why a job that was looked at is not claimed."""

    GONE = "gone"
    BUSY = "busy"
    PARKED = "parked"


def unguarded(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def unopened(_: Job) -> Job | None:
    return None


def claims(
    layout: Layout, guard: Guard = unguarded, index: ReadyIndex | None = None, *, opening: Opening = unopened, paused: Collection[str] = ()
) -> Iterator[Claim]:
    """Move the jobs that can be claimed to running/, one by one, in their order; look at the queue once.

    Args:
        index: what the looks before this one found out; without it the queue is listed.
        opening: opens the attempt of a job that is to be started, so that claim and attempt are written in one.
        paused: engines that start nothing new.
    """
    look = _Look(layout, index or ReadyIndex(layout), opening, paused)
    for name, stamp in look.each():
        item = Waiting.ready(name)
        if item is None:
            tidy_name(layout, name, guard)
            continue
        found: Claim | Left = Left.BUSY
        with guard(item.job_id):
            try:
                found = look.claim(item, stamp)
            except BadJobFile as error:
                found = Left.GONE
                _set_aside(layout, item, error)
        if found is Left.BUSY:
            look.index.keep(name)
        elif isinstance(found, Claim):
            yield found


class _Look:
    """One look at the queue."""

    def __init__(self, layout: Layout, index: ReadyIndex, opening: Opening, paused: Collection[str]) -> None:
        self.layout, self.index, self.opening = layout, index, opening
        self._paused = {_paused_key(engine) for engine in paused}
        self._full = index.full()
        self._parked = 0

    def each(self) -> Iterator[tuple[str, Stamp]]:
        """Yield the names to try, with the stamps of their files; stops early when so many had to be laid aside that other work comes first."""
        self.index.refresh()
        folder = str(self.layout.queue)
        for name in self.index.each(self._full, self._paused):
            stamp = stamp_of(f"{folder}/{name}")
            if stamp == GONE:
                continue  # another worker took it, as it may have taken thousands
            yield name, stamp
            if self._parked >= _PARKED_A_LOOK:
                self.index.unfinished = True
                return

    def claim(self, item: Waiting, stamp: Stamp) -> Claim | Left:
        path = self.layout.queue / item.name
        data = records.read_bytes(path)
        if data is None:
            return Left.GONE
        seen = records.parsed(data)
        if seen.id != item.job_id:
            _rename(self.layout, path, seen)
            return Left.GONE
        if (key := _paused_key(seen.engine)) in self._paused:
            return self._park(item, key, stamp)
        places = limits.take(self.layout, seen, self._full)
        if places is None:
            return self._park(item, next(name for name in limits.of(self.layout.settings, seen) if name in self._full), stamp)
        found: Claim | Left = Left.BUSY
        try:
            found = self._claim_with(item, seen, data, places)
        finally:
            if not isinstance(found, Claim):
                limits.release(places)
        return found

    def _park(self, item: Waiting, key: str, stamp: Stamp) -> Left:
        self.index.park(item.name, key, stamp)
        self._parked += 1
        return Left.PARKED

    def _claim_with(self, item: Waiting, seen: Job, data: bytes, places: list[Lock]) -> Claim | Left:
        lock = Lock.take(self.layout.lock(item.job_id))
        if lock is None:
            return Left.BUSY
        claimed = False
        try:
            path = self.layout.queue / item.name
            if records.read_bytes(path) != data:
                return Left.BUSY
            if is_duplicate(self.layout, item, path) or records.is_delayed(self.layout, seen):
                path.unlink(missing_ok=True)
                return Left.GONE
            job = records.as_waiting(seen, item)
            opened = self.opening(job)
            if opened is None:
                path.rename(self.layout.record(seen.id))  # the end of the job will be durable, or the claim is undone
            else:
                _record(self.layout, path, opened)
            claimed = True
            return Claim(opened or job, lock, places, opened is not None)
        finally:
            if not claimed:
                lock.remove()


def _paused_key(engine: str) -> str:
    return f"paused {engine}"


def _record(layout: Layout, path: Path, job: Job) -> None:
    """Claim a job and record its attempt in one: the record is durable before the queue file goes.

    The removal is not forced to the disk. Until it is there, a power cut may bring the queue file back: beside the running record or the
    archive record of its job it is a duplicate, which the next claim drops under the lock.
    """
    publish(layout.record(job.id), job.to_json().encode(), layout.tmp, replace=True)
    os.unlink(path)


def is_duplicate(layout: Layout, item: Waiting, path: Path) -> bool:
    """Tell whether a file in queue/ stands beside a running or archived record, or a better name, of its job. Called under the job's lock."""
    # A job whose priority was changed by hand may have two names: the more urgent one counts.
    urgent = (f"{layout.queue}/{priority}-{item.job_id}.json" for priority in range(int(path.name[0])))
    elsewhere = records.is_there(f"{layout.running}/{item.job_id}.json") or records.archived_path(layout, item.job_id) is not None
    return elsewhere or any(map(records.is_there, urgent))


def _set_aside(layout: Layout, item: Waiting, error: BadJobFile) -> None:
    lock = Lock.take(layout.lock(item.job_id))
    if lock is not None:
        try:
            corrupt.set_aside(layout, layout.queue / item.name, error)
        finally:
            lock.remove()


def _rename(layout: Layout, path: Path, job: Job) -> None:
    """Give a job file the name that its content asks for."""
    lock = Lock.take(layout.lock(job.id))
    if lock is None:
        return
    try:
        item = Waiting(ready_name(job), job.id, job.priority)
        target = layout.queue / item.name
        if target.exists() or is_duplicate(layout, item, target) or records.delayed_paths(layout, job.id):
            corrupt.set_aside(layout, path, f"The queue knows {job.id} already; this file has the wrong name for it.")
        else:
            move(path, target)
    except FileNotFoundError:
        return
    finally:
        lock.remove()


def tidy_name(layout: Layout, name: str, guard: Guard = unguarded) -> None:
    """Take in a JSON file in queue/ whose name is not that of a job: rename what is one, set aside what is none; other names are left alone."""
    if not name.endswith(".json") or name.startswith(".") or Waiting.ready(name):
        return
    with guard(name):
        _tidy_name(layout, layout.queue / name)


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
    for item in records.each_delayed(layout):
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
        if layout.record(job.id).exists() or records.archived_path(layout, job.id):
            path.unlink(missing_ok=True)
            return False
        path.rename(layout.queue / ready_name(job))  # a power cut that undoes it leaves the job delayed and due
        return True
    except BadJobFile as error:
        corrupt.set_aside(layout, path, error)
        return False
    finally:
        lock.remove()


def next_due_ms(layout: Layout) -> int | None:
    """The moment at which the next delayed job is due, or None."""
    return next((item.due_ms for item in records.each_delayed(layout)), None)
