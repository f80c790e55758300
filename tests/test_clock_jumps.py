"""A clock that is set forward or back loses no job and runs none twice."""

from __future__ import annotations

import os
import time

import pytest

from portal import clock
from portal.jobs import Status
from portal.settings import Settings
from portal.spool import Spool, claiming, records
from portal.spool.finishing import finish, freeze
from portal.worker import Worker
from tests.queues import ENGINES, a_job

DAY_MS = 86_400_000


def set_clock(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: time.time_ns() // 1_000_000 + round(days * DAY_MS))


@pytest.mark.parametrize(("submitted", "finished", "now"), [(0, 1, 0), (-1, 1, -1), (0, 3, 0), (0, 40, 0), (1, 0, 0), (400, 0, -400)])
def test_a_record_is_found_whatever_the_clock_was_when_the_job_finished(
    config: Settings, monkeypatch: pytest.MonkeyPatch, submitted: int, finished: int, now: int
) -> None:
    spool = Spool(config)
    set_clock(monkeypatch, submitted)
    job = spool.submit(a_job(key="once"))
    set_clock(monkeypatch, finished)
    for claim in claiming.claims(spool.layout):
        finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
        claim.lock.remove()
    set_clock(monkeypatch, now)
    (spool.layout.archive / "9998").mkdir()  # left by somebody who was cut off before there was a month in it
    found = spool.find(job.id)
    assert found and found.status is Status.SUCCEEDED
    assert spool.submit(a_job(key="once")).id == job.id
    (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json())
    assert list(claiming.claims(spool.layout)) == [] and spool.counts()["queued"] == 0, "the archive record counts"
    assert records.archived_path(spool.layout, a_job().id) is None


def test_a_worker_whose_clock_was_set_back_still_clears_up(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(config, engines=ENGINES)
    set_clock(monkeypatch, 1)
    worker.turn()
    set_clock(monkeypatch, 0)
    leftover = worker.layout.tmp / "leftover"
    leftover.write_text("half")
    worker.turn()
    worker.leave()
    assert not os.path.exists(leftover)
