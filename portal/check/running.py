"""Jobs that run: their records, their locks, what an earlier life of theirs left in logs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from portal.check.finding import Finding
from portal.check.look import Look, is_id
from portal.check.waiting import UNREADABLE, stray, unopenable
from portal.errors import BadJobFile, explain
from portal.jobs import Job
from portal.spool import records, workers
from portal.spool.layout import running_id
from portal.spool.locks import is_held

_END = re.compile(r"(?:exit|result)-([0-9]{1,9})\.json")


def inspect(look: Look) -> Iterator[Finding]:
    """Look at the running records, the locks, and the ends of attempts that no record knows."""
    layout = look.layout
    lives = any(worker.alive for worker in workers.workers(layout))
    for name in records.names(layout.running):
        job_id = running_id(name)
        if job_id is None:
            yield stray(look, layout.running / name, "the name of a running job")
        elif not is_held(layout.lock(job_id)):
            yield from _unheld(look, layout.running / name, job_id, lives)
    for name in records.names(layout.locks):
        path = layout.locks / name
        if not is_id(name):
            yield Finding("stray", path, "This is not the name of a job's lock.", "Somebody put it there.", "Remove it.", note=True)
        elif not layout.record(name).exists() and path.exists() and not is_held(path):
            why = "Its process was killed, or a copy took the locks along. It does no harm."
            yield Finding("lock", path, "Nobody holds this lock and its job does not run.", why, repairable=True, note=True, job_id=name)
    for path, item in look.waiting():
        yield from _earlier_life(look, look.job(path) if look.depth else None, item.job_id)


def _unheld(look: Look, path: Path, job_id: str, lives: bool) -> Iterator[Finding]:
    job = look.job(path)
    if isinstance(job, BadJobFile):
        yield Finding("unreadable", path, explain(job), UNREADABLE, repairable=True, job_id=job_id)
    elif job is not None and job.id != job_id:
        yield Finding("misnamed", path, f"The file is named for {job_id} and holds {job.id}.", "Somebody renamed it.", repairable=True, job_id=job.id)
    elif job is not None and path.exists():
        why = "The machine, a worker or somebody stopped it; or a backup was taken while it ran."
        text = "The job's runner has ended and no worker has settled it yet."
        yield Finding("unsettled", path, text, why, repairable=True, note=lives, job_id=job_id)
        if job.finished_at is None and job.sealed and (problem := unopenable(look, job.sealed)):
            yield Finding("key-pair", path, problem, "The folder of the keys was not restored with the queue. The job will fail.",
                          "Restore that folder from a backup.", job_id=job_id)  # fmt: skip
        yield from _earlier_life(look, job, job_id)


def _earlier_life(look: Look, job: Job | BadJobFile | None, job_id: str) -> Iterator[Finding]:
    """Ends of attempts that the job, as the queue has it, has not had: the next attempt with that number would be judged by them."""
    if not isinstance(job, Job) or job.id != job_id or is_held(look.layout.lock(job_id)):
        return
    for path in ends_after(look.layout.folder(job_id), job):
        why = "logs/ is newer than queue/: a backup was taken while the job ran. If its next attempt is cut off, this would be taken for its end."
        yield Finding("earlier-end", path, "This is the end of an attempt that the job has not had yet.", why, repairable=True, job_id=job_id)


def ends_after(folder: Path, job: Job) -> list[Path]:
    """Return the files that tell how attempts ended that are later than the job's last one."""
    last = job.attempts[-1].number if job.attempts else 0
    return [folder / name for name in records.names(folder) if (found := _END.fullmatch(name)) and int(found[1]) > last]
