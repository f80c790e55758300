"""What people and reports read from the queue and the archive. Nothing here changes anything or takes a job's lock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import chain, islice

from portal import jobs
from portal.errors import BadJobFile
from portal.jobs import Job, Status
from portal.progress import Progress
from portal.spool import corrupt
from portal.spool.layout import Layout, running_id
from portal.spool.locks import holder
from portal.spool.records import as_waiting, delayed, each_delayed, each_ready, names, read, ready, running_ids


def waiting(layout: Layout, skip: int = 0) -> Iterator[Job]:
    """Yield the jobs that wait, in the order of claims, then the delayed ones, reading one at a time; those skipped are not read."""
    places = chain(((layout.queue, item) for item in each_ready(layout)), ((layout.delayed, item) for item in each_delayed(layout)))
    for folder, item in islice(places, skip, None):
        with contextlib.suppress(BadJobFile):
            if job := read(folder / item.name):
                yield as_waiting(job, item)


def waiting_ids(layout: Layout) -> list[str]:
    """Return the ids of the jobs that wait, told from names alone."""
    return [item.job_id for items in (each_ready(layout), each_delayed(layout)) for item in items]


def running(layout: Layout) -> list[Job]:
    """Return the jobs in running/, the longest running first, with what their runners wrote down about themselves."""
    found = []
    for job_id in running_ids(layout):
        with contextlib.suppress(BadJobFile):
            if job := read(layout.record(job_id)):
                found.append(with_runner(layout, job.evolve(status=Status.RUNNING)))
    return sorted(found, key=lambda job: job.attempts[-1].started_at if job.attempts else job.submitted_at)


def with_runner(layout: Layout, job: Job) -> Job:
    """The job with pid and start time of its runner in the open attempt."""
    attempt, known = job.open_attempt, holder(layout.lock(job.id))
    if attempt is None or known.get("attempt") != attempt.number:
        return job
    started = f"{known.get('start')} {known.get('boot')}"
    return job.evolve(attempts=(*job.attempts[:-1], replace(attempt, pid=known.get("pid"), process_started=started)))


def counts(layout: Layout) -> dict[str, int]:
    """Count files by place, without opening one."""
    return {
        "queued": len(ready(layout)), "delayed": len(delayed(layout)), "running": len(running_ids(layout)), "corrupt": corrupt.count(layout),
        "cancel_requested": len(names(layout.cancel)),
    }  # fmt: skip


def archive_folders(layout: Layout) -> list[date]:
    """Return the days the archive has a folder for, oldest first."""
    days = []
    for path in layout.archive.glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"):
        with contextlib.suppress(ValueError):
            days.append(date(*(int(part) for part in path.parts[-3:])))
    return sorted(days)


def archived_ids(layout: Layout, day: date) -> list[str]:
    """Return the ids of the records of a day, in the order of submission."""
    return [job_id for name in names(layout.day(day)) if (job_id := running_id(name))]


def archived(layout: Layout, since: date, until: date, newest_first: bool) -> Iterator[Job]:
    """Yield the archived jobs that finished from `since` to `until` (both included, UTC), reading one at a time.

    Raises:
        BadJobFile: a record cannot be read.
    """
    days = [day for day in archive_folders(layout) if since <= day <= until]
    for day in sorted(days, reverse=newest_first):
        for job_id in sorted(archived_ids(layout, day), reverse=newest_first):
            if job := read(layout.day(day) / f"{job_id}.json"):
                yield job


def progress(layout: Layout, job_id: str) -> Progress | None:
    """Return how far a job is, or None when it has not said."""
    if not jobs.ID_PATTERN.fullmatch(job_id):
        return None
    try:
        return Progress.from_json((layout.folder(job_id) / "progress.json").read_bytes())
    except OSError:
        return None
