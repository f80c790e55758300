"""Making jobs: what is checked before anything is queued, what is sealed, and how finished jobs are submitted again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ulid import ULID

from portal import submission, vault
from portal.errors import BadParameters, JobNotFound
from portal.jobs import ID_PATTERN, Followup, Job, Status
from portal.settings import Settings
from portal.spool import Spool

SOURCE = {"source": "s3://bucket/data/"}
TYPED = {"mine": {"kind": "s3", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "a-very-secret-key"}}


def new(config: Settings, params: dict[str, Any] = SOURCE, **more: Any) -> Job:
    return submission.new_job(config, "list", params, by="ann", **more)


def archived(spool: Spool, job: Job, status: Status = Status.FAILED) -> Job:
    """Put a job into the archive as a worker would have left it."""
    done = job.evolve(status=status, finished_at="2026-11-20T10:00:00.000Z", submitted_at="2026-11-20T09:59:00.000Z", sealed=None, error="It broke.")
    done = done.evolve(id=spool_id("2026-11-20"))
    path = spool.archive_path(done)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(done.to_json(), "utf-8")
    return done


def spool_id(day: str) -> str:
    return str(ULID.from_datetime(datetime.fromisoformat(f"{day}T09:59:00").replace(tzinfo=UTC)))


def test_a_new_job_has_an_id_and_canonical_parameters(config: Settings) -> None:
    job = new(config, name="inventory", priority=2, timeout_s=60, key="k", labels={"team": "a"})
    assert ID_PATTERN.fullmatch(job.id)
    assert (job.submitted_by, job.priority, job.timeout_s, job.key, job.max_attempts) == ("ann", 2, 60, "k", config.max_attempts)
    assert job.params == SOURCE
    assert job.labels == {"team": "a", "name": "inventory"}
    assert job.sealed is None
    assert Job.from_json(job.to_json()) == job


@pytest.mark.parametrize(("engine", "params", "said"), [
    ("no_such", {}, "There is no engine 'no_such'"),
    ("list", {}, "source is missing"),
    ("list", {"source": "bucket/data"}, "is not a store URL"),
    ("list", {**SOURCE, "sauce": 1}, "sauce is not a parameter"),
    ("list", {**SOURCE, "source_connection": "nowhere"}, "source_connection: there is no connection 'nowhere'"),
])  # fmt: skip
def test_wrong_parameters_never_reach_the_queue(config: Settings, engine: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(BadParameters, match=said):
        submission.new_job(config, engine, params, by="ann")


@pytest.mark.parametrize(("more", "said"), [
    ({"priority": 10}, "priority is 10"),
    ({"timeout_s": 0}, "timeout is 0"),
    ({"timeout_s": float("nan")}, "timeout is nan"),
    ({"max_attempts": 0}, "max_attempts is 0"),
    ({"not_before": "tomorrow"}, "'tomorrow' cannot be read"),
    ({"not_before": "2026-11-21T10:00:00"}, "has no time zone"),
])  # fmt: skip
def test_wrong_job_options_are_named(config: Settings, more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadParameters, match=said):
        new(config, **more)


def test_a_start_time_is_written_in_utc(config: Settings) -> None:
    assert new(config, not_before="2026-11-21T12:00:00+02:00").not_before == "2026-11-21T10:00:00.000Z"


@pytest.mark.parametrize(("then", "said"), [
    ({"engine": "no_such"}, "Follow-up no_such: There is no engine"),
    ({"engine": "list"}, "Follow-up list: A parameter is wrong: source is missing"),
    ({"engine": "list", "params": SOURCE, "then": [{"engine": "list", "params": {"source": 3}}]}, "Follow-up list: A parameter is wrong: source"),
    ({"engine": "list", "params": SOURCE, "when": "never"}, "A follow-up cannot be used: 'never' is none of"),
    ({"engine": "list", "params": SOURCE, "priority": 12}, "priority is 12"),
    ({"params": SOURCE}, "at least an 'engine'"),
    ({"engine": "list", "params": {"source": {"$result": "outputs/0"}}}, "'outputs/0' is no JSON pointer"),
    ({"engine": "list", "params": {"source": {"$result": "/outputs/0/url"}, "sauce": 1}}, "sauce is not a parameter"),
    ({"engine": "list", "params": {**SOURCE, "sauce": {"$result": "/outputs"}}}, "sauce is not a parameter"),
    ({"engine": "list", "params": {"source_connection": {"$result": "/report/connection"}}}, "source is missing"),
])  # fmt: skip
def test_wrong_follow_ups_never_reach_the_queue(config: Settings, then: dict[str, Any], said: str) -> None:
    with pytest.raises(BadParameters, match=said):
        new(config, then=[then])


def test_a_follow_up_may_quote_the_result_of_its_parent(config: Settings) -> None:
    quoting = {"engine": "list", "params": {"source": {"$result": "/outputs/0/url"}}}
    job = new(config, then=[quoting, Followup("list", SOURCE)])
    assert job.then[0].params == quoting["params"]
    assert job.then[1].params == SOURCE


def test_typed_credentials_leave_only_sealed_and_reach_only_who_uses_them(config: Settings) -> None:
    using, other = Followup("list", {**SOURCE, "source_connection": "mine"}), Followup("list", SOURCE)
    job = new(config, {**SOURCE, "source_connection": "mine"}, typed_connections=TYPED, then=[using, other])
    assert "a-very-secret-key" not in job.to_json()
    assert job.sealed and vault.unseal(config, job.sealed) == {"connections": TYPED}
    assert job.then[0].sealed and vault.unseal(config, job.then[0].sealed) == {"connections": TYPED}
    assert job.then[1].sealed is None
    assert job.labels[submission.TYPED_LABEL] == job.then[0].labels[submission.TYPED_LABEL] == "mine"


def test_a_retry_points_at_the_job_it_does_again(config: Settings) -> None:
    spool = Spool(config)
    old = archived(spool, new(config, name="nightly", then=[Followup("list", SOURCE)]))
    again = submission.retry(config, spool, old.id, by="bob")
    assert (again.retry_of, again.parent, again.submitted_by, again.name) == (old.id, old.id, "bob", "nightly")
    assert (again.params, again.then, again.status, again.error) == (old.params, old.then, Status.QUEUED, None)
    assert spool.find(again.id) is not None


def test_a_rerun_starts_from_nothing_with_checked_parameters(config: Settings) -> None:
    spool = Spool(config)
    old = archived(spool, new(config), Status.SUCCEEDED)
    again = submission.rerun(config, spool, old.id, {"source": "s3://bucket/other/"}, by="bob")
    assert (again.retry_of, again.parent, again.params) == (None, old.id, {"source": "s3://bucket/other/"})
    with pytest.raises(BadParameters, match="source"):
        submission.rerun(config, spool, old.id, {}, by="bob")


def test_what_cannot_be_retried_says_why(config: Settings) -> None:
    spool = Spool(config)
    waiting = spool.submit(new(config))
    with pytest.raises(BadParameters, match="is queued; only a finished job"):
        submission.retry(config, spool, waiting.id, by="bob")
    with pytest.raises(BadParameters, match="nothing to retry"):
        submission.retry(config, spool, archived(spool, new(config), Status.SUCCEEDED).id, by="bob")
    with pytest.raises(JobNotFound, match="There is no job"):
        submission.retry(config, spool, spool_id("2026-11-19"), by="bob")


def test_a_job_that_used_typed_credentials_asks_for_them_again(config: Settings) -> None:
    spool = Spool(config)
    old = archived(spool, new(config, {**SOURCE, "source_connection": "mine"}, typed_connections=TYPED))
    with pytest.raises(BadParameters, match=r"typed in for it \(mine\)") as caught:
        submission.retry(config, spool, old.id, by="bob")
    assert "Give them again" in caught.value.hint
    again = submission.retry(config, spool, old.id, by="bob", typed_connections=TYPED)
    assert again.sealed and vault.unseal(config, again.sealed) == {"connections": TYPED}
