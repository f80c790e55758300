"""Why a job waits: the right reason in each state, exact about who holds what, and no more files read than the answer takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal import clock, settings
from portal.errors import SettingError
from portal.jobs import Attempt, Job, Status
from portal.settings import Settings
from portal.spool import Reason, Spool, claiming, limits, reasons, workers
from portal.spool.workers import Registration
from portal.worker import Worker
from tests.queues import ENGINES, a_job, finished, soon, until
from tests.test_cost import Calls


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture
def enter(spool: Spool) -> Iterator[Callable[..., Registration]]:
    """Enter workers that do nothing."""
    made: list[Registration] = []

    def registered(slots: int = 2, running: int = 0, name: str | None = None) -> Registration:
        made.append(workers.register(spool.layout, slots, name))
        made[-1].tell(running)
        return made[-1]

    yield registered
    for registration in made:
        registration.leave()


def why(spool: Spool, job: Job) -> Reason:
    found = spool.find(job.id)
    assert found
    reason = spool.why(found)
    assert reason
    return reason


def claim(spool: Spool) -> claiming.Claim:
    return next(claiming.claims(spool.layout))


def test_without_a_worker_nothing_starts(spool: Spool) -> None:
    assert why(spool, spool.submit(a_job())) == Reason("no-worker", reasons.NO_WORKER)


def test_a_dead_worker_is_none(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter().lock.release()
    assert why(spool, spool.submit(a_job())).kind == "no-worker"


def test_a_free_slot_takes_it_next(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter()
    assert why(spool, spool.submit(a_job())) == Reason("next", "A worker takes it at its next look.")


def test_a_delay_tells_the_moment(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter()
    job = spool.submit(a_job(not_before=soon(3600)))
    assert job.not_before
    assert why(spool, job) == Reason("delay", f"It starts not before {job.not_before[:19].replace('T', ' ')} UTC.")


def test_a_delay_that_is_over_is_none(spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch) -> None:
    enter()
    job = spool.submit(a_job(not_before=soon(60)))
    now = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: now + 61_000)
    assert why(spool, job).kind == "next"


def test_a_retry_tells_what_the_attempt_before_came_to(config: Settings, spool: Spool) -> None:
    worker = Worker(config, slots=1, engines=ENGINES)
    job = spool.submit(a_job(params={"fail_in": [1], "error": {"message": "the source is away"}}))
    until(lambda: (found := spool.find(job.id)) and found.attempts and found.status is Status.QUEUED, turn=worker.turn)
    reason = why(spool, job)
    worker.leave()
    assert reason.kind == "retry"
    assert reason.text.startswith("Attempt 2 starts not before 20") and reason.text.endswith("UTC. The one before: the source is away")


def test_a_pause_tells_who_and_why_and_comes_before_everything_but_a_delay(spool: Spool, enter: Callable[..., Registration]) -> None:
    job, later = spool.submit(a_job()), spool.submit(a_job(not_before=soon(60)))
    spool.pause("act", by="ann", why="repair")
    assert why(spool, job).kind == "engine-paused"
    assert "the engine act, by ann since" in why(spool, job).text and "repair" in why(spool, job).text
    assert why(spool, job).text.endswith(reasons.NO_WORKER), "resuming alone would not help"
    enter(slots=1, running=1)
    spool.pause(by="bob")
    assert why(spool, job).kind == "paused" and "the queue, by bob" in why(spool, job).text
    assert why(spool, later).kind == "delay"


def test_a_cancel_comes_before_everything(spool: Spool, enter: Callable[..., Registration]) -> None:
    job = spool.submit(a_job(not_before=soon(60)))
    spool.pause(by="ann")
    spool.cancel(job.id, "ann")
    assert why(spool, job).kind == "cancel-requested" and why(spool, job).text.endswith(reasons.NO_WORKER)
    enter()
    assert why(spool, job).text == "It is to be cancelled; a worker does that at its next look."


def test_a_limit_names_its_places_and_who_holds_them(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter(slots=4)
    first, second, free = (spool.submit(a_job(limits=names)) for names in (("table:x",), ("table:x", "other"), ("another",)))
    held = claim(spool)
    assert held.job.id == first.id
    assert why(spool, second) == Reason("limit", f"The limit 'table:x' has 1 place, held by {first.id}.")
    assert why(spool, free).kind == "next", "a job that a limit holds back takes no slot"
    held.let_go()


def test_a_limit_without_places_is_told(home: Path, enter: Callable[..., Registration], spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    enter()
    monkeypatch.setenv("PORTAL_LIMITS", '{"never": 0}')
    other = Spool(settings.load(home))
    assert why(other, other.submit(a_job(limits=("never",)))) == Reason("limit", "The limit 'never' has 0 places.")


def test_every_slot_is_busy(spool: Spool, enter: Callable[..., Registration]) -> None:
    jobs = [spool.submit(a_job()) for _ in range(3)]
    only = enter(slots=1, running=1)
    assert [why(spool, job).text for job in jobs] == [
        "The only slot is busy; it is the first in the queue.", "The only slot is busy; 1 job is before it.",
        "The only slot is busy; 2 jobs are before it.",
    ]  # fmt: skip
    enter(slots=3, running=3)
    assert why(spool, jobs[2]) == Reason("slots", "All 4 slots are busy; 2 jobs are before it.")
    only.tell(0)
    assert [why(spool, job).kind for job in jobs] == ["next", "slots", "slots"]
    assert why(spool, jobs[1]).text == "1 job is before it, and 1 of 4 slots is free."


def test_jobs_that_cannot_start_are_overtaken(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter(slots=2)
    paused = [spool.submit(a_job("migrate")) for _ in range(5)]
    free = [spool.submit(a_job("list")) for _ in range(3)]
    spool.pause("migrate", by="ann")
    assert [why(spool, job).kind for job in (*paused[:1], *free)] == ["engine-paused", "next", "next", "slots"]
    assert why(spool, free[2]).text == "7 jobs are before it, and 2 of 2 slots are free."


def test_jobs_that_a_limit_holds_back_are_overtaken(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter(slots=2, running=1)
    jobs = [spool.submit(a_job(limits=names)) for names in (("one",), ("one",), ("one",), (), ())]
    held = claim(spool)
    assert [why(spool, job).kind for job in jobs[1:]] == ["limit", "limit", "next", "slots"]
    held.let_go()


def test_a_drained_worker_takes_nothing(spool: Spool, enter: Callable[..., Registration]) -> None:
    job = spool.submit(a_job())
    enter(name="w1")
    spool.drain("w1", by="ann")
    assert why(spool, job) == Reason("draining", "Every worker is being drained (w1) and takes no more jobs.")
    other = enter(slots=1, name="w2")
    assert why(spool, job).kind == "next"
    other.tell(1)
    assert why(spool, job).text == "The only slot is busy; it is the first in the queue.", "the slots of a drained worker do not count"


def test_a_worker_that_hangs_is_no_help(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter(name="w1")
    (spool.layout.workers / "w1.beat").write_text("1")
    reason = why(spool, spool.submit(a_job()))
    assert reason.kind == "no-worker" and "w1 lives and does nothing" in reason.text and "portal health" in reason.text


def test_only_waiting_jobs_have_a_reason(spool: Spool) -> None:
    job = spool.submit(a_job())
    held = claim(spool)
    running = spool.find(job.id)
    assert running and spool.why(running) is None
    assert spool.reasons([running, job.evolve(status=Status.SUCCEEDED)]) == {}
    held.let_go()


def test_a_job_that_moved_meanwhile_is_next(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter()
    job = spool.submit(a_job())
    claim(spool).let_go()
    assert spool.why(job) == Reason("next", "A worker takes it at its next look.")


def test_a_file_in_the_queue_that_is_no_job_does_not_stop_the_answer(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter(slots=1)
    for name in ("0-00000000000000000000000000.json", "0-this-is-not-an-id-of-a-job.json", "notes.txt"):
        (spool.layout.queue / name).write_text("{")
    assert why(spool, spool.submit(a_job())).kind == "next"


# Limits per engine


def test_the_operator_limits_a_whole_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_LIMITS", '{"engine:migrate": 2, "table:x": 1}')
    spool = Spool(settings.load(home))
    migrations = [spool.submit(a_job("migrate", limits=("table:x",) if number == 0 else ())) for number in range(4)]
    other = spool.submit(a_job("list"))
    held = list(claiming.claims(spool.layout))
    assert [item.job.id for item in held] == [migrations[0].id, migrations[1].id, other.id]
    assert [(item.name, item.places, item.held_by, item.waiting) for item in spool.limits()] == [
        ("engine:migrate", 2, (migrations[0].id, migrations[1].id), 2), ("table:x", 1, (migrations[0].id,), 0),
    ]  # fmt: skip
    registered = workers.register(spool.layout, 5)
    assert why(spool, migrations[2]).text == f"The limit 'engine:migrate' has 2 places, held by {migrations[0].id}, {migrations[1].id}."
    registered.leave()
    for item in held:
        item.let_go()
    spool.layout.record(held[0].job.id).unlink()
    (third,) = claiming.claims(spool.layout)
    assert third.job.id == migrations[2].id
    third.let_go()


def test_an_engine_without_a_limit_has_none(config: Settings) -> None:
    assert limits.of(config, a_job("migrate", limits=("b", "a", "b"))) == ("a", "b")


def test_the_jobs_that_wait_for_a_limit_are_counted_within_bounds(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_WAITING_READ", 3)
    for _ in range(3):
        spool.submit(a_job(limits=("one",)))
    assert [(item.waiting, item.all_counted) for item in spool.limits()] == [(3, True)]
    spool.submit(a_job(limits=("one",)))
    assert [(item.waiting, item.all_counted) for item in spool.limits()] == [(3, False)]


# What an answer costs


def lay(spool: Spool, count: int, engine: str = "act") -> list[Job]:
    jobs = sorted((a_job(engine) for _ in range(count)), key=lambda job: job.id)
    for job in jobs:
        (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json())
    return jobs


def test_many_reasons_cost_one_listing_and_no_job_files(spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch) -> None:
    enter(slots=2, running=2)
    jobs = lay(spool, 300)
    calls = Calls(monkeypatch)
    found = spool.reasons(jobs)
    assert [found[job.id].kind for job in jobs] == ["slots"] * 300 and "299 jobs are before it" in found[jobs[-1].id].text
    assert (calls.jobs_in(spool.layout.queue) - calls.jobs_in(spool.layout.workers), calls.listed[spool.layout.queue]) == (0, 1)


def test_only_the_head_of_the_queue_is_read(spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch) -> None:
    enter(slots=2, running=0)
    jobs = lay(spool, 300)
    read: list[Path] = []
    real = reasons.read
    monkeypatch.setattr(reasons, "read", lambda path: (read.append(path), real(path))[1])
    assert [found.kind for found in spool.reasons(jobs).values()] == ["next"] * 2 + ["slots"] * 298
    assert len(read) == 2


def test_a_long_row_of_held_back_jobs_is_read_only_so_far(spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch) -> None:
    enter(slots=2)
    lay(spool, 300, "migrate")
    free = spool.submit(a_job("list", priority=9))
    spool.pause("migrate", by="ann")
    read: list[Path] = []
    real = reasons.read
    monkeypatch.setattr(reasons, "read", lambda path: (read.append(path), real(path))[1])
    assert why(spool, free).kind == "next"
    assert len(read) == reasons._READ_AT_MOST


JOBS = st.tuples(st.sampled_from(["list", "migrate"]), st.integers(0, 9), st.sampled_from([(), ("one",), ("two",)]))


@given(st.lists(JOBS, max_size=8), st.integers(1, 4), st.booleans())
@hypothesis_settings(max_examples=25, deadline=None)
def test_what_is_next_is_what_a_look_claims(tmp_path_factory: Any, jobs: list[tuple[str, int, tuple[str, ...]]], slots: int, paused: bool) -> None:
    """The answers and the claims agree, unless two jobs that are next need the same limit, which only one of them can get."""
    home = tmp_path_factory.mktemp("home")
    (home / ".env").write_text("PORTAL_MIN_FREE_MB=0\nPORTAL_MIN_FREE_INODES=0\n")
    spool = Spool(settings.load(home))
    for engine, priority, needed in jobs:
        job = a_job(engine, priority=priority, limits=needed)
        (spool.layout.queue / f"{priority}-{job.id}.json").write_text(job.to_json())
    if paused:
        spool.pause("migrate", by="ann")
    registered = workers.register(spool.layout, slots)
    told = spool.reasons(spool.waiting())
    claims = []
    for item in claiming.claims(spool.layout, paused=["migrate"] if paused else []):
        claims.append(item)
        if len(claims) == slots:
            break
    started = {item.job.id for item in claims}
    next_ones = {job_id for job_id, reason in told.items() if reason.kind == "next"}
    needing = [item for item in spool.waiting() if item.id in next_ones - started]
    assert all(item.limits for item in needing) and (started <= next_ones or any(item.job.limits for item in claims))
    if not any(needed for _, _, needed in jobs):
        assert started == next_ones
    for item in claims:
        item.let_go()
    registered.leave()


def test_an_attempt_without_a_word_still_tells_something(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter()
    attempt = Attempt(1, "w", "h", soon(-5), finished_at=soon(-4), outcome="interrupted")
    job = a_job(attempts=(attempt,), not_before=soon(60))
    (spool.layout.delayed / f"{clock.parse_ms(job.not_before or ''):013d}-{job.id}.json").write_text(job.to_json())
    assert why(spool, job).text.endswith("The one before: interrupted")


def test_what_a_worker_does_makes_the_reason_go_away(config: Settings, spool: Spool) -> None:
    worker = Worker(config, slots=1, engines=ENGINES)
    job = spool.submit(a_job())
    assert why(spool, job).kind == "next"
    until(lambda: finished(spool, job.id), turn=worker.turn)
    done = spool.find(job.id)
    assert done and spool.why(done) is None
    worker.leave()


def test_a_limit_below_nothing_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_LIMITS", '{"one": -1}')
    with pytest.raises(SettingError, match="PORTAL_LIMITS"):
        settings.load(home)
