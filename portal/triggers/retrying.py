"""Jobs of a trigger that are worth another try: those that did not succeed, were not retried since, and have something left to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import chain

from portal.jobs import Job, Status
from portal.spool import Spool
from portal.stores.url import StoreURL
from portal.triggers.trigger import NAME_LABEL

_TRY_AGAIN = (Status.FAILED, Status.PARTIAL, Status.REJECTED)


def worth_retrying(spool: Spool, name: str, since: date) -> list[Job]:
    """Return the latest job of each chain of retries that did not succeed, the oldest first.

    Args:
        since: day (UTC) from which finished jobs are looked at.

    Raises:
        BadJobFile: a record in the archive cannot be read.
    """
    known = [job for job in _jobs(spool, since) if job.labels.get(NAME_LABEL) == name]
    retried = {job.retry_of for job in known}
    return sorted((job for job in known if job.status in _TRY_AGAIN and job.id not in retried and _has_something_left(job)), key=lambda job: job.id)


def _jobs(spool: Spool, since: date) -> Iterator[Job]:
    # Waiting, running, finished: a job that moves on meanwhile is seen twice rather than not at all.
    return chain(spool.each_waiting(), spool.running(), spool.archived(since, datetime.now(UTC).date()))


def only_left_out(job: Job) -> bool:
    """Whether all that a finished job did not do is what its parameters leave out: another try would leave it out again."""
    if job.status is Status.SUCCEEDED:
        return True
    counts = (job.result or {}).get("counts") or {}
    return job.status is Status.PARTIAL and counts.get("left", 0) > 0 and not any(counts.get(name) for name in ("failed", "unannounced", "stayed"))


def _has_something_left(job: Job) -> bool:
    """False when only what was left out is, or its source is a folder of this machine that holds no file any more."""
    if only_left_out(job):
        return False
    source = job.params.get("source")
    if not isinstance(source, str) or not source.startswith("file://"):
        return True
    place = f"/{StoreURL.parse(source).key}"
    return os.path.isfile(place) or any(names for _, _, names in os.walk(place))
