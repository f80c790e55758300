"""The queue as everybody uses it. What each call does is in the module it leads to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path

from portal import clock, jobs
from portal.durable import publish
from portal.errors import JobNotFound
from portal.jobs import Job
from portal.progress import Progress
from portal.settings import Settings
from portal.spool import corrupt, disk, limits, pausing, priorities, reading, reasons, records, submitting, workers
from portal.spool.corrupt import CorruptFile
from portal.spool.layout import Layout
from portal.spool.limits import LimitUse
from portal.spool.pausing import Pause
from portal.spool.reasons import Reason
from portal.spool.workers import WorkerInfo


class Spool:
    """The durable queue of one home folder."""

    def __init__(self, settings: Settings) -> None:
        """Open the queue; its folders are made if they are missing. Raises SettingError on a network file system."""
        self.settings = settings
        self.layout = Layout(settings)
        self.layout.make()
        disk.refuse_network(self.layout)
        disk.restore_reserve(self.layout)

    def submit(self, job: Job) -> Job:
        """Put a job into the queue, durably; returns the job that stands for it. Raises DiskNearlyFull, BadJobFile."""
        return submitting.submit(self.layout, job)

    def cancel(self, job_id: str, by: str) -> Job:
        """Ask for the end of a job, durably; a finished job is returned as it is. Raises JobNotFound."""
        job = self._existing(job_id)
        if not job.status.finished:
            asked = {"by": by, "at": clock.iso(clock.now_ms())}
            publish(self.layout.marker(job_id), json.dumps(asked).encode(), self.layout.tmp)
        return job

    def cancel_requested(self, job_id: str) -> bool:
        return _is_id(job_id) and self.layout.marker(job_id).exists()

    def priority(self, job_id: str, priority: int) -> Job:
        """Change the priority of a job that is ready or delayed. Raises JobNotFound, QueueRefused when it does not wait any more."""
        return priorities.change(self.layout, self._existing(job_id), priority)

    def pause(self, engine: str | None = None, *, by: str, why: str = "") -> Pause:
        """Start nothing new, of one engine or (None) at all, until `resume`; durable. Returns the pause that holds. Raises QueueRefused."""
        return pausing.pause(self.layout, engine, by, why)

    def resume(self, engine: str | None = None) -> Pause | None:
        """End a pause, durably; returns the one that ended, None when there was none. Raises QueueRefused."""
        return pausing.resume(self.layout, engine)

    def pauses(self) -> list[Pause]:
        """Return what is paused: the whole queue first, then engines by name."""
        return pausing.pauses(self.layout)

    def why(self, job: Job) -> Reason | None:
        """Return why a job waits; None when it does not."""
        return reasons.why(self.layout, job)

    def reasons(self, waiting: Iterable[Job]) -> dict[str, Reason]:
        """Return why each of these jobs waits, by id, with one look at the queue; those that do not wait are left out."""
        return reasons.reasons(self.layout, waiting)

    def limits(self) -> list[LimitUse]:
        """Return the limits that are configured, held or waited for, by name."""
        return limits.uses(self.layout, reading.waiting(self.layout))

    def drain(self, worker: str, by: str) -> WorkerInfo:
        """Ask a worker to take no more jobs and to end when those it has have ended. Raises QueueRefused when it does not run."""
        return workers.drain(self.layout, worker, by)

    def undrain(self, worker: str) -> bool:
        """Take that back; False when the worker was not being drained. Raises QueueRefused for what is no name."""
        return workers.undrain(self.layout, worker)

    def _existing(self, job_id: str) -> Job:
        job = self.find(job_id)
        if job is None:
            raise JobNotFound(f"There is no job {job_id!r}.", hint="`python -m portal jobs` lists them.")
        return job

    def find(self, job_id: str) -> Job | None:
        """Return a job from wherever it is, with the status of that place. Raises BadJobFile."""
        job = records.find(self.layout, job_id) if _is_id(job_id) else None
        return reading.with_runner(self.layout, job) if job and job.open_attempt else job

    def waiting(self, limit: int | None = None) -> list[Job]:
        return list(islice(self.each_waiting(), limit))

    def each_waiting(self, skip: int = 0) -> Iterator[Job]:
        """Yield the jobs that wait, in the order of claims, then the delayed ones; each is read when it is asked for, those skipped never."""
        return reading.waiting(self.layout, skip)

    def waiting_ids(self) -> list[str]:
        return reading.waiting_ids(self.layout)

    def running(self) -> list[Job]:
        return reading.running(self.layout)

    def counts(self) -> dict[str, int]:
        """Numbers of jobs: queued, delayed, running, corrupt, cancel_requested."""
        return reading.counts(self.layout)

    def corrupt(self) -> list[CorruptFile]:
        return corrupt.listed(self.layout)

    def archived(self, since: date, until: date, newest_first: bool = True) -> Iterator[Job]:
        """Yield the jobs that finished from `since` to `until`, both included (UTC days), reading lazily. Raises BadJobFile."""
        return reading.archived(self.layout, since, until, newest_first)

    def archive_path(self, job: Job) -> Path:
        """Return where the record of a finished job lies. Raises JobNotFound when the job has not finished."""
        if job.finished_at is None:
            raise JobNotFound(f"The job {job.id} has not finished; it has no archive record.")
        return self.layout.archived(job.id, job.finished_at)

    def archived_ids(self, day: date) -> list[str]:
        return reading.archived_ids(self.layout, day)

    def archive_folders(self) -> list[date]:
        return reading.archive_folders(self.layout)

    def workers(self) -> list[WorkerInfo]:
        return workers.workers(self.layout)

    def folder(self, job_id: str) -> Path:
        return self.layout.folder(self._plain(job_id))

    def log_path(self, job_id: str) -> Path:
        return self.layout.log(self._plain(job_id))

    def progress(self, job_id: str) -> Progress | None:
        return reading.progress(self.layout, job_id)

    def _plain(self, job_id: str) -> str:
        if not _is_id(job_id):
            raise JobNotFound(f"There is no job {job_id!r}: that is not an id.")
        return job_id


def _is_id(job_id: str) -> bool:
    return jobs.ID_PATTERN.fullmatch(job_id) is not None
