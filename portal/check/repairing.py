"""Repairs: each under the lock of its job, after looking again, so that it may run beside workers and submitters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from portal import clock, jobs
from portal.check import archive, family, house, markers
from portal.check.finding import Finding
from portal.check.inspecting import inspect
from portal.check.look import Depth, Look, read
from portal.check.running import ends_after
from portal.check.waiting import counting
from portal.durable import publish
from portal.errors import BadJobFile
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import corrupt, disk, keys, records, settling
from portal.spool.layout import Layout, Waiting, delayed_name, ready_name
from portal.spool.locks import Lock

_ROUNDS = 5
"""One repair may show the next: what is set aside frees a name, and a record that is back in its day has follow-ups."""

_ABOUT_PLACE = {
    "status", "priority", "not_before", "attempts", "interruptions", "error", "result", "finished_at", "artefacts", "sealed", "then", "schema",
}  # fmt: skip


def repair(settings: Settings, depth: Depth = Depth.NORMAL) -> list[str]:
    """Repair what is safe to repair; returns what was done, one line each. Jobs that are running are left alone.

    Raises:
        SettingError: the queue cannot be used here at all.
    """
    layout = Layout(settings)
    layout.make()
    disk.refuse_network(layout)
    done: list[str] = []
    for _ in range(_ROUNDS):
        fresh = [line for item in inspect(settings, depth) if item.repairable and (line := _repaired(Look(settings, Depth.QUICK), item))]
        done += fresh
        if not fresh:
            break
    return done


def _repaired(look: Look, finding: Finding) -> str | None:
    if finding.kind in ("folder", "reserve", "permissions"):
        return house.repair(look.layout, finding)
    if finding.kind == "half-written":
        return markers.repair(look, finding)
    if finding.kind == "follow-up":
        return family.repair(look, finding)
    if finding.path.is_relative_to(look.layout.archive):
        return archive.repair(look, finding)
    return _REPAIRS.get(finding.kind, _nothing)(look, finding)


def _nothing(look: Look, finding: Finding) -> None:
    return None


def _under_lock(look: Look, job_id: str, act: Callable[[], str | None]) -> str | None:
    lock = Lock.take(look.layout.lock(job_id))
    if lock is None:
        return None
    try:
        return act()
    finally:
        lock.remove()


def _settle(look: Look, finding: Finding) -> str | None:
    path = finding.path
    job = settling.settle(look.layout, path.stem)
    if job:
        return f"{path.stem}: settled, it is {job.status.value} now"
    return None if path.exists() else f"{path.name}: set aside in corrupt/"


def _remove_lock(look: Look, finding: Finding) -> str | None:
    lock = Lock.take(finding.path)
    if lock is None:
        return None
    if look.layout.record(finding.path.name).exists():
        lock.release()
        return None
    lock.remove()
    return f"{finding.path.name}: removed a lock that nobody held"


def _drop_marker(look: Look, finding: Finding) -> str | None:
    settling.cancel_waiting(look.layout, finding.path.name)
    return None if finding.path.exists() else f"{finding.path.name}: removed the cancel marker of a job that does not wait"


def _set_aside(look: Look, finding: Finding) -> str | None:
    """Keep what cannot be read in corrupt/."""
    path = finding.path
    if path.parent == look.layout.running:
        return _settle(look, finding)
    job_id = finding.job_id

    def act() -> str | None:
        if not isinstance(read(path), BadJobFile):
            return None
        return f"{path.name}: set aside in corrupt/" if corrupt.set_aside(look.layout, path, finding.what) else None

    return _under_lock(look, job_id, act) if job_id else act()


def _rehome(look: Look, finding: Finding) -> str | None:
    """Move a job file to where its content belongs; keep a copy of a job that is somewhere else in corrupt/."""
    path, layout = finding.path, look.layout
    job = read(path)
    if isinstance(job, BadJobFile):
        return f"{path.name}: set aside in corrupt/" if corrupt.set_aside(layout, path, finding.what) else None
    if job is None:
        return None

    def act() -> str | None:
        if read(path) != job:
            return None
        target = belongs(layout, job)
        if _elsewhere(layout, job.id, path) or target.exists():
            reason = f"The portal knows {job.id} already; this file was called {path.parent.name}/{path.name}."
            return f"{path.name}: a copy of {job.id}, set aside in corrupt/" if corrupt.set_aside(layout, path, reason) else None
        if target.is_relative_to(layout.archive):
            return _to_archive(layout, job, path, target)
        records.move(path, target)
        return f"{path.name}: moved to {target.parent.name}/{target.name}"

    return _under_lock(look, job.id, act)


def _to_archive(layout: Layout, job: Job, path: Path, target: Path) -> str | None:
    """Give a finished job's file back to the archive: its own bytes, so that it fits its seal."""
    records.make_archive_day(layout, job)
    data = path.read_bytes() if not job.sealed else job.without_sealed().to_json().encode()
    if not publish(target, data, layout.archive_tmp):
        return None
    records.remove(path)
    return f"{path.name}: moved back to the archive, {target.parent.relative_to(layout.archive)}"


def _elsewhere(layout: Layout, job_id: str, path: Path) -> bool:
    waiting = [*records.ready_paths(layout, job_id), *records.delayed_paths(layout, job_id), layout.record(job_id)]
    return any(other != path and other.exists() for other in waiting) or records.archived_path(layout, job_id) is not None


def belongs(layout: Layout, job: Job) -> Path:
    """Return where a job file belongs, told from what it holds."""
    if job.finished_at is not None and job.status.finished:
        return layout.archived(job.id, job.finished_at)
    if job.open_attempt is not None:
        return layout.record(job.id)
    due_ms = clock.parse_ms(job.not_before) if job.not_before else 0
    return layout.delayed / delayed_name(job.id, due_ms) if due_ms > clock.now_ms() else layout.queue / ready_name(job)


def _drop_copy(look: Look, finding: Finding) -> str | None:
    """Remove a copy of a job that is elsewhere; keep it in corrupt/ when it says something that the other does not."""
    path, layout, item = finding.path, look.layout, Waiting.ready(finding.path.name) or Waiting.delayed(finding.path.name)
    if item is None:
        return None

    def act() -> str | None:
        copy, other = read(path), _counting(look, item.job_id)
        if other is None or other == path or not isinstance(copy, Job):
            return None
        kept = read(other)
        if not isinstance(kept, Job) or kept.id != copy.id or _said(kept) != _said(copy):
            reason = f"It differs from the file of {copy.id} that counts, or that one cannot be read: {other.parent.name}/{other.name}."
            return f"{path.name}: set aside in corrupt/; {reason}" if corrupt.set_aside(layout, path, reason) else None
        started = family.start_missing(look, kept) if other.is_relative_to(layout.archive) and not layout.record(kept.id).exists() else []
        records.remove(path)
        return f"{path.name}: removed; {finding.what}" + (f" Started its follow-ups {', '.join(started)}." if started else "")

    return _under_lock(look, item.job_id, act)


def _counting(look: Look, job_id: str) -> Path | None:
    archived = records.archived_path(look.layout, job_id)
    if archived is not None:
        return archived
    running = look.layout.record(job_id)
    return running if running.exists() else counting(look, job_id)


def _said(job: Job) -> dict[str, object]:
    return {name: value for name, value in job.asdict().items() if name not in _ABOUT_PLACE}


def _make_real(look: Look, finding: Finding) -> str | None:
    """Put a file with the same content in the place of a link to one."""
    path = finding.path
    if finding.job_id is None:
        return None

    def act() -> str | None:
        if not path.is_symlink():
            return None
        publish(path, path.read_bytes(), look.layout.tmp, replace=True)
        return f"{path.name}: is a file of its own now"

    return _under_lock(look, finding.job_id, act)


def _put_earlier_end_aside(look: Look, finding: Finding) -> str | None:
    path, job_id = finding.path, finding.path.parent.name

    def act() -> str | None:
        job = records.find(look.layout, job_id)
        if job is None or job.status.finished or path not in ends_after(look.layout.folder(job_id), job):
            return None
        records.move(path, path.with_name(f"earlier-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{path.name}"))
        return f"{job_id}/{path.name}: renamed; it is of an earlier life of the job"

    return _under_lock(look, job_id, act)


def _key(look: Look, finding: Finding) -> str | None:
    """Submit the job of a key that has never run, or forget the key of one that was removed."""
    job = read(finding.path)
    if not isinstance(job, Job):
        return None
    if look.removed and job.id in look.removed:
        records.remove(finding.path)
        return f"{finding.path.name}: removed the key of {job.id}"

    def act() -> str | None:
        if records.known(look.layout, job.id) or look.ran(job.id):
            return None
        due_ms = clock.parse_ms(job.not_before) if job.not_before else 0
        target = look.layout.delayed / delayed_name(job.id, due_ms) if due_ms > clock.now_ms() else look.layout.queue / ready_name(job)
        publish(target, job.to_json().encode(), look.layout.tmp)
        return f"{job.id}: submitted from the file of its key"

    return _under_lock(look, job.id, act)


def _write_key(look: Look, finding: Finding) -> str | None:
    job = read(finding.path)
    if not isinstance(job, Job) or job.key is None:
        return None
    fresh = job.evolve(status=jobs.Status.QUEUED, attempts=(), interruptions=0, error=None, result=None)
    made = publish(keys.path_of(look.layout, job.key), fresh.to_json().encode(), look.layout.tmp)
    return f"{job.id}: wrote the file of its key" if made else None


_REPAIRS: dict[str, Callable[[Look, Finding], str | None]] = {
    "unreadable": _set_aside, "misnamed": _rehome, "misplaced": _rehome, "stray": _rehome, "duplicate": _drop_copy, "unsettled": _settle,
    "lock": _remove_lock, "marker": _drop_marker, "symlink": _make_real, "earlier-end": _put_earlier_end_aside, "key": _key,
    "key-missing": _write_key,
}  # fmt: skip
