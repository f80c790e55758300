"""A job's processes, whatever they do: they are found, ended and counted. More of it in test_runner and test_recovery.

What is proved where: grandchildren in sessions of their own at a timeout, what an engine leaves behind, who asks first, the identity in the
lock file: test_runner. A worker that is killed or told to stop hands its engines on, a second SIGTERM ends them, marked processes of a killed
runner are ended before the job runs again: test_recovery. The rest is here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal import lineage, processes
from portal.jobs import Job, Status
from portal.settings import Settings
from portal.spool.locks import is_held
from portal.worker import Worker
from tests.queues import ENGINES, a_job, finished, is_running, lines, until


@pytest.fixture
def worker(config: Settings) -> Iterator[Worker]:
    made = Worker(config.model_copy(update={"kill_after_s": 0.2, "retry_base_s": 0.01}), engines=ENGINES)
    yield made
    made.leave()


def starting(worker: Worker, tmp_path: Path, **params: object) -> tuple[Job, int]:
    """Submit a job that waits for ever; returns it and the pid of its engine."""
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "never"), **params}))
    (engine,) = until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    return job, int(engine)


def runner_of(worker: Worker, job: Job) -> int:
    found = worker.spool.find(job.id)
    assert found and found.attempts[-1].pid
    return found.attempts[-1].pid


@pytest.fixture(params=[0, 1], ids=["cold", "warm"])
def either(config: Settings, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker that starts its engines as new interpreters, and one that has a spare ready."""
    made = Worker(config.model_copy(update={"kill_after_s": 0.2, "retry_base_s": 0.01, "warm": request.param}), engines=ENGINES)
    if request.param:
        until(lambda: any(spare.is_ready for spare in made._starter.spares._spares), 60, turn=made.turn)
    yield made
    made.leave()


# Every process of a job


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_the_end_of_a_job_is_the_end_of_its_daemons(worker: Worker, tmp_path: Path, how: str) -> None:
    params = {"do": "daemons", "pids": str(tmp_path / "pids"), "until": str(tmp_path / "never")}
    job = worker.spool.submit(a_job("tribe", params=params, timeout_s=1.5 if how == "timeout" else None, max_attempts=1))
    until(lambda: len(lines(tmp_path / "pids")) == 2, turn=worker.turn)
    if how == "cancel":
        worker.spool.cancel(job.id, "me")
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert [attempt.outcome for attempt in ended.attempts] == ["cancelled" if how == "cancel" else "timeout"]
    assert not [pid for pid in lines(tmp_path / "pids") if is_running(int(pid))]


def test_the_end_of_an_engine_that_is_killed_is_the_end_of_its_daemons(worker: Worker, tmp_path: Path) -> None:
    params = {"do": "daemons", "pids": str(tmp_path / "pids"), "until": str(tmp_path / "never")}
    job = worker.spool.submit(a_job("tribe", params=params, max_attempts=1))
    until(lambda: len(lines(tmp_path / "pids")) == 2, turn=worker.turn)
    daemons = {int(pid) for pid in lines(tmp_path / "pids")}
    runner = runner_of(worker, job)
    assert {processes.parents()[pid] for pid in daemons} == {runner}, "orphans come to the runner"
    (engine,) = {pid for pid, parent in processes.parents().items() if parent == runner} - daemons
    os.kill(engine, signal.SIGKILL)
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (ended.status, ended.attempts[0].exit_code) == (Status.FAILED, -signal.SIGKILL)
    assert not [pid for pid in daemons if is_running(pid)]


def test_a_daemon_with_an_emptied_environment_is_found_though_its_runner_was_killed(either: Worker, tmp_path: Path) -> None:
    """Neither ancestry nor environment leads to it: its job's number does, and it is ended before the job runs again."""
    params = {"do": "daemons", "pids": str(tmp_path / "pids"), "until": str(tmp_path / "go")}
    job = either.spool.submit(a_job("tribe", params=params))
    until(lambda: len(lines(tmp_path / "pids")) == 2, turn=either.turn)
    daemons = [int(pid) for pid in lines(tmp_path / "pids")]
    os.kill(runner_of(either, job), signal.SIGKILL)
    until(lambda: not is_held(either.layout.lock(job.id)))
    assert all(is_running(pid) and Path(f"/proc/{pid}/environ").read_bytes() == b"" for pid in daemons)
    until(lambda: len(lines(tmp_path / "pids")) == 4, turn=either.turn)
    assert not [pid for pid in daemons if is_running(pid)]
    (tmp_path / "go").touch()
    ended = until(lambda: finished(either.spool, job.id), turn=either.turn)
    assert (ended.status, [attempt.outcome for attempt in ended.attempts]) == (Status.SUCCEEDED, ["interrupted", "succeeded"])
    assert not [pid for pid in lines(tmp_path / "pids") if is_running(int(pid))]


@pytest.mark.parametrize("lost", [False, True], ids=["cancelled", "runner killed"])
def test_processes_that_start_each_other_while_they_are_killed_come_to_an_end(worker: Worker, tmp_path: Path, lost: bool) -> None:
    params = {"do": "hydra", "pids": str(tmp_path / "pids"), "until": str(tmp_path / "never")}
    job = worker.spool.submit(a_job("tribe", params=params, max_attempts=1))
    until(lambda: len(lines(tmp_path / "pids")) == 2, turn=worker.turn)
    if lost:
        os.kill(runner_of(worker, job), signal.SIGKILL)
    worker.spool.cancel(job.id, "me")
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert ended.status is Status.CANCELLED
    assert processes.marked(job.id, worker.settings.home) == set()


def test_a_number_goes_down_to_every_child_and_belongs_to_one_job_of_one_home(tmp_path: Path) -> None:
    job, home = a_job(), tmp_path / "home"
    code = f"from portal import lineage; import subprocess, sys; lineage.adopt({job.id!r}, {str(home)!r}); " + (
        "subprocess.run([sys.executable, '-S', '-c', 'import os; print(os.getpid(), flush=True); input()'], env={}, start_new_session=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout and process.stdin
    child = int(process.stdout.readline())
    assert processes.marked(job.id, home) == {process.pid, child}
    assert lineage.carried(child) == lineage.number(job.id, home)
    assert processes.marked(job.id, tmp_path / "restored copy") == processes.marked(a_job().id, home) == set()
    assert lineage.carried(os.getpid()) is None and lineage.carried(2**22 + 1) is None
    process.send_signal(signal.SIGKILL)
    until(lambda: processes.marked(job.id, home) == {child}, turn=lambda: None)
    assert Path(f"/proc/{process.pid}/limits").read_bytes(), "its exit status is still there, and is nobody to wait for"
    assert processes.end_marked(job.id, home)
    process.communicate()
