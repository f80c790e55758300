"""Whoever is killed, wherever: every job ends in exactly one archive record and no two engines run one job."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from portal import clock, processes
from portal.jobs import Attempt, Followup, Job, Status, When
from portal.settings import Settings
from portal.spool import Spool, claiming, finishing, records, settling
from portal.spool.layout import delayed_name
from portal.spool.locks import holder, is_held
from portal.waking import Alarm
from portal.worker import Worker
from tests.queues import ENGINES, a_job, archived, dies_at, drain, finished, is_running, lines, run, soon, unsynced, until, worker_process
from worker import Stop, work


@pytest.fixture
def quick(config: Settings) -> Settings:
    with (config.home / ".env").open("a") as file:
        file.write("PORTAL_RETRY_BASE_S=0.01\nPORTAL_KILL_AFTER_S=0.3\nPORTAL_POLL_S=0.2\nPORTAL_SLOTS=4\n")
    return config.model_copy(update={"retry_base_s": 0.01, "kill_after_s": 0.3, "slots": 4})


@pytest.fixture
def worker(quick: Settings) -> Iterator[Worker]:
    made = Worker(quick, engines=ENGINES)
    yield made
    made.leave()


def outcomes(job: Job) -> list[str | None]:
    return [attempt.outcome for attempt in job.attempts]


def runner_of(spool: Spool, job: Job) -> int:
    found = spool.find(job.id)
    assert found and found.attempts[-1].pid
    return found.attempts[-1].pid


# Real processes, killed


def test_runner_and_engine_outlive_their_worker_and_the_next_one_archives(quick: Settings, tmp_path: Path) -> None:
    spool = Spool(quick)
    job = spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go"), "say": ["before"]}))
    with worker_process(quick.home) as first:
        (engine,) = until(lambda: lines(tmp_path / "started"))
        first.kill()
        first.wait()
    assert is_running(int(engine)) and is_held(spool.layout.lock(job.id))
    assert [info.alive for info in spool.workers()] == [False]
    worker = Worker(quick, engines=ENGINES)
    turn = worker.turn()
    assert (turn.settled, turn.started) == ((), ()), "a running job is left to its runner"
    assert worker.mine() == [job.id], "the restarted worker has the name of the dead one, and counts its jobs"
    (tmp_path / "go").touch()
    ended = until(lambda: finished(spool, job.id), turn=worker.turn)
    worker.leave()
    assert (ended.status, outcomes(ended), ended.interruptions) == (Status.SUCCEEDED, ["succeeded"], 0)
    assert lines(tmp_path / "started") == [engine]


def test_sigterm_hands_the_running_jobs_over(quick: Settings, tmp_path: Path) -> None:
    spool = Spool(quick)
    job = spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}))
    with worker_process(quick.home) as first:
        until(lambda: lines(tmp_path / "started"))
        waiting = spool.submit(a_job(not_before="2999-01-01T00:00:00Z"))
        first.terminate()
        assert first.wait(20) == 0
    assert spool.workers() == [] and is_held(spool.layout.lock(job.id))
    (tmp_path / "go").touch()
    with worker_process(quick.home, "--drain") as second:
        assert second.wait(30) == 0, "it drains what it found and does not wait for a job of the far future"
    ended = spool.find(job.id)
    assert ended and (ended.status, outcomes(ended)) == (Status.SUCCEEDED, ["succeeded"])
    assert [item.id for item in spool.waiting()] == [waiting.id]


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGTERM])
def test_sigquit_or_a_second_sigterm_ends_the_running_jobs_which_run_again_later(quick: Settings, tmp_path: Path, how: signal.Signals) -> None:
    spool = Spool(quick)
    job = spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}))
    with worker_process(quick.home) as first:
        (engine,) = until(lambda: lines(tmp_path / "started"))
        first.send_signal(how)
        until(lambda: not is_running(int(engine)), turn=lambda: first.send_signal(how))
        assert first.wait(20) == 0
    assert not is_running(int(engine))
    found = spool.find(job.id)
    assert found and (found.status, found.interruptions, outcomes(found)) == (Status.QUEUED, 1, ["interrupted"])


def test_when_a_runner_is_killed_its_processes_are_ended_before_the_job_runs_again(worker: Worker, tmp_path: Path) -> None:
    params = {"witness": str(tmp_path / "witness"), "started": str(tmp_path / "started"), "grandchild": str(tmp_path / "grandchild"),
              "wait": str(tmp_path / "go")}  # fmt: skip
    job = worker.spool.submit(a_job(params=params))
    (engine,) = until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    (grandchild,) = until(lambda: lines(tmp_path / "grandchild"))
    os.kill(runner_of(worker.spool, job), signal.SIGKILL)
    until(lambda: not is_held(worker.layout.lock(job.id)))
    assert is_running(int(engine)), "the engine does not notice; recovery does"
    (tmp_path / "witness").unlink()  # what the killed engine cannot remove
    (tmp_path / "grandchild").unlink()
    until(lambda: len(lines(tmp_path / "started")) == 2, turn=worker.turn)
    assert not is_running(int(engine)) and not is_running(int(grandchild))
    (tmp_path / "go").touch()
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (ended.status, outcomes(ended), ended.interruptions) == (Status.SUCCEEDED, ["interrupted", "succeeded"], 1)


def test_a_promotion_that_a_power_cut_undid_takes_no_attempt_back(worker: Worker) -> None:
    job = a_job(not_before=soon(-5))
    spool, layout = worker.spool, worker.layout
    (layout.delayed / delayed_name(job.id, clock.parse_ms(job.not_before or ""))).write_text(job.to_json())
    running = job.evolve(status=Status.RUNNING, attempts=(Attempt(1, worker.name, "host", soon(-1)),))
    layout.record(job.id).write_text(running.to_json())  # durable, while the job is still delayed on the disk
    ended = until(lambda: finished(spool, job.id), turn=worker.turn)
    assert (outcomes(ended), ended.interruptions) == (["interrupted", "succeeded"], 1)


def test_a_runner_that_has_just_been_started_is_told_to_end_too(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "never")}))
    (engine,) = until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    answers: Iterator[Callable[[Path], dict[str, Any]]] = chain([lambda _: {}], repeat(holder))  # at first it has not said yet who it is
    monkeypatch.setattr("portal.worker.holder", lambda path: next(answers)(path))
    stop = SimpleNamespace(asked=2)
    alarm = Alarm(worker.layout.queue, hear=worker.hear)
    try:
        work(worker, alarm, cast(Stop, stop), drain=False)
    finally:
        alarm.stop()
    assert not is_running(int(engine))
    found = worker.spool.find(job.id)
    assert found and (found.status, outcomes(found)) == (Status.QUEUED, ["interrupted"])


def test_a_process_that_nobody_can_end_holds_its_own_job_up_and_no_other(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job, layout = a_job(), worker.layout
    running = job.evolve(status=Status.RUNNING, attempts=(Attempt(1, worker.name, "host", soon(-1)),))
    layout.record(job.id).write_text(running.to_json())
    marked = {**os.environ, processes.MARK: job.id, processes.HOME: str(worker.settings.home)}
    left = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], env=marked)
    real_send, real_end, patience = processes.send, processes.end_marked, []
    monkeypatch.setattr(settling, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(settling, "_AGAIN_AFTER_S", 0.05)
    monkeypatch.setattr(processes, "send", lambda pids, number: real_send(pids - {left.pid}, number))
    monkeypatch.setattr(processes, "end_marked", lambda job_id, home, wait_s: patience.append(wait_s) or real_end(job_id, home, wait_s))
    try:
        until(lambda: len(patience) >= 3, turn=worker.turn)
        assert patience[0] == 0.2 and set(patience[1:]) == {0.0}, "only the first try waits"
        (other,) = run(worker, a_job())
        assert other.status is Status.SUCCEEDED
        assert layout.record(job.id).exists(), "it is not run beside what is left of it"
        assert [record.message for record in caplog.records if job.id in record.message and "cannot be ended" in record.message] != []
    finally:
        left.kill()
        left.wait()
    assert outcomes(until(lambda: finished(worker.spool, job.id), turn=worker.turn)) == ["interrupted", "succeeded"]


def test_a_job_that_is_cut_off_too_often_is_given_up(quick: Settings, tmp_path: Path) -> None:
    worker = Worker(quick.model_copy(update={"max_interruptions": 2}), engines=ENGINES)
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "never")}))
    for times in (1, 2, 3):
        until(lambda times=times: len(lines(tmp_path / "started")) == times, turn=worker.turn)
        os.kill(runner_of(worker.spool, job), signal.SIGKILL)
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    worker.leave()
    assert (ended.status, outcomes(ended), ended.interruptions) == (Status.FAILED, ["interrupted"] * 3, 3)
    assert ended.error


def test_a_cancelled_job_whose_runner_was_killed_does_not_run_again(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "never")}))
    (engine,) = until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    os.kill(runner_of(worker.spool, job), signal.SIGKILL)
    worker.spool.cancel(job.id, "me")
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert ended.status is Status.CANCELLED and not is_running(int(engine))


def test_two_workers_run_each_of_many_jobs_once(quick: Settings, tmp_path: Path) -> None:
    spool = Spool(quick)
    jobs = [
        spool.submit(a_job(params={"witness": str(tmp_path / f"w{number}"), "started": str(tmp_path / f"s{number}")}, priority=number % 3))
        for number in range(12)
    ]
    with worker_process(quick.home, "--drain", "--name", "one") as one, worker_process(quick.home, "--drain", "--name", "two") as two:
        assert (one.wait(60), two.wait(60)) == (0, 0)
    done = archived(spool)
    assert sorted(job.id for job in done) == sorted(job.id for job in jobs)
    assert {job.status for job in done} == {Status.SUCCEEDED}
    assert [len(lines(tmp_path / f"s{number}")) for number in range(12)] == [1] * 12
    assert [len(job.attempts) for job in done] == [1] * 12


def test_events_and_ending_children_ring_the_alarm(tmp_path: Path) -> None:
    alarm = Alarm(tmp_path)
    alarm._surely_watching = 0.0
    try:
        for number in range(50):  # until the events have begun
            (tmp_path / str(number)).touch()
            begun = time.monotonic()
            alarm.wait(1)
            if time.monotonic() - begun < 0.9:
                break
        else:
            raise AssertionError("no event in all this time")
        alarm.wait(1)
        child = subprocess.Popen([sys.executable, "-S", "-c", ""])
        begun = time.monotonic()
        alarm.wait(30)
        assert time.monotonic() - begun < 25 and child.wait() == 0
    finally:
        alarm.stop()


def test_an_event_wakes_the_worker_long_before_its_next_look(quick: Settings) -> None:
    spool = Spool(quick)
    (quick.home / ".env").write_text("PORTAL_MIN_FREE_MB=1\nPORTAL_POLL_S=60\n")
    with worker_process(quick.home):
        until(lambda: [info for info in spool.workers() if info.alive])
        first = spool.submit(a_job())
        until(lambda: finished(spool, first.id), seconds=30)
        second = spool.submit(a_job(then=(Followup("act"),)))
        until(lambda: finished(spool, second.id), seconds=30)
        until(lambda: len(archived(spool)) == 3, seconds=30)


# Death before every system call


def ended_attempt(spool: Spool, job: Job, *, said: str = "succeeded", code: int = 0) -> None:
    """What a runner leaves: the record with an open attempt, exit and result."""
    attempt = Attempt(len(job.attempts) + 1, "w", "h", job.submitted_at)
    job = job.evolve(status=Status.RUNNING, attempts=(*job.attempts, attempt))
    spool.layout.record(job.id).write_text(job.to_json())
    spool.folder(job.id).mkdir(exist_ok=True)
    about = {"job": job.id, "attempt": attempt.number}
    spool.layout.exit_file(job.id, attempt.number).write_text(json.dumps({**about, "exit_code": code, "ended_by": None}))
    result = {**about, "outcome": said, "outputs": [{"url": "s3://b/k"}], "error": None}
    spool.layout.result_file(job.id, attempt.number).write_text(json.dumps(result))


def at_every_call(prepare: Callable[[], Job], action: Callable[[Job], Any], check: Callable[[Job], None], least: int) -> None:
    """Die before the first, second, … system call of an action, each time on a job of its own, and check what is left."""
    with unsynced():
        number = _deaths(prepare, action, check)
    assert number > least, f"it died at {number - 1} places only"


def _deaths(prepare: Callable[[], Job], action: Callable[[Job], Any], check: Callable[[Job], None]) -> int:
    number = 1
    job = prepare()
    while dies_at(number, functools.partial(action, job)):
        check(job)
        number += 1
        job = prepare()
    check(job)
    return number


THEN = (
    Followup("act", {"from": {"$result": "/outputs/0/url"}}), Followup("act", {"x": {"$result": "/nowhere"}}), Followup("act", when=When.FAILED),
    Followup("act", when=When.ALWAYS, sealed="SEALED"),
)  # fmt: skip


def test_a_finish_cut_off_anywhere_is_completed_and_children_exist_once(quick: Settings) -> None:
    spool = Spool(quick)

    def prepare() -> Job:
        job = a_job(then=THEN, key=None, sealed="SEALED")
        spool.submit(job.evolve(key=job.id))
        list(claiming.claims(spool.layout))[-1].let_go()
        ended_attempt(spool, job.evolve(key=job.id))
        spool.cancel(job.id, "too late")
        return job

    def check(job: Job) -> None:
        for job_id in [*records.running_ids(spool.layout), *records.running_ids(spool.layout)]:
            settling.settle(spool.layout, job_id)
        settling.cancel_waiting(spool.layout, job.id)
        for claim in claiming.claims(spool.layout):  # the children run at once, and a repeated finish must not start them again
            claim.let_go()
            settling.settle(spool.layout, claim.job.id)
        (path,) = spool.layout.archive.rglob(f"{job.id}.json")
        found = Job.from_json(path.read_text())
        assert found.status is Status.SUCCEEDED and "SEALED" not in found.to_json()
        assert not spool.layout.record(job.id).exists() and not spool.layout.marker(job.id).exists()
        children = [item for child in finishing.child_ids(found) if (item := spool.find(child))]
        assert [item.status for item in children] == [Status.QUEUED, Status.REJECTED, Status.QUEUED]
        assert [item.id for item in spool.waiting()] == [children[0].id, children[2].id]
        assert {item.sealed for item in children if item.status is Status.QUEUED} == {"SEALED"}
        for item in children:  # out of the way of the next round
            for path in spool.layout.queue.glob(f"*-{item.id}.json"):
                path.unlink()

    at_every_call(prepare, lambda job: settling.settle(spool.layout, job.id), check, least=40)


def test_a_retry_cut_off_anywhere_is_completed_and_counted_once(quick: Settings) -> None:
    spool = Spool(quick.model_copy(update={"retry_base_s": 600.0}))

    def prepare() -> Job:
        job = spool.submit(a_job())
        list(claiming.claims(spool.layout))[-1].let_go()
        ended_attempt(spool, job, said="failed", code=1)
        return job

    def check(job: Job) -> None:
        settling.settle(spool.layout, job.id)
        found = spool.find(job.id)
        assert found and (found.status, outcomes(found), found.interruptions) == (Status.QUEUED, ["failed"], 0)
        assert [item.id for item in spool.waiting()].count(job.id) == 1
        assert not spool.layout.record(job.id).exists()

    at_every_call(prepare, lambda job: settling.settle(spool.layout, job.id), check, least=8)


def opened(job: Job) -> Job:
    return job.evolve(status=Status.RUNNING, attempts=(*job.attempts, Attempt(len(job.attempts) + 1, "w", "h", job.submitted_at)))


@pytest.mark.parametrize(("opening", "least"), [(claiming.unopened, 4), (opened, 7)])
def test_a_claim_cut_off_anywhere_leaves_the_job_to_the_next(quick: Settings, opening: claiming.Opening, least: int) -> None:
    spool = Spool(quick)

    def claim(job: Job) -> None:
        for claimed in claiming.claims(spool.layout, opening=opening):
            claimed.let_go()

    def check(job: Job) -> None:
        settling.settle(spool.layout, job.id)
        assert {item.id for item in spool.waiting()} == {job.id}
        (claimed,) = claiming.claims(spool.layout)
        claimed.let_go()
        assert [item.id for item in spool.running()] == [job.id] and not spool.waiting()
        spool.layout.record(job.id).unlink()

    at_every_call(lambda: spool.submit(a_job(limits=("a", "b"))), claim, check, least=least)


def test_a_cancel_of_a_waiting_job_cut_off_anywhere_is_completed(quick: Settings) -> None:
    spool = Spool(quick)

    def prepare() -> Job:
        job = spool.submit(a_job())
        spool.cancel(job.id, "me")
        return job

    def check(job: Job) -> None:
        settling.cancel_waiting(spool.layout, job.id)
        settling.cancel_waiting(spool.layout, job.id)
        assert [item.status for item in archived(spool) if item.id == job.id] == [Status.CANCELLED]
        assert spool.counts()["queued"] == spool.counts()["running"] == spool.counts()["cancel_requested"] == 0

    at_every_call(prepare, lambda job: settling.cancel_waiting(spool.layout, job.id), check, least=7)


# What a death may leave


def test_the_outcome_comes_from_files_that_name_the_job_and_the_attempt(worker: Worker) -> None:
    """Files of another attempt or another job are not believed; a durable result is, even when nobody saw the engine end."""
    jobs = [worker.spool.submit(a_job(max_attempts=1)) for _ in range(3)]
    for claim in claiming.claims(worker.layout):
        claim.let_go()
    for job in jobs:
        ended_attempt(worker.spool, job)
    foreign, unseen, aborted = jobs
    result = worker.layout.result_file(foreign.id, 1)
    result.write_text(json.dumps({**json.loads(result.read_text()), "job": unseen.id}))
    worker.layout.exit_file(unseen.id, 1).unlink()
    end = worker.layout.exit_file(aborted.id, 1)
    end.write_text(json.dumps({**json.loads(end.read_text()), "exit_code": -6}))
    settled = [settling.settle(worker.layout, job.id) for job in jobs]
    assert [job.status for job in settled if job] == [Status.FAILED, Status.SUCCEEDED, Status.SUCCEEDED]


def test_a_result_that_would_make_the_record_unreadable_is_not_believed(worker: Worker) -> None:
    odd, deep = jobs = [worker.spool.submit(a_job(max_attempts=1)) for _ in range(2)]
    for claim in claiming.claims(worker.layout):
        claim.let_go()
    for job in jobs:
        ended_attempt(worker.spool, job)
    about = {"job": odd.id, "attempt": 1, "outcome": "succeeded", "report": {"ratio": float("nan"), "name": "\ud800"}}
    worker.layout.result_file(odd.id, 1).write_text(json.dumps(about))
    deep_result = json.dumps({**about, "job": deep.id})[:-1] + ', "x": ' + "[" * 300 + "]" * 300 + "}"
    worker.layout.result_file(deep.id, 1).write_text(deep_result)
    settled = [settling.settle(worker.layout, job.id) for job in jobs]
    assert [job.status for job in settled if job] == [Status.SUCCEEDED, Status.FAILED]
    found = worker.spool.find(odd.id)
    assert found and found.result and found.result["report"] == {"ratio": None, "name": "\ud800"}


def test_a_file_nobody_can_read_does_not_keep_a_job_from_finishing(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    job = worker.spool.submit(a_job())
    (claim,) = claiming.claims(worker.layout)
    claim.let_go()
    ended_attempt(worker.spool, job)
    real = Path.open

    def refuse(path: Path, *arguments: Any, **named: Any) -> Any:
        if path.name == "secret.bin":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **named)

    (worker.spool.folder(job.id) / "secret.bin").touch()
    monkeypatch.setattr(Path, "open", refuse)
    ended = settling.settle(worker.layout, job.id)
    assert ended and ended.status is Status.SUCCEEDED
    (item,) = [item for item in ended.artefacts if item["name"].endswith("secret.bin")]
    assert item["sha256"] is None and "Permission denied" in item["error"]


def test_a_running_record_nobody_can_read_is_kept_and_shown(worker: Worker) -> None:
    job = worker.spool.submit(a_job())
    (claim,) = claiming.claims(worker.layout)
    worker.layout.record(job.id).write_text("{")
    claim.let_go()
    worker.turn()
    (kept,) = worker.spool.corrupt()
    assert kept.name == f"{job.id}.json" and "not JSON" in kept.reason


def test_a_worker_that_finds_only_leftovers_cleans_them_up(worker: Worker) -> None:
    layout = worker.layout
    (layout.tmp / "leftover").write_text("half")
    (layout.archive_tmp / "leftover").write_text("half")
    job = worker.spool.submit(a_job())
    drain(worker)
    layout.marker(job.id).write_text("{}")
    for name in (job.id, a_job().id):
        layout.lock(name).touch()
    worker._tidied_ms = 0
    worker.turn()
    assert [list(folder.iterdir()) for folder in (layout.tmp, layout.archive_tmp, layout.cancel, layout.locks)] == [[], [], [], []]
