"""A short war. The long one is `make war`."""

from __future__ import annotations

from pathlib import Path

from tests.war.war import Orders, fight


def test_nothing_is_lost_and_nothing_done_twice_whoever_is_killed(tmp_path: Path) -> None:
    report = fight(tmp_path, Orders(jobs=50, kills=30, seed=20, limit_s=100))
    assert report.wrong == [], report.figures
