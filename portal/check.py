"""Inspect all state of a home folder, and repair what is safe.

Nothing here is needed for the portal to work: a worker does the same repairs as it goes. It is for a person who wants to know
whether everything is in order, after a power cut or a restore.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portal import jobs
from portal.durable import sweep
from portal.errors import BadJobFile, PortalError, explain
from portal.settings import Settings
from portal.spool import claiming, corrupt, disk, keys, reading, records, settling
from portal.spool.layout import Layout, Waiting, running_id
from portal.spool.locks import Lock, is_held

_FOLDERS = {"delayed", "running", "locks", "corrupt", "tmp", "cancel", "keys", "limits", "triggers", "workers", "paused", "reserve"}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. `repairable`: `repair` can put it right without losing anything."""

    kind: str
    path: Path
    text: str
    repairable: bool = False


def inspect(settings: Settings) -> list[Finding]:
    """Look at everything and change nothing. An empty list means that all is in order."""
    layout = Layout(settings)
    if not layout.queue.is_dir():
        return [Finding("missing", layout.queue, "There is no queue yet; the first submit or worker makes it.")]
    checks = (_disk, _waiting, _delayed, _running, _left_over, _cancel, _keys, _corrupt, _archive)
    return [finding for check in checks for finding in check(layout)]


def _disk(layout: Layout) -> Iterator[Finding]:
    for look in (disk.refuse_network, disk.refuse_when_full):
        try:
            look(layout)
        except PortalError as error:
            yield Finding("disk", layout.queue, explain(error))


def _waiting(layout: Layout) -> Iterator[Finding]:
    for name in records.names(layout.queue):
        path = layout.queue / name
        if name in _FOLDERS or name.startswith("."):
            continue
        item = Waiting.ready(name)
        if item is None:
            yield Finding("stray", path, "This is not the name of a job file.", repairable=name.endswith(".json"))
        else:
            yield from _job_file(layout, path, item)


def _delayed(layout: Layout) -> Iterator[Finding]:
    for name in records.names(layout.delayed):
        item = Waiting.delayed(name)
        if item is None:
            yield Finding("stray", layout.delayed / name, "This is not the name of a delayed job.")
        else:
            yield from _job_file(layout, layout.delayed / name, item)


def _job_file(layout: Layout, path: Path, item: Waiting) -> Iterator[Finding]:
    problem = _unreadable(path, item.job_id)
    if problem:
        yield Finding("unreadable", path, problem, repairable=True)
    elif records.archived_path(layout, item.job_id):
        yield Finding("duplicate", path, "The job has finished already; its archive record counts.", repairable=True)
    elif layout.record(item.job_id).exists():
        yield Finding("duplicate", path, "The job is running; its running record counts.", repairable=True)


def _unreadable(path: Path, job_id: str) -> str | None:
    try:
        job = records.read(path)
    except BadJobFile as error:
        return explain(error)
    return f"The file is named for {job_id} and holds {job.id}." if job and job.id != job_id else None


def _running(layout: Layout) -> Iterator[Finding]:
    for name in records.names(layout.running):
        path, job_id = layout.running / name, running_id(name)
        if job_id is None:
            yield Finding("stray", path, "This is not the name of a running job.")
        elif not is_held(layout.lock(job_id)):
            problem = _unreadable(path, job_id)
            unfinished = "The job's runner has ended and no worker has settled it yet."
            yield Finding("unreadable" if problem else "unsettled", path, problem or unfinished, repairable=True)


def _left_over(layout: Layout) -> Iterator[Finding]:
    for folder in (layout.tmp, layout.archive_tmp):
        if folder.is_dir():
            for path in sweep(folder, dry_run=True):
                yield Finding("half-written", path, "Somebody was cut off while writing this.", repairable=True)
    for name in records.names(layout.locks):
        path = layout.locks / name
        if not jobs.ID_PATTERN.fullmatch(name):
            yield Finding("stray", path, "This is not the name of a job's lock.")
        elif not layout.record(name).exists() and not is_held(path):
            yield Finding("lock", path, "Nobody holds this lock and its job does not run.", repairable=True)


def _cancel(layout: Layout) -> Iterator[Finding]:
    for job_id in records.names(layout.cancel):
        path = layout.cancel / job_id
        if not jobs.ID_PATTERN.fullmatch(job_id):
            yield Finding("stray", path, "This is not the name of a cancel marker.")
        elif records.archived_path(layout, job_id) or not records.known(layout, job_id):
            yield Finding("marker", path, "The job that was to be cancelled has finished or never was.", repairable=True)


def _keys(layout: Layout) -> Iterator[Finding]:
    for name in records.names(layout.keys):
        path = layout.keys / name
        try:
            job = records.read(path)
        except BadJobFile as error:
            yield Finding("unreadable", path, explain(error), repairable=True)
            continue
        if job and job.key and path != keys.path_of(layout, job.key):
            yield Finding("stray", path, "The key inside this file asks for another name.")
        elif job and not records.known(layout, job.id):
            yield Finding("key", path, f"The job {job.id} of this key is nowhere: its submit was cut off, or its archive record was removed.")


def _corrupt(layout: Layout) -> Iterator[Finding]:
    for item in corrupt.listed(layout):
        yield Finding("corrupt", item.path, item.reason)


def _archive(layout: Layout) -> Iterator[Finding]:
    for day in reading.archive_folders(layout):
        for name in records.names(layout.day(day)):
            path = layout.day(day) / name
            problem = _archived(layout, path, running_id(name))
            if problem:
                yield Finding("archive", path, problem)


def _archived(layout: Layout, path: Path, job_id: str | None) -> str | None:
    if job_id is None:
        return "This is not the name of an archive record."
    if problem := _unreadable(path, job_id):
        return problem
    job = records.read(path)
    if job is None:
        return None
    if job.finished_at is None or not job.status.finished:
        return "The record does not say how the job ended."
    if layout.archived(job.id, job.finished_at) != path:
        return f"The job finished at {job.finished_at}; its record belongs elsewhere."
    if job.sealed:
        return "The record holds sealed secrets."
    return _artefacts(layout, job)


def _artefacts(layout: Layout, job: jobs.Job) -> str | None:
    for item in job.artefacts:
        path = layout.logs / str(item.get("name", ""))
        try:
            size = os.stat(path).st_size
        except OSError:
            return f"Its file {item.get('name')} is missing in logs/."
        if size != item.get("size_bytes"):
            return f"Its file {item.get('name')} has {size} bytes; it had {item.get('size_bytes')} when the job ended."
    return None


def repair(settings: Settings) -> list[str]:
    """Repair what is safe to repair; returns what was done, one line each. Jobs that are running are left alone.

    Raises:
        SettingError: the queue cannot be used here at all.
    """
    layout = Layout(settings)
    layout.make()
    disk.refuse_network(layout)
    return [line for finding in inspect(settings) if finding.repairable and (line := _repaired(layout, finding))]


def _repaired(layout: Layout, finding: Finding) -> str | None:
    path = finding.path
    if path.parent == layout.running:
        job = settling.settle(layout, path.stem)
        return f"{path.stem}: settled, it is {job.status.value} now" if job else f"{path.name}: looked at; {finding.text}"
    if finding.kind == "half-written":
        return f"{path.name}: removed what was half written" if path in sweep(path.parent) else None
    if finding.kind == "lock":
        return _remove_lock(path)
    if finding.kind == "marker":
        settling.cancel_waiting(layout, path.name)
        return f"{path.name}: removed the cancel marker of a job that does not run"
    if finding.kind == "stray":
        claiming.tidy_names(layout)
        return f"{path.name}: renamed to its job, or set aside"
    return _repaired_file(layout, finding)


def _remove_lock(path: Path) -> str | None:
    lock = Lock.take(path)
    if lock is None:
        return None
    lock.remove()
    return f"{path.name}: removed a lock that nobody held"


def _repaired_file(layout: Layout, finding: Finding) -> str | None:
    path = finding.path
    if path.parent == layout.keys:
        corrupt.set_aside(layout, path, finding.text)
        return f"{path.name}: set aside in corrupt/"
    item = Waiting.ready(path.name) or Waiting.delayed(path.name)
    lock = Lock.take(layout.lock(item.job_id)) if item else None
    if item is None or lock is None:
        return None
    try:
        if finding not in set(_job_file(layout, path, item)):
            return None
        if finding.kind == "duplicate":
            records.remove(path)
            return f"{path.name}: removed; {finding.text}"
        corrupt.set_aside(layout, path, finding.text)
        return f"{path.name}: set aside in corrupt/"
    finally:
        lock.remove()
