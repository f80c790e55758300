"""Looks at running jobs of which somebody wants to know when they are slower than usual (`portal.notifying.slow`)."""

from __future__ import annotations

import logging

from portal.errors import BadJobFile
from portal.jobs import Job
from portal.notifying import slow
from portal.notifying.usual import Usual, Work, usual
from portal.spool import records
from portal.triggers import starting
from portal.triggers.places import WANTED
from portal.triggers.watching import Context, Looker

log = logging.getLogger("portal.triggers")

_EVERY_S, _SOONEST_S = 5.0, 0.2
_KNOWN_MS = 120_000


class SlowerLooker(Looker):
    """Submits what a running job starts when it takes longer than those before it, once."""

    def __init__(self, ctx: Context) -> None:
        self._ctx, self._layout = ctx, ctx.spool.layout
        self._jobs: dict[str, Job | None] = {}
        """The running jobs; None: nobody wants to know. What is read of one does not change while it runs."""
        self._usual: dict[str, Usual | None] = {}
        self._known: dict[Work, tuple[int, Usual | None]] = {}
        self._told: set[str] = set()

    def look(self, now_ms: int) -> float:
        running = records.running_ids(self._layout)
        for known in (self._jobs, self._usual):
            for job_id in known.keys() - set(running):
                del known[job_id]
        self._told &= set(running)
        for job_id in running:
            if job_id not in self._jobs:
                self._take(job_id)
        wanted = [job for job in self._jobs.values() if job]
        if not wanted:
            self._end_want()
        return min([_EVERY_S, *(max(_SOONEST_S, self._look_at(job, now_ms)) for job in wanted)])

    def _take(self, job_id: str) -> None:
        try:
            job = records.read(self._layout.record(job_id))
        except BadJobFile:
            return
        if job and job.attempts:  # without one it is only being started
            self._jobs[job_id] = job if slow.followups(job) and not job.labels.get("dry_run") else None

    def _look_at(self, job: Job, now_ms: int) -> float:
        """Return the seconds until the job would be slow."""
        if job.id not in self._usual:
            self._usual[job.id] = self._usual_of(Work.of(job), now_ms)
        found = self._usual[job.id]
        if found is None:
            return _EVERY_S
        for child in slow.due(job, found, now_ms):
            self._submit(job, child)
        ahead = (slow.limit_s(item, found) - slow.running_s(job, now_ms) for _, item in slow.followups(job))
        return min([_EVERY_S, *(seconds for seconds in ahead if seconds > 0)])

    def _usual_of(self, work: Work, now_ms: int) -> Usual | None:
        """What is usual, asked of the archive now and then only: many jobs of one kind may be started in a row."""
        self._known = {work: known for work, known in self._known.items() if 0 <= now_ms - known[0] < _KNOWN_MS}
        if work not in self._known:
            self._known[work] = now_ms, usual(self._ctx.settings, work)
        return self._known[work][1]

    def _submit(self, job: Job, child: Job) -> None:
        if child.id in self._told or not self._layout.record(job.id).exists():
            return
        self._ctx.spool.submit(child)
        self._told.add(child.id)
        log.info("%s is slower than usual: job %s", job.id, child.id)

    def _end_want(self) -> None:
        """Take the mark away that keeps the service running, unless a job was started just now, which may need it. A worker sets the
        mark after the job's running record is there, so one of the two sees the other."""
        mark = self._layout.triggers / WANTED
        if not mark.exists():
            return
        mark.unlink(missing_ok=True)
        if any(job_id not in self._jobs for job_id in records.running_ids(self._layout)):
            starting.want(self._layout)
