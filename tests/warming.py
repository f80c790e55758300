"""Helpers for tests of both ways of starting a job: in new processes, and in those that wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from portal import processes
from portal.worker import Worker
from tests.queues import until

WAYS = ("cold", "warm")


def setting(how: str) -> dict[str, Any]:
    """The setting that makes a worker start its jobs in this way."""
    return {"warm": 2 if how == "warm" else 0}


@contextmanager
def starting(worker: Worker, how: str, *preloaded: str) -> Iterator[Worker]:
    """Have a worker, made with `setting`, start all its jobs in this way, with these modules imported before; fails when it did not."""
    starter, cold = worker._starter, []
    start_cold = starter._start_cold

    def noted(job_id: str, *rest: Any) -> None:
        cold.append(job_id)
        start_cold(job_id, *rest)

    starter._start_cold = noted
    if how == "warm":
        starter.spares.preloaded, starter.spares.patience_s = preloaded, 30.0
        until(lambda: starter.spares.ready == starter.spares.wanted, turn=starter.spares.tick)
    yield worker
    worker.leave()
    assert how == "cold" or not cold, "some jobs were not started warm"


def spare_runners(worker: Worker) -> list[int]:
    """The runners that wait, oldest first."""
    zygote = worker._starter.spares.zygote
    assert zygote
    return sorted(pid for pid, parent in processes.parents().items() if parent == zygote.pid)


def child(pid: int) -> int:
    """The only child of a process."""
    (found,) = (each for each, parent in processes.parents().items() if parent == pid)
    return found


def command_line(pid: int) -> list[str]:
    return [word.decode() for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if word]
