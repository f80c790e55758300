"""What the worker makes of a job: real runners and real engine processes, the worker's turns taken here."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal import clock, vault
from portal.jobs import Followup, Job, Status, When
from portal.settings import Settings
from portal.spool import Spool, keys
from portal.spool.claiming import Claim
from portal.spool.outcome import delay_s
from portal.starting import Starter
from portal.worker import Worker
from tests.queues import ENGINES, ROOT, a_job, archived, drain, finished, lines, run, soon, until

QUICK = {"retry_base_s": 0.01, "kill_after_s": 0.3, "slots": 4}


@pytest.fixture
def worker(config: Settings) -> Iterator[Worker]:
    made = Worker(config.model_copy(update=QUICK), engines=ENGINES)
    yield made
    made.leave()


def outcomes(job: Job) -> list[str | None]:
    return [attempt.outcome for attempt in job.attempts]


def test_a_job_is_run_and_archived_with_all_there_is_to_know(worker: Worker) -> None:
    (job,) = run(worker, a_job(params={"say": ["hello"], "outputs": [{"url": "s3://b/k"}]}, submitted_by="ada", sealed=None))
    assert (job.status, job.submitted_by, job.error) == (Status.SUCCEEDED, "ada", None)
    assert job.result and job.result["outputs"] == [{"url": "s3://b/k"}]
    (attempt,) = job.attempts
    assert (attempt.number, attempt.worker, attempt.exit_code, attempt.outcome) == (1, worker.name, 0, "succeeded")
    assert attempt.pid and attempt.process_started and attempt.finished_at
    assert attempt.peak_memory_bytes and attempt.peak_memory_bytes > 1 << 20
    assert attempt.cpu_s and 0 < attempt.cpu_s < 20
    assert {item["name"] for item in job.artefacts} == {f"{job.id}.log", f"{job.id}/exit-1.json", f"{job.id}/result-1.json"}
    assert "hello" in worker.spool.log_path(job.id).read_text().splitlines()
    layout = worker.layout
    assert [list(folder.iterdir()) for folder in (layout.running, layout.locks, layout.tmp, layout.cancel)] == [[], [], [], []]


def test_the_housekeeping_looks_for_old_keys_once_an_hour(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(keys, "forget_old", lambda _, now_ms: looked.append(now_ms))
    for minute in range(0, 130, 10):
        worker._tidy(minute * 60_000 + 1_000_000_000_000)
    assert [(moment - looked[0]) // 60_000 for moment in looked] == [0, 60, 120]
    worker._tidy(looked[0] - 1)
    assert len(looked) == 4, "the clock was set back"


def test_running_jobs_tell_who_runs_them(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}))
    until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    (running,) = worker.spool.running()
    found = worker.spool.find(job.id)
    assert found and found.status is running.status is Status.RUNNING
    assert running.attempts[0].pid and found.attempts == running.attempts
    assert worker.mine() == [job.id]
    assert [info.running for info in worker.spool.workers()] == [1]
    (tmp_path / "go").touch()
    drain(worker)
    assert worker.spool.running() == []


def test_no_more_jobs_run_at_a_time_than_there_are_slots(config: Settings, tmp_path: Path) -> None:
    worker = Worker(config, slots=2, engines=ENGINES)
    for _ in range(3):
        worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}))
    until(lambda: len(lines(tmp_path / "started")) == 2, turn=worker.turn)
    assert worker.turn().started == ()
    assert worker.spool.counts()["queued"] == 1
    (tmp_path / "go").touch()
    drain(worker)
    worker.leave()
    assert len(archived(worker.spool)) == 3


@pytest.mark.parametrize(
    ("params", "status", "error"),
    [
        ({"outcome": "partial"}, Status.PARTIAL, None),
        ({"outcome": "rejected", "silent": True}, Status.REJECTED, "rejected its parameters"),
        ({"fail_in": [1], "error": {"message": "No.", "causes": ["because"], "hint": "Try.", "retryable": False}}, Status.FAILED,
         "No.\n  because: because\n  what to do: Try."),
        ({"silent": True}, Status.FAILED, "exit code 0 and wrote no result"),
        ({"outcome": "partial", "exit": 0}, Status.FAILED, "exit code 0"),
        ({"kill_in": [1]}, Status.FAILED, "SIGSEGV"),
    ],
)  # fmt: skip
def test_an_ending_is_told_from_exit_code_and_result(worker: Worker, params: dict[str, Any], status: Status, error: str | None) -> None:
    (job,) = run(worker, a_job(params=params, max_attempts=1))
    assert job.status is status
    assert len(job.attempts) == 1
    assert error is None if job.error is None else error and error in job.error


def test_a_crash_is_tried_again_and_then_given_up(worker: Worker) -> None:
    recovered, given_up = run(worker, a_job(params={"kill_in": [1], "fail_in": [2]}), a_job(params={"kill_in": [1, 2]}, max_attempts=2))
    assert outcomes(recovered) == ["failed", "failed", "succeeded"]
    assert (recovered.status, recovered.error) == (Status.SUCCEEDED, None)
    assert [attempt.exit_code for attempt in recovered.attempts] == [-11, 1, 0]
    assert recovered.attempts[1].error == "no luck"
    assert (given_up.status, outcomes(given_up)) == (Status.FAILED, ["failed", "failed"])
    assert given_up.interruptions == 0
    log = worker.spool.log_path(recovered.id).read_text()
    assert [f"attempt {number} starts" in log for number in (1, 2, 3, 4)] == [True, True, True, False]


def test_the_delay_before_another_attempt_doubles_up_to_its_bound_with_jitter(config: Settings, worker: Worker) -> None:
    (job,) = run(worker, a_job(params={"fail_in": [1]}, max_attempts=1))
    tries = [job.evolve(attempts=job.attempts * count) for count in range(1, 12)]
    delays = [delay_s(item, config) for item in tries]
    assert 0.75 * 5 <= delays[0] <= 1.25 * 5
    assert all(0.75 * min(900, 5 * 2**step) <= delay <= 1.25 * min(900, 5 * 2**step) for step, delay in enumerate(delays))
    assert delays == [delay_s(item, config) for item in tries], "the same after a crash"
    assert delay_s(a_job(id="0" * 26).evolve(attempts=job.attempts), config) != delays[0]


def test_a_job_that_waits_for_its_next_attempt_is_delayed_not_lost(config: Settings) -> None:
    worker = Worker(config.model_copy(update={"retry_base_s": 600.0}), engines=ENGINES)
    job = worker.spool.submit(a_job(params={"fail_in": [1]}))
    until(lambda: worker.spool.counts()["delayed"], turn=worker.turn)
    found = worker.spool.find(job.id)
    assert found and (found.status, found.error) == (Status.QUEUED, "no luck")
    assert not worker.empty(), "its next attempt is awaited"
    worker.spool.cancel(job.id, "me")
    worker.turn()
    found = worker.spool.find(job.id)
    assert found and (found.status, outcomes(found)) == (Status.CANCELLED, ["failed"])
    worker.leave()


def test_a_job_that_takes_too_long_is_ended(worker: Worker, tmp_path: Path) -> None:
    (job,) = run(worker, a_job(params={"wait": str(tmp_path / "never")}, timeout_s=0.2, max_attempts=1))
    assert (job.status, outcomes(job)) == (Status.FAILED, ["timeout"])
    assert job.error and "0.2 s" in job.error


def test_cancelling_ends_what_waits_and_what_runs(worker: Worker, tmp_path: Path) -> None:
    ready, delayed, running = (
        a_job(priority=9, limits=("one",)), a_job(not_before=soon(3600)),
        a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "never")}, limits=("one",)),
    )  # fmt: skip
    for job in (ready, delayed, running):
        worker.spool.submit(job)
    until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    for job in (ready, delayed, running):
        worker.spool.cancel(job.id, "ada")
    ended = [until(lambda job=job: finished(worker.spool, job.id), turn=worker.turn) for job in (ready, delayed, running)]
    assert [job.status for job in ended] == [Status.CANCELLED] * 3
    assert [outcomes(job) for job in ended] == [[], [], ["cancelled"]]
    assert worker.spool.counts()["cancel_requested"] == 0


def test_a_durable_success_beats_a_later_cancel(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started")}))
    until(lambda: lines(tmp_path / "started"), turn=lambda: None if worker.mine() else worker.turn())
    until(lambda: worker.layout.exit_file(job.id, 1).exists())
    worker.spool.cancel(job.id, "too late")
    assert until(lambda: finished(worker.spool, job.id), turn=worker.turn).status is Status.SUCCEEDED
    assert not worker.spool.cancel_requested(job.id)


def test_a_failure_is_not_tried_again_once_the_job_is_cancelled(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job(params={"fail_in": [1, 2, 3]}))
    until(worker.mine, turn=worker.turn)
    until(lambda: worker.layout.exit_file(job.id, 1).exists())
    worker.spool.cancel(job.id, "me")
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (ended.status, outcomes(ended)) == (Status.CANCELLED, ["cancelled"])


def test_what_nobody_can_run_is_rejected_with_the_reason(worker: Worker) -> None:
    jobs = [a_job("no_such_engine"), a_job("../act"), a_job("os"), a_job("__init__"), a_job("Act")]
    for job in run(worker, *jobs):
        assert job.status is Status.REJECTED
        assert job.error and f"no engine {job.engine!r}" in job.error and "act" in job.error
        assert job.attempts == ()


def test_follow_ups_quote_the_result_and_start_after_the_end_they_name(worker: Worker) -> None:
    then = (
        Followup("act", {"say": [{"$result": "/outputs/0/url"}], "report": {"$result": "/report"}}, labels={"name": "next"}, priority=1),
        Followup("act", when=When.FAILED), Followup("act", when=When.ALWAYS, then=(Followup("act", labels={"name": "grandchild"}),)),
        Followup("act", {"x": {"$result": "/nowhere"}}),
    )  # fmt: skip
    params = {"outputs": [{"url": "abfss://c@a/x"}], "report": {"rows": 7}}
    (parent,) = run(worker, a_job(params=params, then=then, submitted_by="ada"))
    drain(worker)
    children = {job.name: job for job in archived(worker.spool) if job.parent == parent.id and job.status is Status.SUCCEEDED}
    assert sorted(children) == ["act", "next"]
    child = children["next"]
    assert child.params == {"say": ["abfss://c@a/x"], "report": {"rows": 7}}
    assert (child.submitted_by, child.priority) == ("ada", 1)
    assert child.result and child.result["report"] == {"rows": 7}
    assert [job.parent for job in archived(worker.spool) if job.name == "grandchild"] == [children["act"].id]
    (rejected,) = [job for job in archived(worker.spool) if job.status is Status.REJECTED]
    assert rejected.error and "/nowhere" in rejected.error and rejected.parent == parent.id
    assert len(archived(worker.spool)) == 5


def test_secrets_rest_nowhere_in_the_clear(worker: Worker, home: Path) -> None:
    secret = "s3cr3t/Of+The=Day"
    typed = {"connections": {"mine": {"kind": "s3", "access_key_id": "AKIDEXAMPLE", "secret_access_key": secret}}}
    job = a_job(
        params={"say_secrets": True}, sealed=vault.seal(worker.settings, typed), key="once", then=(Followup("act", {"say_secrets": True}),),
    )  # fmt: skip
    parent_sealed = job.sealed
    (parent,) = run(worker, job)
    drain(worker)
    (child,) = [item for item in archived(worker.spool) if item.parent == parent.id]
    for item in (parent, child):
        log = worker.spool.log_path(item.id).read_text()
        assert '"access_key_id": "AKIDEXAMPLE"' in log, "the engine got what was typed in, the follow-up too"
        assert item.sealed is None
    assert parent_sealed and parent.result and "•••" in parent.result["report"]["note"]
    for path in (path for path in home.rglob("*") if path.is_file() and ".keys" not in path.parts):
        text = path.read_text("utf-8", "replace")
        assert secret not in text and parent_sealed not in text, f"{path} holds a secret"
    assert keys.path_of(worker.layout, "once").exists()


def test_a_sealed_part_that_cannot_be_opened_fails_the_job_with_the_reason(worker: Worker) -> None:
    (job,) = run(worker, a_job(sealed="1.not.sealed"))
    assert (job.status, outcomes(job)) == (Status.FAILED, ["failed"])
    assert job.error and "sealed" in job.error and "what to do" in job.error


def test_one_job_that_cannot_be_worked_on_does_not_stop_the_others(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = worker.spool.submit(a_job(priority=0)), worker.spool.submit(a_job())
    real = Starter.start

    def start(self: Starter, job: Job, claim: Claim) -> None:
        if job.id == bad.id:
            raise RuntimeError("a bug")
        real(self, job, claim)

    monkeypatch.setattr(Starter, "start", start)
    turn = worker.turn()
    assert (turn.troubled, turn.started) == ((bad.id,), (good.id,))
    assert turn.idle, "it is tried again after a while, not at once"
    until(lambda: finished(worker.spool, good.id), turn=worker.turn)
    monkeypatch.undo()
    done = until(lambda: finished(worker.spool, bad.id), turn=worker.turn)
    assert done.status is Status.SUCCEEDED and done.interruptions >= 1


def test_an_engine_of_the_frame_runs_as_a_job(config: Settings) -> None:
    """The order that the runner hands over is what `portal.engine` reads."""
    worker = Worker(config.model_copy(update=QUICK), engines=ENGINES)
    (job,) = run(worker, a_job("framed", params={"word": "x", "count": 2}))
    assert (job.status, job.error) == (Status.SUCCEEDED, None)
    assert job.result and job.result["report"] == {"said": "xx", "attempt": 1}
    assert (progress := worker.spool.progress(job.id)) and progress.done == 2
    (bad,) = run(worker, a_job("framed", params={"count": "many"}))
    assert (bad.status, len(bad.attempts)) == (Status.REJECTED, 1)
    assert bad.error and "word is missing" in bad.error
    worker.leave()


def test_an_engines_process_gets_its_order_neither_by_argument_nor_by_environment(worker: Worker, tmp_path: Path) -> None:
    job = a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go"), "hidden": "in-the-order-only"})
    worker.spool.submit(job)
    pid = until(lambda: lines(tmp_path / "started"), turn=worker.turn)[0]
    shown = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    assert b"in-the-order-only" not in b"".join(shown)
    assert f"PORTAL_JOB_ID={job.id}".encode() in shown[1] and f"PORTAL_HOME={worker.settings.home}".encode() in shown[1]
    assert Path(f"/proc/{pid}/cwd").resolve() == ROOT
    held = [Path(path).name for path in Path(f"/proc/{pid}/fd").iterdir() if "locks" in str(path.resolve())]
    assert held == [], "an engine never has a copy of the lock"
    (tmp_path / "go").touch()
    drain(worker)


def test_the_spool_is_the_same_from_another_process(config: Settings, worker: Worker) -> None:
    job = Spool(config).submit(a_job())
    drain(worker)
    found = Spool(config).find(job.id)
    assert found and found.status is Status.SUCCEEDED
    assert json.loads(Spool(config).archive_path(found).read_text())["id"] == job.id


def test_a_job_whose_process_cannot_be_started_waits_and_nothing_is_counted(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    turned_s = [0]

    def turn_later() -> None:
        turned_s[0] += 10
        worker.turn()

    def refuse(_: Starter, job: Job, claim: Claim) -> None:
        refused.append(job.id)
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    job = worker.spool.submit(a_job())
    monkeypatch.setattr(clock, "now_ms", lambda real=clock.now_ms: real() + turned_s[0] * 1000)
    with monkeypatch.context() as without_processes:
        without_processes.setattr(Starter, "start", refuse)
        until(lambda: len(refused) > worker.settings.max_interruptions + 1, turn=turn_later)
    waiting = worker.spool.find(job.id)
    assert waiting and (waiting.status, waiting.attempts, waiting.interruptions) == (Status.QUEUED, (), 0)
    assert waiting.error and "temporarily unavailable" in waiting.error
    turn_later()
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (ended.status, outcomes(ended), ended.interruptions, ended.error) == (Status.SUCCEEDED, ["succeeded"], 0, None)
