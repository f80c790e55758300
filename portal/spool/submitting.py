"""Submitting: after `submit` returns, a power cut loses nothing."""

from __future__ import annotations

from portal import clock, jobs
from portal.durable import publish
from portal.errors import BadJobFile
from portal.jobs import Job, Status
from portal.spool import disk, keys
from portal.spool.layout import Layout, delayed_name, ready_name
from portal.spool.locks import Lock
from portal.spool.records import find, known, with_room


def submit(layout: Layout, job: Job) -> Job:
    """Put a job into the queue durably; returns the job that stands for it.

    Submitting the same id again, or another job with a key that was seen, changes nothing and returns the first one.

    Raises:
        DiskNearlyFull: the disk has no room for another job.
        BadJobFile: the job cannot be written as JSON or would not be read, or its id is none.
    """
    _check(job)
    disk.refuse_when_full(layout)
    first = job if job.key is None else keys.claim(layout, job)
    if first is not job:
        place_once(layout, first)
        return find(layout, first.id) or first
    if earlier := find(layout, job.id):
        return earlier
    place(layout, job)
    return job


def _check(job: Job) -> None:
    if not jobs.ID_PATTERN.fullmatch(job.id):
        raise BadJobFile(f"{job.id!r} is not a job id.", hint="An id is a ULID: 26 letters and digits in upper case.")
    if job.status is not Status.QUEUED or job.attempts or job.finished_at:
        raise BadJobFile(f"The job {job.id} has been run already; it cannot be submitted.", hint="Submit a new job with `retry_of`.")
    try:
        text = job.to_json()
    except (ValueError, TypeError) as error:
        raise BadJobFile(f"The job {job.id} holds what JSON cannot hold: {error}.") from None
    Job.from_json(text)


def place(layout: Layout, job: Job) -> None:
    """Link a job into the folder where it waits. Harmless when the job is anywhere else: the claim looks."""
    due_ms = clock.parse_ms(job.not_before) if job.not_before else 0
    path = layout.delayed / delayed_name(job.id, due_ms) if due_ms > clock.now_ms() else layout.queue / ready_name(job)
    with_room(layout, lambda: publish(path, job.to_json().encode(), layout.tmp))


def place_once(layout: Layout, job: Job) -> None:
    """Place a job if it is nowhere yet. Whoever holds its lock works on it, so then it is somewhere."""
    lock = Lock.take(layout.lock(job.id))
    if lock is None:
        return
    try:
        if not known(layout, job.id):
            place(layout, job)
    finally:
        lock.remove()
