"""The machine on which the queue runs: engines within this process, a fresh home for each disk, and a boot after the cut."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import portal.worker
from portal import clock, processes, vault
from portal.check import inspecting
from portal.context import JobContext, Result
from portal.durable import write_durably
from portal.engine_process import EngineProcess, Order
from portal.jobs import Job
from portal.outputlog import OutputLog
from portal.redact import Redactor
from portal.runner import Runner
from portal.settings import Settings
from portal.spool import Spool, disk, workers
from portal.spool.claiming import Claim
from portal.spool.layout import Layout
from portal.starting import Starter
from portal.worker import Worker
from tests.faults.trees import empty
from tests.power.states import Disk
from tests.power.traced import Notebook
from tests.queues import ENGINES

LATER_MS = 3 * 3_600_000
_MOST_TURNS = 60


@dataclass(frozen=True)
class Run:
    """An engine ran: for a recovered queue only."""

    job_id: str
    attempt: int
    later: bool


class Engines(Starter):
    """Starts nothing: runner and engine in one, at once, in this process. What they leave is written as they do.

    Args:
        silent: the machine dies while the engine works: nothing is left but the lock's file.
        real: a real runner and the frame of the engines write what is left; for a traced process that ends soon.
    """

    def __init__(self, settings: Settings, notebook: Notebook | None = None, *, silent: bool = False, real: bool = False) -> None:
        super().__init__(settings.model_copy(update={"warm": 0}), Layout(settings), ENGINES)
        self.notebook, self.silent, self.real = notebook, silent, real
        self.runs: list[Run] = []
        self.later = False

    def watch(self, runner: dict[str, Any]) -> None: ...

    def start(self, job: Job, claim: Claim) -> None:
        if job.sealed:
            vault.unseal(self.settings, job.sealed)
        attempt = job.attempts[-1].number
        self.runs.append(Run(job.id, attempt, self.later))
        self._note("started", job, attempt)
        if self.real:
            Runner({**self._order(job), "lock_fd": claim.lock.descriptor, "limit_fds": []}, self._engine).run()
            self._note("ended", job, attempt, outcome="succeeded")
            return
        identity = json.dumps({**processes.identity(), "job": job.id, "attempt": attempt}).encode()
        os.ftruncate(claim.lock.descriptor, 0)
        os.pwrite(claim.lock.descriptor, identity, 0)
        if not self.silent:
            failed = attempt in job.params.get("fail_in", ())
            self._leave(job, attempt, "failed" if failed else str(job.params.get("outcome", "succeeded")))

    def _engine(self, order: Order) -> EngineProcess:
        """What an engine writes is written here, where it is traced; the process of the engine only prints and ends."""
        job = JobContext(order["job"], Path(order["folder"]), self.settings, attempt=order["attempt"])
        job.progress(1, 2, "objects")
        job.save_checkpoint({"next": 2})
        job.artefact("rejects.csv").write_text("key,why\n")
        job.finish({**asdict(Result(outputs=({"url": "s3://b/k"},))), "error": None})
        output, printed = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(printed, b"two objects\n")
            os._exit(0)
        os.close(printed)
        return EngineProcess(pid, output)

    def _leave(self, job: Job, attempt: int, outcome: str) -> None:
        log = OutputLog(self.layout.log(job.id), 1 << 20, Redactor([]))
        log.say(f"attempt {attempt} of {job.id}")
        about = {"job": job.id, "attempt": attempt}
        error = {"message": "no luck", "retryable": True} if outcome == "failed" else None
        result = {**about, "outcome": outcome, "outputs": [{"url": f"s3://b/{job.id}"}], "error": error}
        self._write(self.layout.result_file(job.id, attempt), result)
        log.close()
        code = {"succeeded": 0, "partial": 3}.get(outcome, 1)
        self._write(self.layout.exit_file(job.id, attempt), {**about, "exit_code": code, "ended_by": None, "finished_at": clock.iso(clock.now_ms())})
        self._note("ended", job, attempt, outcome=outcome)

    def _write(self, path: Path, data: dict[str, Any]) -> None:
        write_durably(path, json.dumps(data).encode())

    def _note(self, what: str, job: Job, attempt: int, **more: Any) -> None:
        if self.notebook:
            self.notebook.note(what, job.id, attempt=attempt, **more)


class _NoSealer:
    """Sealing closed days is a process of its own and of another part."""

    def __init__(self, _: Settings) -> None: ...

    def tick(self, _: int) -> None: ...

    def leave(self) -> None: ...


@contextmanager
def worker_of(settings: Settings, **about: Any) -> Iterator[tuple[Worker, Engines]]:
    """A worker whose engines run in this process; it leaves in the end."""
    engines = Engines(settings, **about)
    with patch.object(portal.worker, "Starter", lambda *_, **__: engines), patch.object(portal.worker, "Sealer", _NoSealer):
        worker = Worker(settings, slots=8, name="w", engines=ENGINES)
    try:
        yield worker, engines
    finally:
        worker.leave()


@contextmanager
def rebooted() -> Iterator[None]:
    """No process of before lives, and the boot has another name (rule 9). What only costs time is left out."""
    with (
        patch.object(processes, "boot_id", lambda: "the boot after the cut"),
        patch.object(processes, "_pids", list),
        patch.object(processes, "_stat", cache(processes._stat)),
        patch.object(disk, "file_system", cache(disk.file_system)),
        patch.object(workers, "version", lambda: "as it was"),
        patch.object(inspecting, "_PAUSE_S", 0),
        quiet(),
    ):  # fmt: skip
        yield


@contextmanager
def quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def put(found: Disk, home: Path) -> None:
    """Make a home that holds what is on a disk, and nothing else."""
    home.mkdir(exist_ok=True)
    empty(home)
    top = f"{home}/"
    for folder in sorted(found.folders):
        os.mkdir(top + folder)
    first = {path: paths[0] for paths in found.same for path in paths}
    for path, content in found.files:
        if first.get(path, path) != path:
            os.link(top + first[path], top + path)
            continue
        descriptor = os.open(top + path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, content)
        os.close(descriptor)


def recover(settings: Settings) -> tuple[Engines, list[str]]:
    """Let a worker do all there is to do, now and when every pause is over and every delay has passed.

    Returns:
        What ran, and what it could not get done.
    """
    with worker_of(settings) as (worker, engines):
        stuck = [*_drain(worker)]
        Spool(settings).resume()
        engines.later, now_ms = True, clock.now_ms
        with patch.object(clock, "now_ms", lambda: now_ms() + LATER_MS):
            stuck += _drain(worker)
    return engines, stuck


def _drain(worker: Worker) -> Iterator[str]:
    for _ in range(_MOST_TURNS):
        worker.hear(None)  # no file events here: look at the folder each time, however slow the machine
        turn = worker.turn()
        if turn.troubled:
            yield f"cannot be worked on: {', '.join(turn.troubled)}"
            return
        if turn.idle:
            return
    yield f"never done after {_MOST_TURNS} turns"
