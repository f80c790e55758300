"""The end of a job wakes every worker that knows of it, so that nobody waits for the next look when its own worker has died."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.settings import Settings
from portal.spool import Spool, claiming
from portal.worker import Worker
from tests.queues import ENGINES, a_job, finished, lines, until, worker_process


@pytest.fixture
def patient(config: Settings) -> Settings:
    """Workers that look at the queue once a minute, unless something wakes them."""
    with (config.home / ".env").open("a") as file:
        file.write("PORTAL_POLL_S=60\nPORTAL_KILL_AFTER_S=0.3\nPORTAL_SLOTS=1\n")
    return config.model_copy(update={"poll_s": 60.0, "kill_after_s": 0.3, "slots": 1})


@pytest.fixture
def other(patient: Settings) -> Iterator[Worker]:
    made = Worker(patient, name="other", engines=ENGINES)
    yield made
    made.leave()


def wakes(worker: Worker, seconds: float = 30) -> bool:
    return bool(select.select(worker.endings(), (), (), seconds)[0])


def test_the_end_of_a_job_whose_worker_died_wakes_another_which_archives_it(patient: Settings, other: Worker, tmp_path: Path) -> None:
    spool = Spool(patient)
    job = spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}))
    with worker_process(patient.home, "--name", "first") as first:
        until(lambda: lines(tmp_path / "started"))
        other.turn()
        assert other.rest_s() == 60
        first.kill()
        first.wait()
    assert not wakes(other, 0), "the job goes on without its worker"
    (tmp_path / "go").touch()
    assert wakes(other)
    until(lambda: finished(spool, job.id), turn=other.turn)
    assert not other.endings()


def test_when_worker_and_runner_are_killed_another_worker_runs_the_job_at_once(patient: Settings, other: Worker, tmp_path: Path) -> None:
    spool = Spool(patient)
    job = spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}))
    with worker_process(patient.home, "--name", "first") as first:
        until(lambda: lines(tmp_path / "started"))
        other.turn()
        first.kill()
        first.wait()
    (running,) = spool.running()
    assert running.attempts[-1].pid
    os.kill(running.attempts[-1].pid, signal.SIGKILL)
    assert wakes(other)
    until(lambda: len(lines(tmp_path / "started")) == 2, turn=other.turn)
    (tmp_path / "go").touch()
    ended = until(lambda: finished(spool, job.id), turn=other.turn)
    assert ended.interruptions == 1


def test_a_job_whose_runner_has_not_said_who_it_is_is_looked_at_again_soon(patient: Settings, other: Worker) -> None:
    job = other.spool.submit(a_job(params={}))
    (claim,) = claiming.claims(other.layout)
    other.turn()
    assert other.rest_s() < 1
    claim.let_go()
    until(lambda: finished(other.spool, job.id), turn=other.turn)
    other.turn()
    assert other.rest_s() == 60
