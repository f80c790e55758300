"""Pausing the queue or one engine, and letting one worker run out of jobs: nothing new starts, what runs goes on, and nobody forgets."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal import clock, durable
from portal.errors import QueueRefused
from portal.jobs import Job, Status
from portal.settings import Settings
from portal.spool import Pause, Spool, claiming, pausing, workers
from portal.spool.ready_index import ReadyIndex
from portal.worker import Worker
from tests.queues import ENGINES, a_job, archived, dies_at, finished, lines, run, unsynced, until, worker_process
from tests.test_cost import Calls


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture
def new_worker(config: Settings) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(**options: Any) -> Worker:
        made.append(Worker(config, **{"slots": 2, "engines": ENGINES, **options}))
        return made[-1]

    yield make
    for worker in made:
        worker.leave()


def claimed(spool: Spool, index: ReadyIndex | None = None) -> list[str]:
    """The ids of what one look claims, as a worker would."""
    paused = pausing.holds(spool.layout)
    if paused.queue:
        return []
    found = list(claiming.claims(spool.layout, index=index, paused=paused.engines))
    for claim in found:
        claim.let_go()
    return [claim.job.id for claim in found]


# Pauses


def test_a_pause_tells_who_when_and_why(spool: Spool) -> None:
    made = spool.pause(by="ann", why="the disk is being replaced")
    assert (made.scope, made.engine, made.by, made.why) == ("queue", None, "ann", "the disk is being replaced") and made.at
    other = spool.pause("migrate", by="bob")
    assert spool.pauses() == [made, other]
    assert json.loads((spool.layout.paused / "queue.json").read_text()) == {"by": "ann", "at": made.at, "why": made.why}
    assert made.told.startswith("the queue, by ann since 20") and made.told.endswith("UTC: the disk is being replaced")
    assert other.told.startswith("the engine migrate, by bob since 20")


def test_pausing_twice_keeps_the_first_unless_the_reason_is_another(spool: Spool) -> None:
    first = spool.pause(by="ann", why="repair")
    assert spool.pause(by="bob") == spool.pause(by="bob", why="repair") == first
    changed = spool.pause(by="bob", why="upgrade")
    assert (changed.by, changed.why) == ("bob", "upgrade")
    assert spool.pauses() == [changed]


def test_resuming_tells_whether_anything_was_paused(spool: Spool) -> None:
    assert spool.resume() is None and spool.resume("migrate") is None
    made = spool.pause("migrate", by="ann")
    assert spool.resume() is None, "an engine's pause is another one"
    assert spool.resume("migrate") == made
    assert spool.resume("migrate") is None and spool.pauses() == []


@pytest.mark.parametrize("name", ["queue", "", "../evil", "Migrate", "a/b", "x" * 65, "migrate.json"])
def test_what_cannot_be_an_engine_cannot_be_paused(spool: Spool, name: str) -> None:
    for change in (lambda: spool.pause(name, by="ann"), lambda: spool.resume(name)):
        with pytest.raises(QueueRefused):
            change()
    assert os.listdir(spool.layout.paused) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', '{"by": 5, "at": [], "why": {}}', "\0" * 40, "[" * 100_000])
def test_a_pause_that_nobody_can_read_is_a_pause(spool: Spool, content: str) -> None:
    (spool.layout.paused / "queue.json").write_text(content)
    (spool.layout.paused / "notes.txt").write_text("no pause")
    assert spool.pauses() == [Pause("queue")]
    assert spool.pause(by="ann") == Pause("queue")
    assert spool.resume() == Pause("queue")
    assert spool.pauses() == []


def test_a_pause_is_durable_when_the_call_returns(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(durable.os, "fsync", lambda descriptor: (synced.append(os.readlink(f"/proc/self/fd/{descriptor}")), real(descriptor))[1])
    spool.pause(by="ann")
    assert synced[-1] == str(spool.layout.paused) and synced[0].startswith(str(spool.layout.tmp))
    synced.clear()
    spool.resume()
    assert synced == [str(spool.layout.paused)]


def test_a_full_disk_can_be_paused_with_the_reserve(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    registered, full = workers.register(spool.layout, 1, "w1"), [OSError(28, "No space left on device")] * 2
    real = durable.publish

    def publish(*arguments: Any, **named: Any) -> bool:
        if any(spool.layout.reserve.iterdir()):
            raise full.pop()
        return real(*arguments, **named)

    for module, ask in ((pausing, lambda: spool.pause(by="ann")), (workers, lambda: spool.drain("w1", by="ann"))):
        durable.keep_reserve(spool.layout.reserve)
        monkeypatch.setattr(module, "publish", publish)
        ask()
    assert full == [] and spool.pauses() and registered.draining
    registered.leave()


def test_dying_while_pausing_leaves_it_paused_or_not(spool: Spool) -> None:
    with unsynced():
        for number in range(1, 40):
            died = dies_at(number, lambda: spool.pause(by="ann", why="x"))
            assert [(item.by, item.why) for item in spool.pauses()] in ([], [("ann", "x")])
            spool.resume()
            if not died:
                break
        else:
            pytest.fail("it never got through")
    assert number > 3


# What a pause does


def test_nothing_is_claimed_while_the_queue_is_paused(spool: Spool, new_worker: Callable[..., Worker]) -> None:
    worker = new_worker()
    job = spool.submit(a_job())
    spool.pause(by="ann")
    assert [worker.turn() for _ in range(3)][-1].started == ()
    assert spool.find(job.id) == job
    spool.resume()
    assert until(lambda: finished(spool, job.id), turn=worker.turn).status is Status.SUCCEEDED


def test_what_runs_goes_on_and_a_waiting_job_can_be_cancelled(spool: Spool, new_worker: Callable[..., Worker], tmp_path: Path) -> None:
    worker, go = new_worker(), tmp_path / "go"
    running = spool.submit(a_job(params={"wait": str(go)}))
    worker.turn()
    spool.pause(by="ann")
    waiting = spool.submit(a_job())
    spool.cancel(waiting.id, "ann")
    assert until(lambda: finished(spool, waiting.id), turn=worker.turn).status is Status.CANCELLED
    go.touch()
    assert until(lambda: finished(spool, running.id), turn=worker.turn).status is Status.SUCCEEDED


def test_a_paused_engine_leaves_the_others_alone(spool: Spool) -> None:
    ids = [spool.submit(a_job(engine)).id for engine in ("migrate", "list", "migrate", "list")]
    spool.pause("migrate", by="ann")
    index = ReadyIndex(spool.layout)
    assert claimed(spool, index) == [ids[1], ids[3]]
    assert claimed(spool, index) == []
    spool.resume("migrate")
    assert claimed(spool, index) == [ids[0], ids[2]]


def test_an_engine_stays_paused_when_the_queue_is_resumed(spool: Spool) -> None:
    job = spool.submit(a_job("migrate"))
    spool.pause(by="ann")
    spool.pause("migrate", by="ann")
    spool.resume()
    assert claimed(spool) == []
    spool.resume("migrate")
    assert claimed(spool) == [job.id]


def test_a_pause_holds_in_the_next_worker(config: Settings, spool: Spool) -> None:
    job = spool.submit(a_job())
    spool.pause("act", by="ann")
    for _ in range(2):
        with worker_process(config.home, "--name", "w") as process:
            until(lambda: any(worker.alive and worker.beat_age_s is not None for worker in spool.workers()))
            until(lambda: spool.why(job).kind == "engine-paused")  # type: ignore[union-attr]
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert spool.find(job.id) == job
    spool.resume("act")
    with worker_process(config.home, "--drain") as process:
        assert process.wait(30) == 0
    assert [found.id for found in archived(spool)] == [job.id]


def test_a_pause_in_the_middle_of_a_turn_holds_for_the_next_job(spool: Spool, new_worker: Callable[..., Worker], monkeypatch: Any) -> None:
    worker = new_worker(slots=5)
    ids = [spool.submit(a_job(params={})).id for _ in range(4)]
    start = worker._start

    def start_and_pause(claim: claiming.Claim) -> bool:
        spool.pause(by="ann")
        return start(claim)

    monkeypatch.setattr(worker, "_start", start_and_pause)
    assert worker.turn().started == (ids[0],)
    assert worker.turn().started == ()
    assert until(lambda: finished(spool, ids[0]), turn=worker.turn)


def lay(spool: Spool, count: int, engine: str) -> list[str]:
    """Put jobs into the queue without waiting for the disk; returns their ids in the order of claims."""
    jobs = sorted((a_job(engine) for _ in range(count)), key=lambda job: job.id)
    for job in jobs:
        (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json())
    return [job.id for job in jobs]


def test_many_jobs_of_a_paused_engine_are_read_once_and_not_at_each_look(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    held, free = lay(spool, 3_000, "migrate"), spool.submit(a_job("list", priority=9))
    spool.pause("migrate", by="ann")
    calls = Calls(monkeypatch)
    index = ReadyIndex(spool.layout)
    looks = 0
    while not (found := claimed(spool, index)):
        looks += 1
        assert looks <= 5, "each look goes on where the one before ended"
    assert found == [free.id]
    reads = [count for path, count in calls.read.items() if path.parent == spool.layout.queue]
    assert max(reads) <= 2 and sum(reads) == len(held) + 2
    calls.read.clear()
    another = spool.submit(a_job("list", priority=9))
    index.hear([f"9-{another.id}.json"])
    started = time.process_time()
    assert claimed(spool, index) == [another.id]
    assert sum(calls.read.values()) <= 4, "the pause, and the free job's file before and under its lock"
    assert time.process_time() - started < 0.5
    spool.resume("migrate")
    first = next(claiming.claims(spool.layout, index=index))
    assert first.job.id == held[0], "the order is kept"
    first.let_go()


def test_a_paused_queue_lets_the_worker_sleep(spool: Spool, new_worker: Callable[..., Worker]) -> None:
    worker = new_worker()
    lay(spool, 1500, "migrate")
    spool.pause("migrate", by="ann")
    assert not worker.turn().idle, "the first look was cut short"
    spool.pause(by="ann")
    assert worker.turn().idle


# Draining one worker


def test_a_drained_worker_takes_no_more_jobs_and_ends_when_it_has_none(config: Settings, spool: Spool, tmp_path: Path) -> None:
    go, begun = tmp_path / "go", tmp_path / "begun"
    with worker_process(config.home, "--name", "w1", "--slots", "2") as process:
        running = spool.submit(a_job(params={"started": str(begun), "wait": str(go)}))
        until(lambda: lines(begun))
        assert spool.drain("w1", by="ann").alive
        until(lambda: spool.workers()[0].draining)
        waiting = spool.submit(a_job())
        assert spool.why(waiting).kind == "draining"  # type: ignore[union-attr]
        until(lambda: (age := spool.workers()[0].beat_age_s) is not None and age < 1)
        assert process.poll() is None and spool.find(waiting.id) == waiting
        go.touch()
        assert process.wait(20) == 0
    assert finished(spool, running.id) and spool.find(waiting.id) == waiting
    assert spool.workers() == [] and os.listdir(spool.layout.workers) == [], "the next worker of this name is none that drains"
    with worker_process(config.home, "--name", "w1", "--drain") as process:
        assert process.wait(30) == 0
    assert finished(spool, waiting.id)


def test_a_drain_outlives_the_workers_crash_and_not_its_end(config: Settings, spool: Spool) -> None:
    first = workers.register(spool.layout, 1, "w1")
    spool.drain("w1", by="ann")
    first.lock.release()  # as its death would
    again = workers.register(spool.layout, 1, "w1")
    assert again.draining
    assert spool.undrain("w1") is True
    assert not again.draining and spool.undrain("w1") is False
    spool.drain("w1", by="ann")
    again.leave()
    assert not workers.register(spool.layout, 1, "w1").draining


def test_only_a_living_worker_can_be_drained(spool: Spool) -> None:
    with pytest.raises(QueueRefused, match="w1"):
        spool.drain("w1", by="ann")
    registered = workers.register(spool.layout, 1, "w2")
    for name in ("w1", "", "../w2"):
        with pytest.raises(QueueRefused):
            spool.drain(name, by="ann")
    registered.lock.release()
    with pytest.raises(QueueRefused):
        spool.drain("w2", by="ann")
    assert not [name for name in os.listdir(spool.layout.workers) if name.endswith(".drain")]


def test_other_workers_go_on_while_one_is_drained(spool: Spool, new_worker: Callable[..., Worker]) -> None:
    one, other = new_worker(name="w1"), new_worker(name="w2")
    spool.drain("w1", by="ann")
    job = spool.submit(a_job())
    assert one.turn().started == () and one.drained()
    assert other.turn().started == (job.id,) and not other.drained()
    until(lambda: finished(spool, job.id), turn=other.turn)


# Priorities


def test_the_priority_of_a_delayed_job_survives_its_promotion(spool: Spool) -> None:
    urgent, other = (spool.submit(a_job(not_before=clock.iso(clock.now_ms() + 60_000))) for _ in range(2))
    ready = spool.submit(a_job(priority=3))
    assert spool.priority(urgent.id, 0).priority == 0
    found = spool.find(urgent.id)
    assert found and (found.priority, found.not_before) == (0, urgent.not_before)
    assert claiming.promote(spool.layout, clock.now_ms() + 61_000) == [urgent.id, other.id]
    assert claimed(spool) == [urgent.id, ready.id, other.id]


def a_running(spool: Spool) -> Job:
    job = spool.submit(a_job())
    next(claiming.claims(spool.layout)).let_go()
    return job


def test_a_priority_is_refused_clearly(spool: Spool) -> None:
    running = a_running(spool)
    with pytest.raises(QueueRefused, match="running already"):
        spool.priority(running.id, 1)
    assert spool.layout.record(running.id).exists() and spool.layout.lock(running.id).exists(), "the runner's lock file stays"
    waiting = spool.submit(a_job())
    for number in (-1, 10):
        with pytest.raises(QueueRefused, match="is not a priority"):
            spool.priority(waiting.id, number)
    lock = claiming.Lock.take(spool.layout.lock(waiting.id))
    assert lock
    with pytest.raises(QueueRefused, match="just now"):
        spool.priority(waiting.id, 1)
    lock.remove()
    assert spool.priority(waiting.id, 1).priority == 1


def test_the_priority_of_a_finished_job_is_refused(spool: Spool, new_worker: Callable[..., Worker]) -> None:
    (done,) = run(new_worker(), a_job())
    with pytest.raises(QueueRefused, match="has finished"):
        spool.priority(done.id, 1)
