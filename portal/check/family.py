"""Parents and children: follow-ups that were never started, and jobs whose parent is not where it should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from portal.check.finding import Finding
from portal.check.look import Look
from portal.durable import make_folder
from portal.errors import BadJobFile
from portal.jobs import Job
from portal.notifying import slow
from portal.spool import finishing, records
from portal.spool.locks import is_held

_TYPED = "typed_connections"


def inspect(look: Look) -> Iterator[Finding]:
    """Look for the parents of the jobs that wait or run."""
    if not look.depth:
        return
    paths = [path for path, _ in look.waiting()] + [look.layout.record(job_id) for job_id in look.running]
    for path in paths:
        job = look.job(path)
        if isinstance(job, Job) and job.parent:
            yield from _parent(look, path, job)


def children(look: Look, path: Path, parent: Job) -> Iterator[Finding]:
    """Look for the follow-ups that the end of an archived job started."""
    if not parent.then or not parent.finished_at or look.layout.record(parent.id).exists() or is_held(look.layout.lock(parent.id)):
        return  # it is being finished
    for index, followup in enumerate(parent.then):
        if not followup.when.fires(parent.status):
            continue
        child, _ = finishing.child_of(parent, index, followup)
        if child.id in look.in_queue or child.id in look.finished or child.id in look.removed or not look.nowhere(child.id):
            continue
        text = f"Its follow-up {index + 1} ({followup.engine}), the job {child.id}, is nowhere."
        if look.ran(child.id):
            why, hint = "It has files in logs/, so it ran, and its record was removed or not restored.", "Restore its record from a backup."
            yield Finding("follow-up", path, text, why, hint, job_id=child.id)
            continue
        why = "The backup of queue/ is older than that of archive/: it was started in between, and lost."
        closed = sealed_copy(look, parent) is None and needs_secrets(parent)
        hint = f"Its credentials were typed in and are gone: `portal rerun {parent.id}` with them, or submit the follow-up anew."
        yield Finding("follow-up", path, text, why, hint, repairable=not closed, job_id=child.id)


def needs_secrets(parent: Job) -> bool:
    """Tell whether connections were typed in for a job: its archive record has them no more."""
    return bool(parent.labels.get(_TYPED))


def sealed_copy(look: Look, parent: Job) -> Job | None:
    """Return a copy of a finished job in the queue that still has its sealed credentials."""
    paths = [*records.ready_paths(look.layout, parent.id), *records.delayed_paths(look.layout, parent.id), look.layout.record(parent.id)]
    for job in (look.job(path) for path in paths):
        if isinstance(job, Job) and job.id == parent.id and (job.sealed or any(item.sealed for item in job.then)):
            return job
    return None


def start_missing(look: Look, parent: Job) -> list[str]:
    """Start the follow-ups of an archived job that are nowhere and never ran; returns their ids. Each under its own lock."""
    copy = sealed_copy(look, parent)
    if copy is None and needs_secrets(parent):
        return []
    whole = parent if copy is None else parent.evolve(sealed=copy.sealed, then=copy.then)
    make_folder(look.layout.queue)
    missing = [job_id for job_id in finishing.child_ids(parent) if look.nowhere(job_id) and not look.ran(job_id)]
    for index, followup in enumerate(whole.then):
        if followup.when.fires(parent.status) and finishing.child_of(parent, index, followup)[0].id in missing:
            finishing.start_child(look.layout, whole, index, followup)
    return missing


def _parent(look: Look, path: Path, job: Job) -> Iterator[Finding]:
    parent = job.parent or ""
    if look.archived(parent) or parent in look.removed or look.layout.record(parent).exists():
        return
    if _started_while_it_ran(look, parent, job):
        return
    if parent in look.in_queue and not look.nowhere(parent):
        why = "An older copy of queue/ was put beside newer files. When it runs and succeeds again, its follow-ups run twice."
        hint = f"Cancel the parent: `portal cancel {parent}`."
        yield Finding("parent", path, f"The parent {parent} of this job waits, though it finished: this is its follow-up.", why, hint, job_id=job.id)
    elif path.exists():
        why = "Its record was removed, or archive/ was restored from an older backup than queue/. The job itself runs."
        yield Finding("parent", path, f"The parent {parent} of this job has no archive record.", why, "Restore it from a backup.", note=True,
                      job_id=job.id)  # fmt: skip


def _started_while_it_ran(look: Look, parent: str, job: Job) -> bool:
    """Tell whether a job tells of its parent being slow: the parent may wait again, for its next attempt."""
    with suppress(BadJobFile):
        found = records.find(look.layout, parent)
        return found is not None and job.id in slow.child_ids(found)
    return False


def repair(look: Look, finding: Finding) -> str | None:
    """Start what was never started."""
    parent = look.job(finding.path)
    started = start_missing(look, parent) if isinstance(parent, Job) else []
    return f"{finding.path.stem}: started its follow-ups {', '.join(started)}" if started else None
