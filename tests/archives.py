"""Archives for the tests of audit and seal: records under the day they finished, as the spool writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ulid import ULID

from portal.jobs import Attempt, Job, Status


def finished_job(finished_at: str = "2026-11-20T10:00:09.000Z", **changes: Any) -> Job:
    """A job that migrated seven objects; `changes` replace fields."""
    job = Job(
        id=str(ULID()), engine="migrate", params={"source": "s3://demo/raw", "target": "abfss://lake@acct/raw"},
        submitted_at="2026-11-20T10:00:00.000Z", submitted_by="ana", status=Status.SUCCEEDED, finished_at=finished_at, labels={"name": "nightly"},
        attempts=(Attempt(1, "w1", "host1", "2026-11-20T10:00:01.500Z", exit_code=0, cpu_s=1.5, peak_memory_bytes=5000),),
        result={
            "counts": {
                "listed": 7, "copied": 3, "converted": 2, "skipped": 1, "failed": 0, "excluded": 1, "rows_in": 10, "rows_out": 9, "rows_rejected": 1,
            },
            "bytes": 1234, "outputs": [{"url": "abfss://lake@acct/raw"}], "warnings": ["one"], "report": {"proof": {"read-back": 3, "converted": 2}},
        },
    )  # fmt: skip
    return job.evolve(**changes)


def put(archive: Path, job: Job) -> Path:
    """Write a job's record where the spool would."""
    assert job.finished_at
    path = archive / job.finished_at[:10].replace("-", "/") / f"{job.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(job.to_json(), "utf-8")
    return path
