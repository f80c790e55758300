"""Jobs of a trigger that fail one after the other: the next begins after a pause that doubles, so that a mistake does not fill the archive."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from portal import clock
from portal.errors import BadJobFile
from portal.jobs import Job, Status
from portal.spool import Spool
from portal.triggers.history import Happened
from portal.triggers.trigger import Trigger

LONGEST_S = 3600.0
_FAILED = (Status.FAILED, Status.REJECTED)


class Failing(NamedTuple):
    """How it stands; `events` 0: the latest one did not end badly."""

    events: int = 0
    """So many ended badly one after the other, of those that went on side by side one."""
    again_ms: int = 0
    """When the next job may begin (ms since 1970)."""


def failing(spool: Spool, trigger: Trigger, happened: Iterable[Happened], first_s: float) -> Failing:
    """Return how a trigger's latest events ended, those left out whose jobs go on, and those before somebody changed or resumed it.

    Args:
        happened: its events, the last one first.
        first_s: half of the first pause, in seconds.
    """
    changed_ms = max(clock.parse_ms(trigger.at), clock.parse_ms(trigger.since))
    events, last_ms, began_ms = 0, 0, math.inf
    for item in happened:
        job = _job(spool, item)
        if job and not job.status.finished:
            continue
        ended_ms = _ended_badly_ms(item, job)
        if ended_ms <= changed_ms or first_s * 2**events > LONGEST_S:
            break
        if ended_ms < began_ms:
            events, last_ms, began_ms = events + 1, last_ms or ended_ms, clock.parse_ms(item.at)
    return Failing(events, last_ms + int(min(LONGEST_S, first_s * 2**events) * 1000)) if events else Failing()


def _job(spool: Spool, happened: Happened) -> Job | None:
    try:
        return spool.find(happened.job) if happened.job else None
    except BadJobFile:
        return None


def _ended_badly_ms(happened: Happened, job: Job | None) -> int:
    """Return when the job of an event failed, or none could be made; 0 for all others."""
    if happened.outcome == "refused":
        return clock.parse_ms(happened.at)
    return clock.parse_ms(job.finished_at or job.submitted_at) if job and job.status in _FAILED else 0
