"""Which job a notification is about, and what the archive says of it. Only reads."""

from __future__ import annotations

from portal.errors import BadParameters
from portal.jobs import Job
from portal.notifying import facts
from portal.notifying.facts import Facts
from portal.notifying.wish import ENGINE
from portal.settings import Settings
from portal.spool import finishing, records
from portal.spool.layout import Layout

_MOST_STEPS = 100


def of_followup(settings: Settings, job_id: str, parent: str | None) -> str:
    """Return the id of the job that a notification follows, '' when it follows none; a retried notification follows what the first one did.

    Raises:
        BadParameters: a job on the way has no archive record.
    """
    for _ in range(_MOST_STEPS):
        if not parent:
            break
        record, _ = _archived(settings, parent)
        if record.engine != ENGINE or job_id in finishing.child_ids(record):
            return record.id
        job_id, parent = record.id, record.parent
    return ""


def facts_of_end(settings: Settings, job_id: str) -> Facts:
    """Return what is told of a job that has ended. Raises BadParameters when the archive has no record of it, or one that nobody can read."""
    job, data = _archived(settings, job_id)
    return facts.of_end(data, job)


def _archived(settings: Settings, job_id: str) -> tuple[Job, bytes]:
    layout = Layout(settings)
    path = records.archived_path(layout, job_id)
    data = records.read_bytes(path) if path else None
    if data is None:
        hint = "It has not ended, its record was removed (`portal retain`), or the id is wrong."
        raise BadParameters(f"The archive has no record of the job {job_id}.", hint=hint)
    return records.parsed(data), data
