"""Bringing a home to its end after a crash: a worker as it is, with engines that run inside it and time that passes quickly."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from portal import check, clock, worker
from portal.check import inspecting
from portal.durable import make_folder, write_durably
from portal.jobs import Job
from portal.spool import disk, listing, workers
from portal.spool.claiming import Claim
from portal.starting import Starter
from tests.faults.homes import Broken, Home
from tests.queues import ENGINES

_PATIENCE_S = 30.0
_STEP_MS, _LATEST_MS = 600_000, 6 * 3_600_000
_CODES = {"succeeded": 0, "failed": 1, "rejected": 2, "partial": 3}


def make_haste() -> None:
    """Leave out, in this process and its children, what only takes time there, and what comes by the clock: calls must be the same each time."""
    logging.disable()  # what a worker says while it recovers is expected
    inspecting._PAUSE_S = 0.0  # nobody else is at work in these homes
    mock.patch.object(workers, "version", lambda: "as it was").start()  # it looks at every file of the code
    mock.patch.object(disk, "file_system", functools.cache(disk.file_system)).start()
    beat = workers.Registration.beat
    mock.patch.object(workers.Registration, "beat", lambda self: beat(self) if self._beat_at < 0 else None).start()  # once is enough
    for name in ("_SETTLED_NS", "_COARSE_NS"):
        mock.patch.object(listing, name, 1 << 62).start()  # a home was made just now, however long this machine took for it


class Played(Starter):
    """Starts no process: the engine's and the runner's files are written here, under an exclusive witness."""

    outside = Path()

    def start(self, job: Job, claim: Claim) -> None:
        with witness(self.outside, job), contextlib.suppress(OSError):  # what fails a runner or an engine does not fail who started it
            play(self.layout.folder(job.id), job)


class Stillborn(Played):
    """The runner dies at once."""

    def start(self, job: Job, claim: Claim) -> None:
        pass


def play(folder: Path, job: Job) -> None:
    """Leave what an attempt leaves; the parameters are those of `tests.light.act`."""
    about = {"job": job.id, "attempt": job.attempts[-1].number}
    failed = about["attempt"] in job.params.get("fail_in", ())
    outcome = "failed" if failed else job.params.get("outcome", "succeeded")
    result = {**about, "outcome": outcome, "outputs": [{"url": "s3://b/k"}], "error": {"message": "no luck"} if failed else None}
    make_folder(folder)
    write_durably(folder / f"result-{about['attempt']}.json", json.dumps(result).encode())
    write_durably(folder / f"exit-{about['attempt']}.json", json.dumps({**about, "exit_code": _CODES[outcome], "ended_by": None}).encode())


@contextlib.contextmanager
def witness(outside: Path, job: Job) -> Iterator[None]:
    """Hold what only one engine of a job can hold, and take down which attempt it is."""
    (outside / "runs").mkdir(exist_ok=True)
    with (outside / "runs" / job.id).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with (outside / "twice").open("a") as said:
                said.write(f"{job.id} {job.attempts[-1].number}\n")
        file.write(f"{job.attempts[-1].number}\n")
        file.flush()
        yield


class NoSealer:
    """Sealing the archive is another matter, with a process of its own."""

    def __init__(self, _: Any) -> None:
        pass

    def tick(self, _: int) -> bool:
        return False

    def leave(self) -> None:
        pass


@contextlib.contextmanager
def played(home: Home, starter: type[Played] = Played) -> Iterator[None]:
    """Let workers of this process play their engines."""
    here = type(starter.__name__, (starter,), {"outside": home.outside})
    with mock.patch.object(worker, "Starter", here), mock.patch.object(worker, "Sealer", NoSealer):
        yield


@contextlib.contextmanager
def quick_time() -> Iterator[list[int]]:
    """A clock that can be put forward: the list holds by how many ms."""
    ahead, real = [0], clock.now_ms
    with mock.patch.object(clock, "now_ms", lambda: real() + ahead[0]):
        yield ahead


def recover(home: Home, *, repair: bool = False, live: bool = False) -> None:
    """Run a fresh worker until nothing is left to do, time passing quickly. Raises Broken when that never comes.

    Args:
        repair: run `portal check --repair` before.
        live: with real runners and engines.
    """
    with mock.patch.object(worker, "Sealer", NoSealer) if live else played(home), quick_time() as ahead:
        if repair:
            check.repair(home.config)
        fresh = worker.Worker(home.config, engines=ENGINES)
        try:
            _take_turns(home, fresh, ahead)
        finally:
            fresh.leave()


def _take_turns(home: Home, fresh: worker.Worker, ahead: list[int]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not ((turn := fresh.turn()).idle and _nothing_left(home)):
        if turn.troubled:
            raise Broken(f"the worker has trouble with {turn.troubled}")
        if time.monotonic() > until:
            raise Broken(f"the worker never comes to an end: {home.spool.counts()}")
        if turn.idle:
            ahead[0] = min(ahead[0] + _STEP_MS, _LATEST_MS)
            time.sleep(0.001)  # when a worker looks again depends on how long its last look took


def _nothing_left(home: Home) -> bool:
    left = (home.layout.running, home.layout.delayed, home.layout.cancel)
    return not any(os.listdir(folder) for folder in left) and not any(home.layout.queue.glob("*.json"))
