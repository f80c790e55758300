"""A job's processes, whatever they do: they are found, ended and counted. More of it in test_runner and test_recovery.

What is proved where: grandchildren in sessions of their own at a timeout, what an engine leaves behind, who asks first, the identity in the
lock file: test_runner. A worker that is killed or told to stop hands its engines on, a second SIGTERM ends them, marked processes of a killed
runner are ended before the job runs again: test_recovery. The rest is here.
"""

from __future__ import annotations

import json
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
from tests.queues import ENGINES, a_job, finished, is_running, lines, run, until


@pytest.fixture
def worker(config: Settings) -> Iterator[Worker]:
    made = Worker(config.model_copy(update={"kill_after_s": 0.2, "retry_base_s": 0.01, "warm": 0}), engines=ENGINES)
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


@pytest.fixture(params=[0, 1], ids=["cold", "warm"], scope="module")
def either(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker that starts its engines as new interpreters, and one that has a spare ready. All tests share the two."""
    quick = Settings(home=tmp_path_factory.mktemp("home"), min_free_mb=1, min_free_inodes=1, kill_after_s=0.2, retry_base_s=0.01, warm=request.param)
    made = Worker(quick, engines=ENGINES)
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
    # Without the runner they are looked for in all of /proc, which takes longer than a process that does nothing but start another.
    params = {"do": "hydra", "pids": str(tmp_path / "pids"), "until": str(tmp_path / "never"), "pace_s": 0.02 if lost else 0}
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


# Who is who


def test_a_lock_file_that_names_a_foreign_process_ends_nobody(worker: Worker, tmp_path: Path) -> None:
    """The pid of a runner that died long ago may be anybody's now."""
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        job, engine = starting(worker, tmp_path)
        lock = worker.layout.lock(job.id)
        real = json.loads(lock.read_text())
        earlier = str(int(processes.start_time(bystander.pid) or 0) - 1)  # its own could be the runner's: the kernel counts in hundredths
        lock.write_text(json.dumps({**real, "pid": bystander.pid, "start": earlier}))
        assert worker.end_running() == []
        lock.write_text(json.dumps(real))
        os.kill(real["pid"], signal.SIGKILL)
        until(lambda: worker.turn().settled and not is_running(engine))
        assert bystander.poll() is None, "it is no process of the job"
    finally:
        bystander.kill()
        bystander.wait()


def test_a_pid_that_is_used_again_is_another_process() -> None:
    """The kernel is made to give the pid away at once (ns_last_pid, pid_namespaces(7))."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last, os.W_OK):
        pytest.skip("only root can choose the next pid")
    first = subprocess.Popen(["sleep", "0.05"])
    known = processes.identity(first.pid)
    assert processes.is_alive(known)
    first.wait()
    for _ in range(200):  # others start processes too
        last.write_text(str(first.pid - 1))
        second = subprocess.Popen(["sleep", "600"])
        taken = second.pid == first.pid
        if taken:
            assert processes.start_time(second.pid) is not None and not processes.is_alive(known)
        second.kill()
        second.wait()
        if taken:
            return
    pytest.skip("somebody else was always quicker")


def test_no_zombies_are_left(either: Worker) -> None:
    """Neither of many children that an engine never waited for, nor of the runners of many jobs."""
    before = {*zombies(os.getpid())}  # what another test in this process did not wait for
    run(either, *(a_job("tribe", params={"do": "many", "count": 5}) for _ in range(4)))
    until(lambda: before.issuperset(zombies(os.getpid())), turn=either.turn)


def zombies(parent: int) -> list[int]:
    found = []
    for pid, above in processes.parents().items():
        stat = processes._stat(pid)
        if above == parent and stat and stat[0] == "Z":
            found.append(pid)
    return found


def test_a_runner_reaps_the_children_that_its_engine_left_to_it(worker: Worker, tmp_path: Path) -> None:
    params = {"do": "many", "count": 20, "until": str(tmp_path / "go"), "pids": str(tmp_path / "pids")}
    job = worker.spool.submit(a_job("tribe", params=params))
    until(lambda: lines(tmp_path / "pids"), turn=worker.turn)
    runner = runner_of(worker, job)
    until(lambda: not zombies(runner) and len(processes.descendants(runner)) == 1)
    (tmp_path / "go").touch()
    assert until(lambda: finished(worker.spool, job.id), turn=worker.turn).status is Status.SUCCEEDED


# What they used and said


def test_memory_and_time_of_an_attempt_are_those_of_its_processes(either: Worker) -> None:
    """Memory is the most that one process used, time is that of all of them."""
    own, in_child = (
        a_job("tribe", params={"do": "burn", "own": [mine, 0.3], "child": [childs, 0.3]}) for mine, childs in ((200, 20), (20, 200))
    )  # fmt: skip
    for job in run(either, own, in_child):
        (attempt,) = job.attempts
        assert attempt.peak_memory_bytes and 200 << 20 <= attempt.peak_memory_bytes < 330 << 20
        assert attempt.cpu_s and 0.6 <= attempt.cpu_s < 5


def test_lost_output_is_told_in_the_log_and_in_the_attempt(config: Settings) -> None:
    worker = Worker(config.model_copy(update={"log_max_mb": 1, "warm": 0}), engines=ENGINES)
    long, short = run(worker, a_job(params={"say": ["x" * 60_000] * 110}), a_job(params={"say": ["x" * 60_000]}))
    worker.leave()
    lost = long.attempts[0].output_lost_bytes
    assert lost and lost > 1 << 20 and short.attempts[0].output_lost_bytes == 0
    log = worker.spool.log_path(long.id)
    kept = [path.read_text() for path in [log, *(log.with_name(f"{log.name}.{number}") for number in (1, 2, 3, 4))]]
    assert f"({lost} bytes of older output were removed" in "".join(kept)
    said = sum(text.count("x" * 60_000) for text in kept)
    assert 110 * 60_001 - said * 60_001 <= lost <= 110 * 60_001 - said * 60_001 + 1000


def test_what_an_earlier_life_of_a_job_left_is_not_taken_for_the_end_of_an_attempt(worker: Worker) -> None:
    """A job file from a backup knows nothing of the attempts whose files are in logs/."""
    job = a_job(params={"kill_in": [1, 2, 3]}, max_attempts=1)
    worker.spool.folder(job.id).mkdir()
    worker.layout.result_file(job.id, 1).write_text(json.dumps({"job": job.id, "attempt": 1, "outcome": "succeeded"}))
    worker.layout.exit_file(job.id, 2).write_text(json.dumps({"job": job.id, "attempt": 2, "exit_code": 0, "ended_by": None}))
    (ended,) = run(worker, job)
    assert (ended.status, [(item.number, item.exit_code) for item in ended.attempts]) == (Status.FAILED, [(3, -signal.SIGSEGV)])
