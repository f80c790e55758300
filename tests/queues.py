"""Helpers for tests of the queue: jobs, workers in and out of this process, and dying at a chosen system call."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ulid import ULID

from portal import clock
from portal.jobs import Job
from portal.spool import Spool, claiming, records
from portal.worker import Worker

ROOT = Path(__file__).resolve().parent.parent
ENGINES = "tests.light"


def a_job(engine: str = "act", /, **changes: Any) -> Job:
    """A job of the light engine; its parameters are `params`."""
    given = {"params": {}, **changes}
    return Job(id=given.pop("id", str(ULID())), engine=engine, submitted_at=clock.iso(clock.now_ms()), **given)


def soon(seconds: float) -> str:
    return clock.iso(clock.now_ms() + round(seconds * 1000))


def until(condition: Callable[[], Any], seconds: float = 30, turn: Callable[[], Any] = lambda: None) -> Any:
    """Wait until a condition holds, taking a worker's turns meanwhile; returns what the condition said."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to that"
        turn()
        time.sleep(0.01)
    return found


def finished(spool: Spool, job_id: str) -> Job | None:
    job = spool.find(job_id)
    return job if job and job.status.finished else None


def run(worker: Worker, *jobs: Job) -> list[Job]:
    """Submit jobs and take turns until all have finished."""
    ids = [worker.spool.submit(job).id for job in jobs]
    return [until(lambda job_id=job_id: finished(worker.spool, job_id), turn=worker.turn) for job_id in ids]


def drain(worker: Worker) -> None:
    until(worker.empty, turn=worker.turn)


def tidy_names(spool: Spool) -> None:
    """Take in what lies in queue/ under a name that is not that of a job, as a worker does."""
    for name in records.names(spool.layout.queue):
        claiming.tidy_name(spool.layout, name)


def archived(spool: Spool) -> list[Job]:
    today = datetime.now(UTC).date()
    return list(spool.archived(today - timedelta(days=1), today + timedelta(days=1)))


@contextmanager
def worker_process(home: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """The worker command on the light engines, in a process of its own; killed in the end."""
    code = f"import sys, worker; sys.exit(worker.main({ENGINES!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--quiet", *flags], cwd=ROOT, env={**os.environ, "PORTAL_HOME": str(home)}, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def is_running(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def unsynced() -> Iterator[None]:
    """Leave the waiting for the disk out where processes die and the machine does not; the calls are still made."""
    real = os.fsync
    os.fsync = lambda _: None
    try:
        yield
    finally:
        os.fsync = real


CALLS = ("open", "write", "fsync", "link", "rename", "replace", "unlink", "mkdir")
"""The system calls between which a process may die."""


def dies_at(number: int, action: Callable[[], Any]) -> bool:
    """Do something in a forked process that is killed before its `number`-th system call (from 1); False when it never gets that far."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    left = [number]
    for name in CALLS:
        setattr(os, name, _counted(getattr(os, name), left))
    try:
        action()
    finally:
        os._exit(0)


def _counted(call: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        return call(*arguments, **named)

    return counted
