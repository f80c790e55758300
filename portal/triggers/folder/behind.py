"""Files that were taken and whose job ended without them: where they wait, so that somebody hears of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from portal import clock, jobs
from portal.errors import BadJobFile
from portal.jobs import Status
from portal.spool import Spool, records
from portal.triggers.folder import left
from portal.triggers.folder.left import Left
from portal.triggers.trigger import NAME_LABEL, Trigger

MOST = 500
"""So many jobs' folders are looked at in one go, the oldest ones."""
_NAMED = 3
"""So many of a job's files are named."""

_YOUNG_MS = 600_000
"""Another trigger that has the same folder may be filling it for a job that it has not submitted."""


def tell(spool: Spool, trigger: Trigger, queued: Path, why_not: Left) -> None:
    """Tell of each folder in `queued` that has files of a job of this trigger that is over and did not succeed, or of a job that is nowhere."""
    found = (name for name in records.names(queued) if jobs.ID_PATTERN.fullmatch(name))
    for job_id in [name for name, _ in zip(found, range(MOST), strict=False)]:
        if (why := _why(spool, trigger, job_id)) and (names := list(islice(_files(queued / job_id), _NAMED + 1))):
            files = ", ".join([*names[:_NAMED], *(["…"] if names[_NAMED:] else [])])
            why_not.add(why, f"{files} of job {job_id}, in {queued.name}", job_id)


def _why(spool: Spool, trigger: Trigger, job_id: str) -> str:
    try:
        job = spool.find(job_id)
    except BadJobFile:
        return ""  # `portal check` tells of it
    if job is None:
        return left.NO_JOB if _empties(trigger) and clock.now_ms() - jobs.id_ms(job_id) > _YOUNG_MS else ""
    over = job.status.finished and job.status is not Status.SUCCEEDED
    return left.BEHIND if over and job.labels.get(NAME_LABEL) == trigger.name else ""


def _empties(trigger: Trigger) -> bool:
    """Whether a trigger's jobs leave no file where they found it. Those of others stay longer than the records of their jobs may be kept."""
    return trigger.engine == "upload" and trigger.params.get("after", "move") != "keep"


def _files(folder: Path) -> Iterator[str]:
    """Yield the files below a folder as paths in it, always in the same order."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.relpath(os.path.join(place, name), folder) for name in sorted(names))
