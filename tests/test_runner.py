"""The runner: the whole process tree of a job, its output, and who a process is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as modest
from hypothesis import strategies as st

from portal import outputlog, processes
from portal.jobs import Status
from portal.outputlog import OutputLog
from portal.redact import MASK, Redactor
from portal.settings import Settings
from portal.worker import Worker
from tests.queues import ENGINES, a_job, finished, is_running, lines, run, until
from tests.warming import WAYS, setting, starting


@pytest.fixture(params=WAYS)
def worker(config: Settings, request: pytest.FixtureRequest) -> Iterator[Worker]:
    changes = {"kill_after_s": 0.3, "retry_base_s": 0.01, "log_max_mb": 1, **setting(request.param)}
    with starting(Worker(config.model_copy(update=changes), engines=ENGINES), request.param) as made:
        yield made


def test_a_timeout_ends_grandchildren_in_sessions_of_their_own_that_ignore_it(worker: Worker, tmp_path: Path) -> None:
    params = {"grandchild": str(tmp_path / "grandchild"), "started": str(tmp_path / "started"), "ignore_term": True, "wait": str(tmp_path / "never")}
    (job,) = run(worker, a_job(params=params, timeout_s=0.8, max_attempts=1))
    assert [attempt.outcome for attempt in job.attempts] == ["timeout"]
    pids = [int(pid) for name in ("grandchild", "started") for pid in lines(tmp_path / name)]
    assert len(pids) == 2
    assert not [pid for pid in pids if is_running(pid)], "the lock was freed only when no descendant was left"


def test_what_an_engine_leaves_behind_is_ended_and_the_job_is_a_success(worker: Worker, tmp_path: Path) -> None:
    (job,) = run(worker, a_job(params={"grandchild": str(tmp_path / "grandchild")}))
    assert job.status is Status.SUCCEEDED
    (pid,) = lines(tmp_path / "grandchild")
    assert not is_running(int(pid))
    assert "left 1 processes behind" in worker.spool.log_path(job.id).read_text()


def test_a_cancelled_engine_is_asked_first(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "never")}))
    until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    worker.spool.cancel(job.id, "me")
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (ended.status, ended.attempts[0].exit_code) == (Status.CANCELLED, -signal.SIGTERM)


def test_the_runner_tells_who_it_is_before_the_engine_starts(worker: Worker, tmp_path: Path) -> None:
    job = worker.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}))
    (engine,) = until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    known = processes.identity(processes.parents()[int(engine)])
    (running,) = worker.spool.running()
    assert running.attempts[0].pid == known["pid"]
    assert running.attempts[0].process_started == f"{known['start']} {known['boot']}"
    assert os.getsid(int(engine)) == int(engine), "the engine leads a session of its own"
    assert processes.is_alive(known)
    (tmp_path / "go").touch()
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert ended.attempts[0].pid == known["pid"]
    until(lambda: not processes.is_alive(known), turn=worker.turn)


def test_the_log_of_a_talkative_engine_is_rotated_and_every_part_is_in_the_record(worker: Worker) -> None:
    (job,) = run(worker, a_job(params={"say": [f"{number:06d}" + "." * 993 for number in range(2500)]}))
    log = worker.spool.log_path(job.id)
    parts = [log.with_name(f"{log.name}.{number}") for number in (2, 1)] + [log]
    assert all(part.stat().st_size <= 1 << 20 for part in parts)
    said = [line[:6] for part in parts for line in part.read_text().splitlines() if line.endswith("..")]
    assert said == [f"{number:06d}" for number in range(2500)]
    assert {part.name for part in parts} <= {item["name"] for item in job.artefacts}


# The log by itself


def write_in_pieces(path: Path, text: bytes, cuts: list[int], redact: Redactor, max_bytes: int = 1 << 30) -> OutputLog:
    log = OutputLog(path, max_bytes, redact)
    places = [0, *sorted(cuts), len(text)]
    for begin, end in pairwise(places):
        log.write(text[begin:end])
    log.flush()
    log.close()
    return log


@modest(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["plain", "a hunter22 b", "hunter22", "ü", ""]), min_size=1, max_size=8), st.lists(st.integers(0, 60), max_size=6))
def test_a_secret_is_found_however_the_output_comes_in_pieces(tmp_path: Path, said: list[str], cuts: list[int]) -> None:
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    text = "\n".join(said).encode()
    write_in_pieces(path, text, [min(cut, len(text)) for cut in cuts], Redactor(["hunter22"]))
    written = path.read_bytes().decode()
    assert written.rstrip("\n") == "\n".join(said).replace("hunter22", MASK).rstrip("\n")


def test_a_line_without_end_is_cut_and_does_not_fill_the_memory_or_show_half_a_secret(tmp_path: Path) -> None:
    half = outputlog.LINE_MAX_BYTES // 2
    endless = b"x" * (half - 4) + b"hunter22" + b"y" * (5 * outputlog.LINE_MAX_BYTES) + b"\nnext\n"
    log = write_in_pieces(tmp_path / "log", endless, list(range(0, len(endless), 5000)), Redactor(["hunter22"]))
    first, second = (tmp_path / "log").read_bytes().decode("utf-8", "replace").splitlines()
    assert (first.endswith("(line cut)"), second) == (True, "next")
    assert "hunt" not in first and len(first) < outputlog.LINE_MAX_BYTES
    assert len(log._carry) == 0
    assert log.lost_bytes == len(endless) - half - len("\nnext\n")


def test_only_so_many_old_parts_are_kept(tmp_path: Path) -> None:
    log = write_in_pieces(tmp_path / "log", b"".join(b"%03d%s\n" % (number, b"." * 96) for number in range(100)), list(range(0, 10_000, 500)),
                          Redactor(), max_bytes=1000)  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2", "log.3", "log.4"]
    parts = [(tmp_path / name).read_bytes() for name in ("log.4", "log.3", "log.2", "log.1", "log")]
    told = [line for part in parts for line in part.splitlines() if line.startswith(b"(")]
    kept = [line for part in parts for line in part.splitlines() if not line.startswith(b"(")]
    assert [int(line[:3]) for line in kept] == list(range(100 - len(kept), 100)), "what is kept has no hole"
    assert log.dropped_bytes == log.cut_bytes == 0
    own = len(b"(0000 bytes of older output were removed: a log keeps 5 parts of 1000 bytes)\n")
    assert told[-1].startswith(b"(%d bytes of older output were removed" % log.removed_bytes)
    assert 0 <= log.lost_bytes - 100 * (100 - len(kept)) <= 10 * own, "the notes about it are removed in their turn"


def test_a_full_disk_loses_output_but_not_the_job_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = OutputLog(tmp_path / "log", 1 << 20, Redactor())
    with monkeypatch.context() as full:
        full.setattr(outputlog.os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        log.write(b"lost\n")
    log.write(b"kept\n")
    log.close()
    assert (tmp_path / "log").read_text() == "(the disk was full: 5 bytes of output are missing here)\nkept\n"


# Processes


def test_another_process_with_the_same_pid_is_another_process() -> None:
    known = processes.identity()
    assert processes.is_alive(known)
    assert not processes.is_alive({**known, "start": str(int(known["start"]) - 1)}), "the pid was used again"
    assert not processes.is_alive({**known, "boot": "another"}), "the machine was started again"
    assert not processes.is_alive({}) and not processes.is_alive({**known, "pid": "1"})
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended = processes.identity(child.pid)
    child.wait()
    assert not processes.is_alive(ended)


def test_marked_processes_are_found_with_what_they_started_and_ended(tmp_path: Path) -> None:
    job, home = a_job(), tmp_path / "home"
    sleep = "import time; time.sleep(60)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', {sleep!r}], env={{}}); print(flush=True); {sleep}"

    def start(where: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, processes.MARK: job.id, processes.HOME: str(where)}
        process = subprocess.Popen([sys.executable, "-S", "-c", code], env=environment, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout and process.stdout.readline()
        return process

    mine, other = start(home), start(tmp_path / "restored copy")
    found = processes.marked(job.id, home)
    assert mine.pid in found and len(found) == 2, "the child without a mark belongs to it"
    assert not found & processes.marked(job.id, tmp_path / "restored copy")
    assert processes.marked(a_job().id, home) == set()
    assert processes.end_marked(job.id, home)
    assert mine.wait() == -signal.SIGKILL and other.poll() is None
    assert processes.end_marked(job.id, tmp_path / "restored copy")
    for process in (mine, other):
        process.wait()
        assert process.stdout
        process.stdout.close()
