"""Finishing: the steps from a running record to an archive record, each of which can be repeated.

archive record → children → secrets out of the key file → running record removed → cancel marker removed → (by the caller) the lock.

The archive record says how and when the job ended: whoever finds one goes on with what it says, whatever is in the running record. The
removals are not forced to the disk: what a power cut brings back stands beside an archive record, and is removed again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portal import clock
from portal.durable import is_shortage, publish, sync_folder
from portal.errors import BadJobFile, explain
from portal.jobs import Followup, Job, Status, derived_id, id_ms, resolve_quotes
from portal.outputlog import KEPT_PARTS
from portal.spool import keys
from portal.spool.layout import Layout
from portal.spool.records import archived_path, make_archive_day, make_day_durable, read, save, with_room
from portal.spool.submitting import lock_unless_known, place

_CHUNK = 1 << 20


def ended(job: Job, status: Status, error: str | None) -> Job:
    """The job with its end."""
    moment = max([clock.now_ms(), id_ms(job.id), *(clock.parse_ms(item.started_at) for item in job.attempts)])
    return job.evolve(status=status, error=error, finished_at=clock.iso(moment))


def freeze(layout: Layout, job: Job, status: Status, error: str | None) -> Job:
    """Write the end of a job into its running record, for somebody else to finish it. Under the job's lock."""
    job = ended(job, status, error)
    save(layout, job)
    return job


def finish(layout: Layout, job: Job) -> Job:
    """Do what is left of finishing a job that has ended; returns the archived one. Under the job's lock, which the caller removes after."""
    archived = _archive(layout, job)
    job = job.evolve(status=archived.status, finished_at=archived.finished_at, result=archived.result)
    for index, followup in enumerate(job.then):
        if followup.when.fires(job.status):
            start_child(layout, job, index, followup)
    keys.forget_secrets(layout, job)
    for path in (layout.record(job.id), layout.marker(job.id)):
        path.unlink(missing_ok=True)
    return archived


def _archive(layout: Layout, job: Job) -> Job:
    known = archived_path(layout, job.id)
    if known and (earlier := read(known)):
        make_day_durable(known.parent)
        sync_folder(known.parent)
        return earlier
    path = make_archive_day(layout, job)
    archived = job.without_sealed().evolve(artefacts=tuple(artefacts(layout, job.id)))
    data = archived.to_json().encode()
    with_room(layout, lambda: publish(path, data, layout.archive_tmp))
    return archived


def artefacts(layout: Layout, job_id: str) -> Iterator[Mapping[str, Any]]:
    """Describe the files of a job in logs/, the log and its older parts included; they are forced to the disk on the way."""
    folder = layout.folder(job_id)
    inside = [(f"{job_id}/{path.relative_to(folder)}", path) for path in sorted(folder.rglob("*")) if _counts(path, folder)]
    named = (f"{job_id}.log", *(f"{job_id}.log.{number}" for number in range(1, KEPT_PARTS + 1)))  # logs/ is never listed: it holds every job's
    logs = [(name, layout.logs / name) for name in named if (layout.logs / name).is_file()]
    for name, path in logs + inside:
        yield {"name": name, **_digest(path)}
    for made in sorted({path.parent for _, path in inside} | {folder}):
        if made.is_dir():
            sync_folder(made)
    if len(logs) > 1:  # the log and the folder were made durable before the attempt started; what was rotated since was not
        sync_folder(layout.logs)


def _counts(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.is_file() and not path.is_symlink()


def _digest(path: Path) -> Mapping[str, Any]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            while data := file.read(_CHUNK):
                digest.update(data)
                size += len(data)
    except OSError as error:
        if is_shortage(error):
            raise  # the record is written once, for ever: not with what could not be read only now
        # A file that the engine made unreadable is no reason never to finish.
        return {"size_bytes": path.stat().st_size, "sha256": None, "error": explain(error)}
    return {"size_bytes": size, "sha256": digest.hexdigest()}


def child_of(job: Job, index: int, followup: Followup) -> tuple[Job, str | None]:
    """Return the follow-up as a job, always the same one, and why it cannot run (None: it can)."""
    if job.finished_at is None:
        raise ValueError(f"{job.id} has not finished")
    finished_ms = clock.parse_ms(job.finished_at)
    problem = None
    try:
        params = resolve_quotes(followup.params, job.result)
    except BadJobFile as error:
        params, problem = followup.params, f"A parameter quotes the result of {job.id}: {error}"
    child = Job(
        derived_id(job.id, index, finished_ms), followup.engine, params, job.finished_at, submitted_by=job.submitted_by,
        priority=followup.priority, timeout_s=followup.timeout_s, then=followup.then, parent=job.id, labels=followup.labels,
        limits=followup.limits, sealed=followup.sealed or job.sealed, max_attempts=followup.max_attempts or job.max_attempts,
    )  # fmt: skip
    return child, problem


def start_child(layout: Layout, parent: Job, index: int, followup: Followup) -> None:
    """Start a follow-up of a finished job unless it is anywhere already."""
    child, problem = child_of(parent, index, followup)
    lock = lock_unless_known(layout, child.id)
    if lock is None:
        return
    try:
        if problem is None:
            place(layout, child)
        else:
            finish(layout, ended(child, Status.REJECTED, problem))
    finally:
        lock.remove()


def child_ids(job: Job) -> list[str]:
    """Return the ids of the follow-ups that a finished job started, in the order of `then`."""
    if job.finished_at is None:
        return []
    finished_ms = clock.parse_ms(job.finished_at)
    return [derived_id(job.id, index, finished_ms) for index, item in enumerate(job.then) if item.when.fires(job.status)]
