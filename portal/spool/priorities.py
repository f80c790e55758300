"""Changing the priority of a job that waits."""

from __future__ import annotations

import time
from pathlib import Path

from portal import jobs
from portal.durable import publish, sync_folder
from portal.errors import QueueRefused
from portal.jobs import Job, Status
from portal.spool.layout import Layout
from portal.spool.locks import Lock
from portal.spool.records import delayed_paths, find, move, read, ready_paths, with_room

_TRIES = 50


def change(layout: Layout, job: Job, priority: int) -> Job:
    """Give a job that is ready or delayed another priority, durably; returns it with that.

    Raises:
        QueueRefused: that is no priority, or the job does not wait any more.
        BadJobFile: its file cannot be read.
    """
    if priority not in jobs.PRIORITIES:
        raise QueueRefused(f"{priority} is not a priority.", hint="0 is most urgent, 9 least.")
    for _ in range(_TRIES):
        lock = Lock.take(layout.lock(job.id))
        if lock is not None:
            try:
                if _changed(layout, job.id, priority):
                    return job.evolve(priority=priority)
            finally:
                _let_go(layout, job.id, lock)
        _refuse_unless_waiting(layout, job)
        time.sleep(0.01)  # somebody holds it for a moment: it is being moved, or looked at
    raise QueueRefused(f"Somebody works on the job {job.id} just now.", hint="Try again.")


def _changed(layout: Layout, job_id: str, priority: int) -> bool:
    """Change it where it lies; False when it does not wait. Under the job's lock."""
    if paths := ready_paths(layout, job_id):
        target = layout.queue / f"{priority}-{job_id}.json"
        if paths[0] != target:
            move(paths[0], target)
        else:
            sync_folder(layout.queue)  # whoever gave it this name may have died before it was durable
        return True
    for path in delayed_paths(layout, job_id)[:1]:
        _rewrite(layout, path, priority)
        return True
    return False


def _rewrite(layout: Layout, path: Path, priority: int) -> None:
    """The name of a delayed job tells its moment; its priority is inside and becomes part of the name when that moment has come."""
    job = read(path)
    if job is not None and job.priority != priority:
        data = job.evolve(priority=priority).to_json().encode()
        with_room(layout, lambda: publish(path, data, layout.tmp, replace=True))
    else:
        sync_folder(path.parent)


def _let_go(layout: Layout, job_id: str, lock: Lock) -> None:
    """The file of the lock belongs to a job that runs; it tells who runs it."""
    if layout.record(job_id).exists():
        lock.release()
    else:
        lock.remove()


def _refuse_unless_waiting(layout: Layout, job: Job) -> None:
    now = find(layout, job.id) or job
    if now.status.finished:
        raise QueueRefused(f"The job {job.id} has finished ({now.status}); its priority means nothing now.")
    if now.status is Status.RUNNING:
        raise QueueRefused(f"The job {job.id} is running already; its priority means nothing now.", hint="Only jobs that wait have one.")
