"""Warm starts: a job notices nothing of them but the time, whatever dies they lose and double nothing, and they are given up without harm."""

from __future__ import annotations

import inspect
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal import processes, vault
from portal.jobs import Job, Status
from portal.settings import Settings
from portal.spool.locks import is_held
from portal.worker import Worker
from tests import test_recovery, test_worker
from tests.queues import ENGINES, a_job, finished, is_running, lines, run, until, worker_process
from tests.warming import child, command_line, setting, spare_runners, starting

QUICK = {"kill_after_s": 0.3, "retry_base_s": 0.01, "warm": 2}


@pytest.fixture
def worker(config: Settings) -> Iterator[Worker]:
    """A worker whose jobs are all started warm."""
    with starting(Worker(config.model_copy(update=QUICK), engines=ENGINES), "warm") as made:
        yield made


@pytest.fixture
def plain(config: Settings) -> Iterator[Worker]:
    """A worker whose spares are the test's own affair."""
    made = Worker(config.model_copy(update=QUICK), engines=ENGINES)
    made._starter.spares.preloaded = ()
    yield made
    made.leave()


def outcomes(job: Job) -> list[str | None]:
    return [attempt.outcome for attempt in job.attempts]


def warm_up(worker: Worker) -> None:
    spares = worker._starter.spares
    until(lambda: spares.ready == spares.wanted, turn=spares.tick)


# What a job sees


def report(worker: Worker, **params: Any) -> dict[str, Any]:
    (job,) = run(worker, a_job("mirror", params=params))
    assert job.status is Status.SUCCEEDED and job.result, job.error
    found: dict[str, Any] = job.result["report"]
    return found


def test_a_warm_engine_sees_what_a_cold_one_sees(config: Settings) -> None:
    seen = {}
    for how in ("cold", "warm"):
        with starting(Worker(config.model_copy(update=setting(how)), engines=ENGINES), how, "portal.engine") as worker:
            seen[how] = report(worker)
            del seen[how]["own"]
    assert seen["warm"] == seen["cold"]
    assert seen["warm"]["threads"] == "1" and seen["warm"]["runner"] and seen["warm"]["own session"]


def test_nothing_of_one_job_reaches_the_next(worker: Worker) -> None:
    first, *others = (report(worker, leave_traces=True) for _ in range(4))  # more than there were spares
    for other in others:
        mine, its = first.pop("own"), other.pop("own")
        assert other == first
        assert not set(mine.values()) & set(its.values()), "random numbers, UUIDs and processes are its own"
        first["own"] = mine


def test_an_interpreter_that_was_not_torn_down_has_ended_properly_all_the_same(worker: Worker, tmp_path: Path) -> None:
    (job,) = run(worker, a_job("mirror", params={"file": str(tmp_path / "file")}))
    assert job.status is Status.SUCCEEDED
    assert {path.name: path.read_text() for path in tmp_path.glob("file*")} == {
        "file": "written", "file.exit": "handled", "file.late": "waited for",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "code", "said"),
    [({"raise": "oh"}, 1, "RuntimeError: oh"), ({"exit": "no way"}, 1, "no way"), ({"exit": 3}, 3, ""), ({"exit": 259}, 3, "")],
)
def test_exit_codes_and_tracebacks_are_those_of_an_interpreter(worker: Worker, params: dict[str, Any], code: int, said: str) -> None:
    (job,) = run(worker, a_job("mirror", params=params, max_attempts=1))
    assert job.attempts[0].exit_code == code
    log = worker.spool.log_path(job.id).read_text()
    assert said in log and "portal/" not in log, "no line of ours is in a traceback"


@pytest.mark.parametrize(
    "behaviour",
    [
        test_worker.test_a_job_is_run_and_archived_with_all_there_is_to_know,
        test_worker.test_running_jobs_tell_who_runs_them,
        test_worker.test_a_crash_is_tried_again_and_then_given_up,
        test_worker.test_an_engines_process_gets_its_order_neither_by_argument_nor_by_environment,
        test_recovery.test_when_a_runner_is_killed_its_processes_are_ended_before_the_job_runs_again,
        test_recovery.test_a_cancelled_job_whose_runner_was_killed_does_not_run_again,
    ],
    ids=lambda behaviour: behaviour.__name__.removeprefix("test_"),
)
def test_the_queue_behaves_as_with_cold_starts(worker: Worker, tmp_path: Path, behaviour: Callable[..., None]) -> None:
    given = {"worker": worker, "tmp_path": tmp_path}
    behaviour(**{name: given[name] for name in inspect.signature(behaviour).parameters})


# What others see of it


def test_the_process_list_shows_the_job_and_no_secret(worker: Worker, config: Settings, tmp_path: Path) -> None:
    vault.ensure_keys(config)
    sealed = vault.seal(config, {"connections": {"s3:x": {"secret_key": "very-secret-value"}}})
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go"), "say_secrets": True}, sealed=sealed))
    engine = int(until(lambda: lines(tmp_path / "started"), turn=worker.turn)[0])
    runner = processes.parents()[engine]
    assert command_line(engine)[1:] == ["-m", f"{ENGINES}.act", job.id] and command_line(runner)[1:] == ["-m", "portal.runner", job.id]
    zygote = worker._starter.spares.zygote
    assert zygote
    for pid in (engine, runner, zygote.pid, *processes.descendants(zygote.pid)):
        shown = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        assert b"very-secret-value" not in shown
        assert (f"PORTAL_JOB_ID={job.id}\0".encode() in shown) == (pid in (engine, runner))
        assert f"PORTAL_HOME={worker.settings.home}\0".encode() in shown
    (tmp_path / "go").touch()
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert "•••" in worker.spool.log_path(job.id).read_text() and "very-secret-value" not in worker.spool.log_path(job.id).read_text()
    assert ended.status is Status.SUCCEEDED


def test_nobody_but_the_runner_has_the_lock_or_a_descriptor_of_the_queue(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}, limits=("one", "two")))
    engine = int(until(lambda: lines(tmp_path / "started"), turn=worker.turn)[0])
    worker.turn()
    zygote, runner = worker._starter.spares.zygote, processes.parents()[engine]
    assert zygote

    def held(pid: int) -> list[str]:
        links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if os.path.lexists(path)]
        return sorted(link for link in links if str(worker.settings.home) in link)

    queue = worker.layout.queue
    assert [path for path in held(runner) if str(queue) in path] == [
        *sorted(str(path) for path in worker.layout.limits.iterdir()), str(worker.layout.lock(job.id)),
    ]  # fmt: skip
    others = {os.getpid(), engine, zygote.pid, *processes.descendants(zygote.pid)} - {runner}
    assert [path for pid in others for path in held(pid) if path == str(worker.layout.lock(job.id)) or "limits" in path] == []
    assert {pid: held(pid) for pid in others - {os.getpid()}} == {pid: [] for pid in others - {os.getpid()}}
    (tmp_path / "go").touch()
    until(lambda: finished(worker.spool, job.id), turn=worker.turn)


# Whatever dies


def test_forked_children_of_a_killed_runners_engine_are_found_and_ended_first(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job("mirror", params={"fork": str(tmp_path / "forked")}))
    forked, engine = map(int, until(lambda: len(found := lines(tmp_path / "forked")) == 2 and found, turn=worker.turn))
    assert {forked, engine} <= processes.marked(job.id, worker.settings.home)
    os.kill(engine, signal.SIGSTOP)  # it cannot pass on its own end
    os.kill(processes.parents()[engine], signal.SIGKILL)
    until(lambda: len(lines(tmp_path / "forked")) == 4, turn=worker.turn)
    assert not is_running(forked) and not is_running(engine)
    worker.spool.cancel(job.id, "me")
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert outcomes(ended) == ["interrupted", "cancelled"]


def test_a_killed_zygote_is_replaced_and_the_spares_it_made_are_used(plain: Worker, tmp_path: Path) -> None:
    warm_up(plain)
    worker, spares = plain, plain._starter.spares
    first, made = spares.zygote, spare_runners(worker)
    assert first
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not is_running(first.pid))
    params = [{"started": str(tmp_path / f"{number}"), "witness": str(tmp_path / f"w{number}")} for number in range(5)]
    done = run(worker, *(a_job(params=each) for each in params))
    assert [outcomes(job) for job in done] == [["succeeded"]] * 5
    assert {job.attempts[0].pid for job in done} >= set(made)
    assert [len(lines(tmp_path / str(number))) for number in range(5)] == [1] * 5
    warm_up(worker)
    assert spares.zygote and spares.zygote is not first


@pytest.mark.parametrize("victim", ["runner", "engine"])
def test_a_spare_that_was_killed_is_replaced_before_a_job_meets_it(worker: Worker, tmp_path: Path, victim: str) -> None:
    first, second = spare_runners(worker)
    engine = child(first)
    os.kill(first if victim == "runner" else engine, signal.SIGKILL)
    until(lambda: not is_running(first) and not is_running(engine))
    (job,) = run(worker, a_job(params={"started": str(tmp_path / "started")}))
    assert (outcomes(job), job.attempts[0].pid, len(lines(tmp_path / "started"))) == (["succeeded"], second, 1)
    until(lambda: worker._starter.spares.ready == 2, turn=worker.turn)


def stopped_engine(worker: Worker) -> tuple[int, int]:
    """The spare that is used next, whose engine process was stopped: it will not answer."""
    runner = spare_runners(worker)[0]
    engine = child(runner)
    os.kill(engine, signal.SIGSTOP)
    return runner, engine


def take_order(worker: Worker, runner: int, **params: Any) -> Job:
    """Submit a job and hand it to the runner, which waits now for its engine process to be marked."""
    job = worker.spool.submit(a_job(params=params))
    until(lambda: job.id in command_line(runner), turn=worker.turn)
    return job


@pytest.mark.parametrize("goes_on", ["before recovery", "after recovery"])
def test_a_runner_killed_before_its_engine_was_marked_leaves_nothing_that_could_begin(worker: Worker, tmp_path: Path, goes_on: str) -> None:
    runner, engine = stopped_engine(worker)
    job = take_order(worker, runner, started=str(tmp_path / "started"))
    os.kill(runner, signal.SIGKILL)
    until(lambda: not is_held(worker.layout.lock(job.id)))
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn) if goes_on == "after recovery" else None
    os.kill(engine, signal.SIGCONT)  # it reads the job's name, marks itself, and finds nobody who would give it the order
    until(lambda: not is_running(engine))
    ended = ended or until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (outcomes(ended), ended.interruptions) == (["interrupted", "succeeded"], 1)
    assert len(lines(tmp_path / "started")) == 1, "it began once"


def test_an_engine_process_killed_before_it_began_costs_the_job_nothing(worker: Worker, tmp_path: Path) -> None:
    runner, engine = stopped_engine(worker)
    job = take_order(worker, runner, started=str(tmp_path / "started"), say=["hello"])
    os.kill(engine, signal.SIGKILL)
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (outcomes(ended), ended.attempts[0].pid, ended.interruptions) == (["succeeded"], runner, 0)
    assert ended.attempts[0].cpu_s and ended.attempts[0].peak_memory_bytes
    assert len(lines(tmp_path / "started")) == 1 and "hello" in worker.spool.log_path(job.id).read_text()


def test_a_lock_on_its_way_to_a_runner_is_held_until_the_runner_has_it_or_is_dead(worker: Worker, tmp_path: Path) -> None:
    runner = spare_runners(worker)[0]
    os.kill(runner, signal.SIGSTOP)
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started")}, limits=("one",)))
    until(lambda: worker.turn().started)
    assert is_held(worker.layout.lock(job.id)) and worker.turn().settled == (), "nobody has received it yet, and it is nobody else's"
    os.kill(runner, signal.SIGKILL)
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (outcomes(ended), ended.interruptions, len(lines(tmp_path / "started"))) == (["interrupted", "succeeded"], 1, 1)


def test_the_end_of_a_runner_and_of_one_of_another_worker_is_told(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}))
    engine = int(until(lambda: lines(tmp_path / "started"), turn=worker.turn)[0])
    worker.turn()
    starter = worker._starter
    starter.watch(processes.identity(processes.parents()[engine]))
    starter.watch({**processes.identity(engine), "start": "1"})
    starter.watch({})
    assert len(starter._endings.descriptors()) == 2
    assert starter._endings.collect() == 0
    (tmp_path / "go").touch()
    until(lambda: starter._endings.collect() == 2, turn=lambda: None)
    assert until(lambda: finished(worker.spool, job.id), turn=worker.turn).status is Status.SUCCEEDED


# With a worker of its own, and all that is imported in earnest


def test_what_waits_ends_with_a_killed_worker_and_what_has_a_job_goes_on(config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_WARM", "1")
    worker = Worker(config.model_copy(update={"warm": 0}), engines=ENGINES, name="successor")
    params = {"started": str(tmp_path / "started"), "wait": str(tmp_path / "go"), "witness": str(tmp_path / "witness")}
    with worker_process(config.home) as first:
        (zygote,) = until(lambda: [pid for pid in processes.descendants(first.pid) if "portal.warm.zygote" in command_line(pid)])
        until(lambda: len(processes.descendants(zygote)) == 2, seconds=90)
        job = worker.spool.submit(a_job(params=params))
        (engine,) = until(lambda: lines(tmp_path / "started"))
        assert command_line(int(engine))[-1] == job.id, "it was started warm"
        until(lambda: len(processes.descendants(zygote)) == 4)
        waiting = processes.descendants(zygote) - {int(engine), processes.parents()[int(engine)]}
        first.kill()
        first.wait()
        until(lambda: not [pid for pid in (zygote, *waiting) if is_running(pid)])
    assert is_running(int(engine)) and is_held(worker.layout.lock(job.id))
    (tmp_path / "go").touch()
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (outcomes(ended), ended.interruptions, lines(tmp_path / "started")) == (["succeeded"], 0, [engine])
    worker.leave()


# When there is nothing warm


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('broken')", "bad_module cannot be imported: ValueError: broken"),
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "bad_module starts a thread"),
        ("kept = open('/dev/null')", "bad_module leaves a file open"),
    ],
)
def test_what_cannot_be_imported_for_all_jobs_is_said_once_and_jobs_start_cold(
    plain: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: str, reason: str
) -> None:
    (tmp_path / "bad_module.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    spares = plain._starter.spares
    spares.preloaded = ("bad_module",)
    until(lambda: spares._hopeless, turn=spares.tick)
    assert [record.getMessage() for record in caplog.records if reason in record.getMessage()]
    caplog.clear()
    assert run(plain, a_job())[0].status is Status.SUCCEEDED
    spares._not_before = 0.0
    spares.tick()
    assert spares.zygote is None and not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_zygote_that_does_not_answer_costs_one_moment_and_is_replaced(plain: Worker) -> None:
    warm_up(plain)
    spares = plain._starter.spares
    assert spares.zygote
    stuck = spares.zygote
    os.kill(stuck.pid, signal.SIGSTOP)
    for pid in spare_runners(plain):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(is_running, spare_runners(plain))))
    begun = time.monotonic()
    done = run(plain, a_job(), a_job())
    assert [outcomes(job) for job in done] == [["succeeded"]] * 2 and time.monotonic() - begun < 30
    stuck.ready_since = -1000.0
    for spare in spares._spares:
        spare.asked = -1000.0
    until(lambda: spares.zygote is not stuck and spares.ready, turn=spares.tick)
    assert not is_running(stuck.pid)


def test_changed_code_is_what_the_next_job_runs(plain: Worker, tmp_path: Path) -> None:
    spares = plain._starter.spares
    spares.folders = (tmp_path,)
    (tmp_path / "code.py").write_text("1")
    warm_up(plain)
    first, waiting = spares.zygote, spare_runners(plain)
    spares._looked = 0.0
    spares.tick()
    assert spares.zygote is first
    (tmp_path / "code.py").write_text("22")
    spares._looked = 0.0
    spares.tick()
    assert spares.zygote is None and spares.ready == 0, "until the change has settled"
    until(lambda: not any(map(is_running, waiting)))
    warm_up(plain)
    assert spares.zygote is not None and spares.zygote is not first


def test_there_is_nothing_warm_when_nobody_wants_it(config: Settings) -> None:
    worker = Worker(config.model_copy(update={"warm": 0}), engines=ENGINES)
    worker.turn()
    assert worker._starter.spares.zygote is None and worker._starter.endings() == []
    worker.leave()


def test_as_many_are_kept_ready_as_there_are_slots(config: Settings) -> None:
    worker = Worker(config.model_copy(update={"warm": None}), slots=5, engines=ENGINES)
    assert worker._starter.spares.wanted == 5
    worker.leave()


def test_a_runner_that_cannot_take_all_its_locks_runs_nothing(worker: Worker, tmp_path: Path) -> None:
    runner = spare_runners(worker)[0]
    resource.prlimit(runner, resource.RLIMIT_NOFILE, (8, 4096))  # 0, 1, 2, three of its own: two of order, log, lock and limits are received
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started")}, limits=("one", "two")))
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (outcomes(ended), ended.interruptions, len(lines(tmp_path / "started"))) == (["interrupted", "succeeded"], 1, 1)
    assert ended.attempts[1].pid != runner


def test_spares_that_cannot_be_made_are_not_tried_at_every_turn(plain: Worker) -> None:
    warm_up(plain)
    spares = plain._starter.spares
    assert spares.zygote
    resource.prlimit(spares.zygote.pid, resource.RLIMIT_NOFILE, (5, 4096))  # what it forks cannot open the socket and the pipe
    for pid in spare_runners(plain):
        os.kill(pid, signal.SIGKILL)
    until(lambda: spares._fill_after > time.monotonic(), turn=spares.tick)
    assert outcomes(run(plain, a_job())[0]) == ["succeeded"], "it was started cold"
    resource.prlimit(spares.zygote.pid, resource.RLIMIT_NOFILE, (1024, 4096))
    warm_up(plain)
