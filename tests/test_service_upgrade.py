"""A worker of this version finishes what an earlier one left: job files of each schema, as they were written, in every state."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from portal import check, settings
from portal.check import Depth
from portal.jobs import SCHEMA, Job, Status
from portal.spool import Spool, finishing
from tests.queues import a_job, worker_process

STORED = sorted(Path(__file__).parent.glob("schema*"))
ENDS = {
    "ready": (Status.SUCCEEDED, ["succeeded"]),
    "delayed": (Status.SUCCEEDED, ["succeeded"]),
    "failed once": (Status.SUCCEEDED, ["failed", "succeeded"]),
    "cut off": (Status.SUCCEEDED, ["interrupted", "succeeded"]),
    "ended": (Status.SUCCEEDED, ["succeeded"]),
    "being finished": (Status.FAILED, ["failed"]),
    "to be cancelled": (Status.CANCELLED, []),
    "finished": (Status.PARTIAL, ["partial"]),
}
"""The end of each stored job, by its name, and the outcomes of its attempts."""


def test_every_schema_that_a_worker_reads_is_stored() -> None:
    assert [path.name for path in STORED] == [f"schema{number}" for number in range(1, SCHEMA + 1)]


@pytest.mark.parametrize("stored", STORED, ids=lambda path: path.name)
def test_jobs_of_an_earlier_version_end_as_they_would_have(home: Path, stored: Path) -> None:
    shutil.copytree(stored, home, dirs_exist_ok=True)
    with (home / ".env").open("a") as file:
        file.write("PORTAL_POLL_S=0.2\nPORTAL_SLOTS=4\n")
    config = settings.load(home)
    with worker_process(home, "--drain") as worker:
        assert worker.wait(60) == 0
    jobs = [Job.from_json(path.read_text()) for path in (home / "archive").glob("*/*/*/*.json")]
    by_name = {job.name: job for job in jobs if not job.parent}
    assert {name: (job.status, [item.outcome for item in job.attempts]) for name, job in by_name.items()} == ENDS
    children = Counter(job.parent for job in jobs if job.parent)
    assert children == {by_name[name].id: 1 for name in ("ready", "ended", "being finished")}
    assert {job.id for job in jobs if job.parent} == {child for job in jobs for child in finishing.child_ids(job)}
    assert next(job.params for job in jobs if job.parent == by_name["ended"].id) == {"url": "s3://b/k"}
    again = Spool(config).submit(a_job(key="nightly"))
    assert again.id == by_name["ready"].id, "the key is remembered"
    assert [item for item in check.inspect(config, Depth.DEEP) if not item.note] == []
