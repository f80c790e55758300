"""Submitting: after `submit` returns, a power cut loses nothing."""

from __future__ import annotations

import time

from portal import clock, jobs
from portal.durable import publish, sync_folder
from portal.errors import BadJobFile, QueueRefused
from portal.jobs import Job, Status
from portal.spool import disk, keys
from portal.spool.layout import Layout, delayed_name, ready_name
from portal.spool.locks import Lock
from portal.spool.records import archived_path, delayed_paths, find, in_sight, known, ready_paths, with_room

_PATIENCE_S = 10.0


def submit(layout: Layout, job: Job) -> Job:
    """Put a job into the queue durably; returns the job that stands for it.

    Submitting the same id again, or another job with a key that was seen, changes nothing and returns the first one.

    Raises:
        DiskNearlyFull: the disk has no room for another job.
        BadJobFile: the job cannot be written as JSON or would not be read, or its id is none.
        QueueRefused: somebody else is submitting the same job and does not get on with it.
    """
    data = _checked(job)
    disk.refuse_when_full(layout)
    first = job if job.key is None else keys.claim(layout, job)
    if first is not job:
        place_once(layout, first)
        return find(layout, first.id) or first
    if in_sight(layout, job) and (earlier := find(layout, job.id)):
        _sync_places(layout, job.id)
        return earlier
    _put(layout, job, data)
    return job


def _checked(job: Job) -> bytes:
    """Return what the job file will hold, which can be read back."""
    if not jobs.ID_PATTERN.fullmatch(job.id):
        raise BadJobFile(f"{job.id!r} is not a job id.", hint="An id is a ULID: 26 letters and digits in upper case.")
    if job.status is not Status.QUEUED or job.attempts or job.finished_at:
        raise BadJobFile(f"The job {job.id} has been run already; it cannot be submitted.", hint="Submit a new job with `retry_of`.")
    return job.to_checked_json().encode()


def place(layout: Layout, job: Job) -> None:
    """Link a job into the folder where it waits. Harmless when the job is anywhere else: the claim looks."""
    data = job.to_json().encode()
    with_room(layout, lambda: _put(layout, job, data))


def _put(layout: Layout, job: Job, data: bytes) -> None:
    due_ms = clock.parse_ms(job.not_before) if job.not_before else 0
    late = due_ms and due_ms > clock.now_ms()
    path = f"{layout.delayed}/{delayed_name(job.id, due_ms)}" if late else f"{layout.queue}/{ready_name(job)}"
    publish(path, data, layout.tmp)


def place_once(layout: Layout, job: Job) -> None:
    """Place a job if it is nowhere yet. Raises QueueRefused, see `lock_unless_known`."""
    lock = lock_unless_known(layout, job.id)
    if lock is None:
        return
    try:
        place(layout, job)
    finally:
        lock.remove()


def lock_unless_known(layout: Layout, job_id: str) -> Lock | None:
    """Return the lock of a job that is nowhere, or None when it is somewhere, durably.

    A lock that is held says nothing by itself: its holder may be looking only, or may die before the job has its place.

    Raises:
        QueueRefused: somebody holds the lock all the time and the job comes nowhere.
    """
    patience = time.monotonic() + _PATIENCE_S
    while (lock := Lock.take(layout.lock(job_id))) is None:
        if known(layout, job_id):
            _sync_places(layout, job_id)
            return None
        if time.monotonic() > patience:
            raise QueueRefused(f"Somebody else has been submitting the job {job_id} for {_PATIENCE_S:g} s.", hint="Submit it again.")
        time.sleep(0.005)
    is_known = True
    try:
        is_known = known(layout, job_id)
        if is_known:
            _sync_places(layout, job_id)
    finally:
        if is_known:
            lock.remove()
    return None if is_known else lock


def _sync_places(layout: Layout, job_id: str) -> None:
    """Make durable that a job is where it is: whoever put it there may have died before the sync, or not have come to it yet."""
    record, archived = layout.record(job_id), archived_path(layout, job_id)
    paths = [*ready_paths(layout, job_id), *delayed_paths(layout, job_id), *([record] if record.exists() else ()), *([archived] if archived else ())]
    for folder in {path.parent for path in paths}:
        sync_folder(folder)
