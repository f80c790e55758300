"""Jobs of a chain as worker and engines would leave them, for the tests of its view and of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ulid import ULID

from portal import clock
from portal.durable import write_durably
from portal.jobs import Job, Status
from portal.lake import table_outcome
from portal.lake.chain import Step, chained
from portal.lake.table_outcome import TableOutcome
from portal.spool import Spool, finishing

MARK = "01K5A0000000000000000CHA1N"
"""Of the chain that is usually looked at."""
STEPS: Mapping[Step, Mapping[str, Any]] = {
    Step.INGEST: {"tables": ["sales.orders", "sales.lines", "sales.view"], "target_catalog": "ice"},
    Step.MIGRATE: {"target": "abfss://lake@account/tables", "target_catalog": "azure"}, Step.REGISTER: {"volume": "LAKE"},
}  # fmt: skip
INGESTED = (
    TableOutcome("sales.orders", "done", target="sales_iceberg.orders", way="ctas", rows=3, seconds=1.5, snapshot_id="1"),
    TableOutcome("sales.lines", "failed", "The counts differ.", cause="mismatch"),
    TableOutcome("sales.view", "excluded", "It is a view."),
)  # fmt: skip


def first_job(steps: Mapping[Step, Mapping[str, Any]] = STEPS, **changes: Any) -> Job:
    """The job that a chain is submitted as; its id is MARK, unless another is given."""
    made = chained(steps, name="nightly")
    given = {"id": MARK, "submitted_at": clock.iso(clock.now_ms()), "submitted_by": "ann", **changes}
    return Job(**{"engine": made.engine, "params": made.params, "then": made.then, "labels": made.labels, **given})


def new_id() -> str:
    return str(ULID())


def ended(spool: Spool, job: Job, status: Status, outcomes: Sequence[TableOutcome] = (), error: str | None = None) -> Job:
    """Archive a job with these tables; its follow-ups begin to wait."""
    _taken(spool, job)
    result = {"counts": table_outcome.counts(outcomes), "report": table_outcome.told(outcomes)} if outcomes else None
    return finishing.finish(spool.layout, finishing.ended(job.evolve(result=result), status, error))


def archived(spool: Spool, job: Job) -> Job:
    """Put a finished job into the archive, and start nothing."""
    path: Path = spool.archive_path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, job.to_json().encode())
    return job


def running(spool: Spool, job: Job, outcomes: Sequence[TableOutcome] = ()) -> Job:
    """Let a waiting job run, with what it has told of its tables until now."""
    found = job.evolve(status=Status.RUNNING)
    _taken(spool, job)
    write_durably(spool.layout.record(job.id), found.to_json().encode())
    folder = spool.folder(job.id)
    folder.mkdir(parents=True, exist_ok=True)
    if outcomes:
        table_outcome.write(folder, outcomes)
    return found


def _taken(spool: Spool, job: Job) -> None:
    for path in spool.layout.queue.glob(f"*-{job.id}.json"):
        path.unlink()


def follow_ups(spool: Spool, job: Job) -> list[Job]:
    """What the end of a job has started."""
    return [found for job_id in finishing.child_ids(job) if (found := spool.find(job_id))]


def as_told(outcomes: Sequence[TableOutcome]) -> list[dict[str, Any]]:
    return [asdict(item) for item in outcomes]
