"""The accounts after a war: every job that was acknowledged, once; nobody left; nothing left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from portal import check
from portal.jobs import Attempt, Job, Status
from portal.spool import Spool, finishing
from portal.spool.locks import is_held
from portal.spool.records import names
from tests.war.army import belonging
from tests.war.field import Field

NEVER_STARTED = {"interrupted", "cancelled", "timeout"}
"""Outcomes of attempts whose engine may have been ended before its first line."""

EXPECTED = "clock"
"""What `portal check` rightly finds after a war: the clock was ahead when some records were written."""


@dataclass(frozen=True)
class Accounts:
    """What a war came to. `wrong` is empty when the queue kept its promise."""

    jobs: list[Job]
    lost: list[str]
    doubled: list[str]
    wrong: list[str]


def settle(field: Field, spool: Spool, planned: int) -> Accounts:
    """Compare what was acknowledged with what is there."""
    jobs = [Job.from_json(path.read_bytes()) for path in sorted(spool.layout.archive.glob("[0-9]*/*/*/*.json"))]
    records = Counter(job.id for job in jobs)
    acknowledged = {job_id for _, job_id in field.acknowledged()}
    children = {child for job in jobs for child in finishing.child_ids(job)}
    lost = sorted((acknowledged | children) - set(records))
    doubled = sorted(job_id for job_id, count in records.items() if count > 1)
    doubled += sorted(f"key {key}" for key, count in Counter(job.key for job in jobs if job.key).items() if count > 1)
    doubled += field.violations()
    wrong = [
        *(f"lost: {job_id}" for job_id in lost), *(f"doubled: {what}" for what in doubled), *_keys(field), *_strangers(jobs, acknowledged, children),
        *(problem for job in jobs for problem in _starts(field, job)), *_left(field, spool),
    ]  # fmt: skip
    if (own := sum(job.parent is None for job in jobs)) != planned:
        wrong.append(f"{planned} jobs were planned, {own} are archived")
    return Accounts(jobs, lost, doubled, wrong)


def _keys(field: Field) -> Iterator[str]:
    """A key stands for one job for ever, whoever asked."""
    known: dict[str, str] = {}
    for key, job_id in field.acknowledged():
        if known.setdefault(key, job_id) != job_id:
            yield f"the key {key} was acknowledged as {known[key]} and as {job_id}"


def _strangers(jobs: list[Job], acknowledged: set[str], children: set[str]) -> Iterator[str]:
    for job in jobs:
        if job.parent is not None and job.retry_of is None and job.id not in children:
            yield f"{job.id} is a follow-up that its parent did not start"
        elif job.parent is None and job.id not in acknowledged:
            yield f"{job.id} was never acknowledged"


def _starts(field: Field, job: Job) -> Iterator[str]:
    """Every start of an engine is an attempt that was recorded before; every attempt without one says why."""
    started = Counter(item.attempt for item in field.starts(job.id))
    recorded = {item.number: item for item in job.attempts}
    for number, count in started.items():
        if count > 1:
            yield f"{job.id}: attempt {number} was started {count} times"
        if number not in recorded:
            yield f"{job.id}: attempt {number} was started and is not in the record"
    for number, attempt in recorded.items():
        if number not in started and not _may_not_have_started(attempt):
            yield f"{job.id}: attempt {number} ended {attempt.outcome} ({attempt.exit_code}) without a start"
    if job.status is Status.SUCCEEDED and not started:
        yield f"{job.id} succeeded without a start"


def _may_not_have_started(attempt: Attempt) -> bool:
    return attempt.outcome in NEVER_STARTED or (attempt.exit_code or 0) < 0


def _left(field: Field, spool: Spool) -> Iterator[str]:
    layout = spool.layout
    for folder in (layout.running, layout.delayed, layout.locks, layout.tmp, layout.cancel, layout.corrupt, layout.archive_tmp):
        yield from (f"left in {folder.name}/: {name}" for name in names(folder))
    yield from (f"left in queue/: {name}" for name in names(layout.queue) if name.endswith(".json"))
    yield from (f"the limit's place {name} is held" for name in names(layout.limits) if is_held(layout.limits / name))
    yield from (f"the witness {name} is held" for name in field.held())
    yield from (f"process {pid} is left: {command}" for pid, command in belonging(field).items())
    findings = (finding for finding in check.inspect(spool.settings) if finding.kind != EXPECTED)
    yield from (f"check: {finding.kind}: {finding.path.name}: {finding.text}" for finding in findings)
