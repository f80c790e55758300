"""What one finished job adds to the totals: a pure function of its archive record.

Totals are numbers by `figure|engine|label`, so that adding them up, and keeping them as JSON, needs no more than a dictionary.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from portal import clock
from portal.errors import BadJobFile
from portal.jobs import ENGINE_PATTERN, Job

Totals = dict[str, float]

BUCKETS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""Upper bounds of the histograms, in seconds; what is longer counts in none of them."""

UNKNOWN = "unknown"
"""Engine of a job whose engine there never was: anybody may write a name into a job, and no name of theirs becomes a label."""

_OUTCOMES = {"succeeded", "partial", "failed", "rejected", "cancelled", "timeout", "interrupted"}


def add(totals: Totals, more: Mapping[str, float]) -> None:
    for name, value in more.items():
        totals[name] = totals.get(name, 0) + value


def key(figure: str, engine: str, label: str = "") -> str:
    return f"{figure}|{engine}|{label}"


def parted(name: str) -> tuple[str, str, str]:
    """Return figure, engine and label of a name in `Totals`."""
    figure, engine, label = name.split("|")
    return figure, engine, label


def of(record: bytes, engines: Collection[str]) -> Totals:
    """Return what a record adds. Never raises: one that nobody can read counts as a job that is unreadable.

    Args:
        engines: names of the engines there are.
    """
    try:
        job = Job.from_json(record)
    except BadJobFile:
        return {key("jobs", UNKNOWN, "unreadable"): 1}
    engine = job.engine if ENGINE_PATTERN.fullmatch(job.engine) and (job.attempts or job.engine in engines) else UNKNOWN
    found: Totals = {key("jobs", engine, job.status.value if job.status.finished else "unreadable"): 1}
    for figure, label, value in (*_attempts(job), *_amounts(job), *_times(job)):
        add(found, {key(figure, engine, label): value})
    return found


def _attempts(job: Job) -> Iterator[tuple[str, str, float]]:
    for attempt in job.attempts:
        yield "attempts", attempt.outcome if attempt.outcome in _OUTCOMES else UNKNOWN, 1
        yield "cpu_s", "", _amount(attempt.cpu_s)


def _amounts(job: Job) -> Iterator[tuple[str, str, float]]:
    yield "bytes", "", _amount((job.result or {}).get("bytes"))


def _amount(value: Any) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 2**63
    return value if fits else 0


def _times(job: Job) -> Iterator[tuple[str, str, float]]:
    if not job.attempts:
        return
    try:
        started, submitted = clock.parse_ms(job.attempts[0].started_at), clock.parse_ms(job.submitted_at)
        due = max(submitted, clock.parse_ms(job.not_before) if job.not_before else 0)
        finished = clock.parse_ms(job.finished_at or "")
    except ValueError:
        return
    for figure, spent_ms in (("duration", finished - started), ("wait", started - due)):
        seconds = max(0, spent_ms) / 1000
        yield figure, str(bisect_left(BUCKETS_S, seconds)), 1
        yield f"{figure}_s", "", seconds
