"""The archive: names, days, duplicates, and, as deep as the check goes, what the records say and whether their files are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from portal.check import family
from portal.check.finding import Finding
from portal.check.look import Look
from portal.check.waiting import MOVED, UNREADABLE
from portal.durable import make_folder, sync_folder
from portal.errors import BadJobFile, explain
from portal.jobs import Job
from portal.spool import records
from portal.spool.layout import running_id


def inspect(look: Look) -> Iterator[Finding]:
    """Look at every name, and at the records of the days that are read."""
    if not look.depth:
        return
    yield from _strays(look)
    for day, names in look.days.items():
        read = look.is_read(day)
        for name in names:
            path, job_id = look.layout.day(day) / name, running_id(name)
            if job_id is None:
                why = "Somebody put it there; the portal writes records only."
                yield Finding("stray", path, "This is not the name of an archive record.", why, "Remove it.", note=True)
            elif look.finished[job_id] is None:
                yield from _several(look, path, job_id)
            elif read:
                yield from _record(look, path, job_id)


def _strays(look: Look) -> Iterator[Finding]:
    endings = (".seal.json", ".audit.parquet", ".retained.json")
    for path in look.layout.archive.glob("[0-9]*/[0-9]*/*"):
        derived = path.name[:2].isdecimal() and path.name.endswith(endings)
        is_day = len(path.name) == 2 and path.name.isdecimal() and path.is_dir()
        if not (derived or is_day or path.name.startswith(".")):
            yield Finding("stray", path, "This belongs to no day of the archive.", "Somebody put it there.", "Remove it.", note=True)


def _record(look: Look, path: Path, job_id: str) -> Iterator[Finding]:
    job = look.job(path)
    if isinstance(job, BadJobFile):
        yield Finding("archive", path, explain(job), UNREADABLE, "Restore it from a backup; `audit verify` tells whether it fits.", job_id=job_id)
    elif job is not None and (problem := wrong(look, path, job)):
        yield problem
        if problem.kind == "wrong-day":
            yield from family.children(look, path, job)
    elif job is not None:
        yield from _artefacts(look, path, job)
        yield from family.children(look, path, job)


def wrong(look: Look, path: Path, job: Job) -> Finding | None:
    """Return what is wrong with a record that can be read."""
    if job.id != path.stem:
        home = look.layout.archived(job.id, job.finished_at) if job.finished_at and job.status.finished else path
        text, hint = f"The file is named for {path.stem} and holds {job.id}.", "Give it its name back, or remove it."
        return Finding("misnamed", path, text, MOVED, hint, repairable=not home.exists(), job_id=job.id)
    if job.finished_at is None or not job.status.finished:
        return Finding("archive", path, "The record does not say how the job ended.", MOVED, "Restore the record from a backup.", job_id=job.id)
    home = look.layout.archived(job.id, job.finished_at)
    if home != path:
        text = f"The job finished at {job.finished_at}; its record belongs elsewhere, to {'/'.join(home.parts[-4:])}."
        why = f"{MOVED} The job is not found by its id, so that a copy in the queue would run again."
        return Finding("wrong-day", path, text, why, repairable=not home.exists(), job_id=job.id)
    if job.sealed:
        return Finding("archive", path, "The record holds sealed secrets.", "A job file was copied here.", "Remove the secrets.", job_id=job.id)
    return None


def _several(look: Look, path: Path, job_id: str) -> Iterator[Finding]:
    """One of several records of a job: the one on the day that it tells counts."""
    job = look.job(path)
    if isinstance(job, BadJobFile):
        yield Finding("archive", path, explain(job), UNREADABLE, "Remove it, if the other record of the job is whole.", job_id=job_id)
        return
    if job is None:
        return
    others = [look.layout.day(day) / path.name for day, names in look.days.items() if path.name in names and look.layout.day(day) != path.parent]
    text = f"The job has records on several days: also {', '.join(str(other.parent.relative_to(look.layout.archive)) for other in others)}."
    if job.finished_at and look.layout.archived(job.id, job.finished_at) == path:
        if ends := [other for other in others if _is_home(look, other)]:
            why = "It ran twice: two queues that come from one backup were put together."
            yield Finding("duplicate-record", path, text, why, f"Compare it with {ends[0]}, and keep one.", job_id=job_id)
        yield from _artefacts(look, path, job)
        yield from family.children(look, path, job)
        return
    same = any(other.read_bytes() == path.read_bytes() for other in others if other.exists() and _is_home(look, other))
    hint = "" if same else "Compare them, and keep one."
    yield Finding("duplicate-record", path, text, "A record was copied to a day it does not belong to.", hint, repairable=same, job_id=job_id)


def _is_home(look: Look, path: Path) -> bool:
    job = look.job(path)
    return isinstance(job, Job) and job.finished_at is not None and look.layout.archived(job.id, job.finished_at) == path


def _artefacts(look: Look, path: Path, job: Job) -> Iterator[Finding]:
    tombstone = look.tombstone(day) if (day := _day(path)) else None
    if tombstone and job.id in tombstone.logs:
        return
    why = "Somebody removed or changed it, or logs/ is of another moment than archive/. The proof and the ledger of the job may be in it."
    for item in job.artefacts:
        name, file = item.get("name"), look.layout.logs / str(item.get("name", ""))
        try:
            size = os.stat(file).st_size
        except OSError:
            yield Finding("artefact", path, f"Its file {name} is missing in logs/.", why, "Restore it from a backup.", job_id=job.id)
            return
        if size != item.get("size_bytes"):
            text = f"Its file {name} has {size} bytes; it had {item.get('size_bytes')} when the job ended."
            yield Finding("artefact", path, text, why, "Restore it from a backup.", job_id=job.id)
            return


def _day(path: Path) -> date | None:
    try:
        return date(*(int(part) for part in path.parent.parts[-3:]))
    except (ValueError, TypeError):
        return None


def repair(look: Look, finding: Finding) -> str | None:
    """Move a record to its day, or drop the copy that is on a wrong one. Looks again first."""
    job = look.job(finding.path)
    if not isinstance(job, Job) or job.finished_at is None:
        return None
    home = look.layout.archived(job.id, job.finished_at)
    if home == finding.path:
        return None
    day = home.parent.relative_to(look.layout.archive)
    make_folder(home.parent)
    try:
        os.link(finding.path, home)
    except FileExistsError:
        if home.read_bytes() != finding.path.read_bytes():
            return None
    sync_folder(home.parent)
    records.remove(finding.path)
    return f"{finding.path.name}: its record is on {day} now, where it belongs"
