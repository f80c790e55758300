"""Slower than usual: what is usual, when a running job is told of, and that it is told once, whoever looks how often."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from portal import check, clock
from portal.jobs import Attempt, Followup, Job, Status, When
from portal.notifying import slow, wish
from portal.notifying.facts import Facts
from portal.notifying.usual import Usual, Work, usual
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers.places import WANTED
from portal.triggers.slower import SlowerLooker
from portal.triggers.watching import Context
from tests.archives import put
from tests.queues import a_job, archived, finished, until, worker_process

THEN = tuple(wish.followups(["ops:failed,slower"]))


def iso(seconds_ago: float) -> str:
    return clock.iso(clock.now_ms() - round(seconds_ago * 1000))


def earlier(config: Settings, took_s: float, number: int = 1, ago_s: float = 0.0, **changes: Any) -> Job:
    """A job in the archive that took so long."""
    end = clock.now_ms() - round(ago_s * 1000) - number
    start = clock.iso(end - round(took_s * 1000))
    job = Job(
        str(ULID()), "list", {"source": "s3://sales/"}, start, status=Status.SUCCEEDED, finished_at=clock.iso(end),
        attempts=(Attempt(1, "w", "h", start),), labels={"name": "nightly"},
    ).evolve(**changes)  # fmt: skip
    put(config.archive_dir, job)
    return job


def running(spool: Spool, for_s: float, **changes: Any) -> Job:
    """A job that runs since then, as its record tells."""
    job = a_job("list", params={"source": "s3://sales/"}, labels={"name": "nightly"}, then=THEN, **changes)
    job = job.evolve(status=Status.RUNNING, attempts=(Attempt(1, "w", "h", iso(for_s)),))
    spool.layout.record(job.id).write_text(job.to_json())
    return job


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture
def looker(config: Settings, spool: Spool) -> SlowerLooker:
    return SlowerLooker(Context(config, spool))


def started_by(spool: Spool) -> list[Job]:
    return list(spool.waiting())


def test_nothing_is_usual_before_there_were_five(config: Settings) -> None:
    work = Work("list", name="nightly")
    for number in range(4):
        earlier(config, 10, number)
    assert usual(config, work) is None
    earlier(config, 20, 4)
    found = usual(config, work)
    assert found and (found.runs, found.median_s) == (5, 10.0) and 10 < found.p95_s < 20


def test_only_work_of_the_same_kind_counts(config: Settings) -> None:
    for number in range(5):
        earlier(config, 10, number)
        earlier(config, 500, number, labels={"name": "other"})
        earlier(config, 500, number, engine="convert")
        earlier(config, 500, number, status=Status.FAILED)
        earlier(config, 500, number, status=Status.CANCELLED)
        earlier(config, 500, number, labels={"name": "nightly", "dry_run": "yes"})
        earlier(config, 500, number, labels={"name": "nightly", "trigger": "sales"})
        earlier(config, 900, number, labels={})
        earlier(config, 40, number, labels={}, params={"source": "s3://other/"})
    assert usual(config, Work("list", name="nightly")) == Usual(5, 10.0, 10.0)
    assert usual(config, Work("list", trigger="sales")) == Usual(5, 500.0, 500.0)
    assert usual(config, Work("list", source="s3://other/")) == Usual(5, 40.0, 40.0)
    assert usual(config, Work("verify", name="nightly")) is None


def test_the_latest_twenty_count_across_days(config: Settings) -> None:
    for number in range(30):
        earlier(config, 1000 if number < 10 else 10, number, ago_s=(30 - number) * 86_400 / 4)
    assert usual(config, Work("list", name="nightly")) == Usual(20, 10.0, 10.0)


WORKS: list[tuple[dict[str, Any], Work]] = [
    ({"labels": {"trigger": "sales", "name": "x"}}, Work("list", trigger="sales")), ({"labels": {"name": "x"}}, Work("list", name="x")),
    ({"params": {"source": "s3://a/", "target": "s3://b/"}}, Work("list", source="s3://a/", target="s3://b/")),
    ({"params": {"source": ["odd"]}}, Work("list")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "work"), WORKS, ids=["trigger", "name", "places", "neither"])
def test_what_makes_jobs_alike(changes: dict[str, Any], work: Work) -> None:
    assert Work.of(a_job("list", **changes)) == work


SECONDS = st.floats(0, 1e6)


@given(SECONDS, st.floats(1, 2), st.floats(1, 10), SECONDS)
def test_no_job_is_slow_that_takes_no_longer_than_most(median_s: float, spread: float, factor: float, least_s: float) -> None:
    found = Usual(20, median_s, median_s * spread)
    assert found.limit_s(factor, least_s) >= max(found.p95_s, found.median_s + least_s)


def test_a_slow_job_is_told_of_once(config: Settings, spool: Spool, looker: SlowerLooker) -> None:
    for number in range(5):
        earlier(config, 100, number)
    job = running(spool, for_s=159)
    seconds = looker.look(clock.now_ms())
    assert started_by(spool) == [] and 0 < seconds <= 1.1, "100 s + 60 s is the limit"
    later = clock.now_ms() + 2000
    for _ in range(3):
        looker.look(later)
    SlowerLooker(Context(config, spool)).look(later + 5000)
    [told] = started_by(spool)
    assert (told.engine, told.parent, told.submitted_by, told.priority) == ("notify", job.id, job.submitted_by, 1)
    facts = Facts.from_dict(told.params["facts"])
    assert (facts.event, facts.job_id, facts.title) == ("slower", job.id, "nightly is running longer than usual")
    assert facts.usual == {"runs": 5, "median_s": 100.0, "p95_s": 100.0, "limit_s": 160.0} and facts.duration_s and facts.duration_s > 160
    assert told.params["connection"] == "ops"


def test_how_slow_is_the_wishers_choice(config: Settings, spool: Spool, looker: SlowerLooker) -> None:
    for number in range(5):
        earlier(config, 100, number)
    params = {"connection": "ops", "slower_factor": 1.0, "slower_least_s": 5}
    running(spool, 106)
    job = running(spool, 106)
    hasty = job.evolve(then=(Followup("notify", params, When.SLOWER), Followup("audit_export", {"table": "T"}, When.SLOWER)))
    spool.layout.record(job.id).write_text(hasty.to_json())
    looker.look(clock.now_ms())
    assert [(told.parent, told.params["connection"]) for told in started_by(spool)] == [(job.id, "ops")]
    looker.look(clock.now_ms() + 60_000)
    assert sorted(told.engine for told in started_by(spool)) == ["audit_export", "notify", "notify"]


def test_nobody_is_told_of_what_nobody_asked_for(config: Settings, spool: Spool, looker: SlowerLooker) -> None:
    for number in range(5):
        earlier(config, 1, number)
    ended = running(spool, 900)
    for changes in ({"then": tuple(wish.followups(["ops:failed"]))}, {"labels": {"name": "nightly", "dry_run": "yes"}}, {"attempts": ()}):
        job = running(spool, 900).evolve(**changes)
        spool.layout.record(job.id).write_text(job.to_json())
    (spool.layout.running / f"{ULID()}.json").write_text("{")
    looker.look(clock.now_ms() - 899_000)
    spool.layout.record(ended.id).unlink()
    looker.look(clock.now_ms())
    assert started_by(spool) == []


def test_the_secrets_of_the_job_go_with_it(config: Settings, spool: Spool) -> None:
    job = running(spool, 900, sealed="sealed-to-the-queue")
    own = replace(THEN[-1], sealed="its own")
    [told], [other] = (list(slow.due(job.evolve(then=(item,)), Usual(5, 1, 1), clock.now_ms())) for item in (THEN[-1], own))
    assert (told.sealed, other.sealed) == ("sealed-to-the-queue", "its own")
    [again] = slow.due(job.evolve(then=THEN[-1:]), Usual(5, 1, 1), clock.now_ms() + 9)
    assert again.id == told.id != job.id


def test_a_slow_job_that_waits_for_its_next_attempt_is_in_order(config: Settings, spool: Spool, looker: SlowerLooker) -> None:
    for number in range(5):
        earlier(config, 10, number)
    job = running(spool, 900)
    looker.look(clock.now_ms())
    spool.layout.record(job.id).unlink()
    (spool.layout.queue / f"5-{job.id}.json").write_text(job.evolve(status=Status.QUEUED).to_json())
    assert [finding.text for finding in check.inspect(config) if finding.kind == "parent"] == []


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "gate"
    yield path
    path.touch()


def test_a_worker_has_it_looked_at_though_there_is_no_trigger(config: Settings, spool: Spool, gate: Path) -> None:
    """The light engines have none called notify, so what the service submitted is rejected: that it was is enough."""
    for number in range(5):
        earlier(config, 0.1, number, engine="act")
    params = {"connection": "ops", "slower_factor": 1.0, "slower_least_s": 0.2}
    wanted = (Followup("notify", params, When.SLOWER),)
    with worker_process(config.home):
        job = spool.submit(a_job("act", params={"wait": str(gate)}, labels={"name": "nightly"}, then=wanted))
        told = until(lambda: next((item for item in archived(spool) if item.parent == job.id), None), 60)
        assert json.loads(json.dumps(told.params["facts"]))["job_id"] == job.id
        gate.touch()
        done = until(lambda: finished(spool, job.id))
        assert done.status is Status.SUCCEEDED
        until(lambda: not (spool.layout.triggers / WANTED).exists(), 60)
    assert [item.id for item in archived(spool) if item.parent == job.id] == [told.id]
