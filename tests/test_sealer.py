"""A worker has the closed days of the archive sealed, without waiting for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from portal import clock, seal
from portal.sealer import Sealer
from portal.settings import Settings
from portal.worker import Worker
from tests.archives import finished_job, put
from tests.queues import until

TODAY = "2026-11-22T12:00:00.000Z"
HOUR_MS = 3_600_000


@pytest.fixture
def sealer(config: Settings) -> Iterator[Sealer]:
    made = Sealer(config)
    yield made
    made.leave()


def test_a_closed_day_is_sealed_by_a_process_of_its_own(config: Settings, sealer: Sealer) -> None:
    put(config.archive_dir, finished_job("2026-11-20T10:00:09.000Z"))
    now_ms = clock.parse_ms(TODAY)
    assert sealer.tick(now_ms)
    until(lambda: seal.head(config))
    until(lambda: not sealer.tick(now_ms) and sealer.idle)
    assert [item.day for item in seal.chain(config)] == ["2026-11-20"] and seal.verify(config) == []
    assert not sealer.tick(now_ms + HOUR_MS), "nothing is left to seal"


def test_a_day_is_not_over_while_it_lasts(config: Settings, sealer: Sealer) -> None:
    put(config.archive_dir, finished_job("2026-11-22T10:00:09.000Z"))
    assert not sealer.tick(clock.parse_ms(TODAY))


def test_a_sealing_that_fails_is_told_and_tried_again_an_hour_later(
    config: Settings, sealer: Sealer, caplog: pytest.LogCaptureFixture
) -> None:
    put(config.archive_dir, finished_job("2026-11-20T10:00:09.000Z"))
    config.key_pair_dir.write_text("a file where the folder of the keys should be")
    now_ms = clock.parse_ms(TODAY)
    assert sealer.tick(now_ms)
    until(lambda: not sealer.tick(now_ms) and sealer.idle)
    assert "could not be sealed" in caplog.text and "Traceback" not in caplog.text
    assert sealer.tick(now_ms + HOUR_MS)
    until(lambda: not sealer.tick(now_ms + HOUR_MS) and sealer.idle)


def test_the_workers_housekeeping_sees_to_it(config: Settings) -> None:
    put(config.archive_dir, finished_job("2026-11-20T10:00:09.000Z"))
    worker = Worker(config)
    try:
        worker.turn()
        until(lambda: seal.head(config))
    finally:
        worker.leave()
    assert not seal.due(config, datetime(2026, 11, 21, 0, 5, tzinfo=UTC))
