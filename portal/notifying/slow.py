"""The follow-ups of jobs that still run though they usually would have ended: which are due, and the job that each becomes."""

from __future__ import annotations

from collections.abc import Iterator

from portal import clock
from portal.jobs import Followup, Job, When, derived_id
from portal.notifying import facts
from portal.notifying.usual import Usual
from portal.notifying.wish import ENGINE

FACTOR, LEAST_S = 1.25, 60.0
"""What `slower_factor` and `slower_least_s` of the engine are when nobody says."""


def followups(job: Job) -> list[tuple[int, Followup]]:
    """Return the follow-ups that wait for their parent to be slow, with their places in `then`."""
    return [(index, item) for index, item in enumerate(job.then) if item.when is When.SLOWER]


def limit_s(followup: Followup, usual: Usual) -> float:
    """Return after how many seconds of its parent a follow-up is due."""
    return usual.limit_s(_number(followup, "slower_factor", FACTOR), _number(followup, "slower_least_s", LEAST_S))


def _number(followup: Followup, name: str, default: float) -> float:
    value = followup.params.get(name) if followup.engine == ENGINE else None
    return float(value) if isinstance(value, int | float) else default


def running_s(job: Job, now_ms: int) -> float:
    """Return for how long a job has been at work, as the audit counts it: since its first attempt."""
    return (now_ms - clock.parse_ms(job.attempts[0].started_at)) / 1000 if job.attempts else 0.0


def due(job: Job, usual: Usual, now_ms: int) -> Iterator[Job]:
    """Yield the jobs that a slow one starts now, always the same ones: submitting them again changes nothing."""
    for index, followup in followups(job):
        limit = limit_s(followup, usual)
        if running_s(job, now_ms) >= limit:
            yield _child(job, index, followup, now_ms, {**usual.asdict(), "limit_s": round(limit, 3)})


def child_ids(job: Job) -> list[str]:
    """Return the ids of the jobs that a slow one starts; of a quick one there are none."""
    return [_child_id(job, index) for index, _ in followups(job)] if job.attempts else []


def _child_id(job: Job, index: int) -> str:
    return derived_id(job.id, index, clock.parse_ms(job.attempts[0].started_at))


def _child(job: Job, index: int, followup: Followup, now_ms: int, told: dict[str, float]) -> Job:
    params = dict(followup.params)
    if followup.engine == ENGINE:
        params["facts"] = facts.of_slowness(job, now_ms, told).asdict()
    return Job(
        _child_id(job, index), followup.engine, params, clock.iso(now_ms),
        submitted_by=job.submitted_by, priority=followup.priority, timeout_s=followup.timeout_s, then=followup.then, parent=job.id,
        labels=followup.labels, limits=followup.limits, sealed=followup.sealed or job.sealed, max_attempts=followup.max_attempts or job.max_attempts,
    )  # fmt: skip
