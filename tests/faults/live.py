"""Scenarios with real runners and engines: what is killed is the worker with its runner inside, or the worker that starts one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any
from unittest import mock

from portal import runner, starting, worker
from portal.context import JobContext
from portal.engine import execute
from portal.jobs import Job
from portal.redact import Redactor
from portal.worker import Worker
from tests.faults.homes import Broken, Home
from tests.faults.recovery import NoSealer
from tests.faults.scenarios import Scenario, ended, expects
from tests.light import framed
from tests.queues import ENGINES, a_job

_PATIENCE_S = 30.0


class Here:
    """Stands for a runner that was started: it has run in this process, which is traced, to its end."""

    returncode = 0

    def __init__(self, command: list[str], **_: Any) -> None:
        module, handed, *rest = command[command.index("portal.runner") :]
        with mock.patch.object(sys, "argv", [module, f"{os.dup(int(handed))}", *rest]), contextlib.suppress(SystemExit):
            runner.main()

    def poll(self) -> int:
        return self.returncode


def a_watched_job(home: Home) -> None:
    """A job whose engine, and whatever it starts, holds an exclusive lock for as long as it lives: longer than a second one needs to start."""
    children = [{"session": True}, {"bare": True, "daemon": True}]
    home.jobs = [home.submit(a_job("witness", params={"field": str(home.outside), "children": children, "chatter": 3, "work_s": 0.5}))]


def one_turn(home: Home) -> None:
    with mock.patch.object(worker, "Sealer", NoSealer):
        fresh = Worker(home.config, engines=ENGINES)
        fresh.turn()
        fresh.leave()


def run_here(home: Home) -> None:
    """A worker's turn whose runner runs inside it."""
    with mock.patch.object(starting, "subprocess", SimpleNamespace(Popen=Here, DEVNULL=subprocess.DEVNULL)):
        one_turn(home)


def start_warm(home: Home) -> None:
    """A worker that hands the job to a process that waits for it."""
    with mock.patch.object(worker, "Sealer", NoSealer):
        fresh = Worker(home.config.model_copy(update={"warm": 1}), engines=ENGINES)
        until = time.monotonic() + _PATIENCE_S
        fresh.turn(claim=False)
        while not fresh.turn(claim=time.monotonic() > until - _PATIENCE_S + 1.5).started:
            time.sleep(0.01)
        fresh.leave()


def write_result(home: Home) -> None:
    """What the engine frame does for an engine: progress, checkpoint, result."""
    (job,) = home.jobs
    context = JobContext(job.id, home.layout.folder(job.id), home.config, attempt=1)
    context.save_checkpoint({"done": 1})
    execute(framed.Params, framed.run, {"word": "x"}, context, Redactor(["x"]))


def an_open_attempt(home: Home) -> None:
    ended(silent=True)(home)
    home.layout.folder(home.jobs[0].id).mkdir()


def nobody_was_doubled(home: Home, found: dict[str, Job]) -> None:
    violations = home.outside / "violations"
    if violations.exists():
        raise Broken(violations.read_text())
    expects("succeeded")(home, found)


LIVE = {
    "engine frame": Scenario(an_open_attempt, write_result, 10, expects("succeeded")),
    "runner": Scenario(a_watched_job, run_here, 40, nobody_was_doubled, live=True, every=6),
    "start a runner": Scenario(a_watched_job, one_turn, 20, nobody_was_doubled, live=True, every=6),
    "start a warm runner": Scenario(a_watched_job, start_warm, 20, nobody_was_doubled, live=True, every=15),
}
