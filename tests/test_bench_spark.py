"""The Spark benchmark: two executors are held to one, the start-up is taken off, and it is said what limited each run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.queue.measuring import ROOT, Taken
from bench.spark.__main__ import PLACES, Line, Work, compared, limits
from bench.transfer.null_server import Bucket


def line(where: str, wall_s: float, *, latency_ms: int = 50, cpu_s: float = 1.0, engine: str = "migrate") -> Line:
    work = Work("work", engine, Bucket("small", 100, 1), latency_ms)
    return Line(work, where, [Taken(wall_s + 5, cpu_s + 3)], [Taken(5, 3)], [2.0], [1.5])


@pytest.mark.parametrize(("two_s", "reached"), [(6.0, True), (6.5, False)])
def test_two_executors_are_held_to_one(two_s: float, reached: bool) -> None:
    [figure] = compared([line(PLACES[0], 3.0), line(PLACES[1], 10.0), line(PLACES[2], two_s)])
    assert figure.ratio == pytest.approx(10 / two_s) and figure.reached is reached


@pytest.mark.parametrize(("latency_ms", "engine"), [(0, "migrate"), (50, "list")])
def test_a_goal_is_set_only_for_copies_from_far_away(latency_ms: int, engine: str) -> None:
    [figure] = compared([line(where, 10.0, latency_ms=latency_ms, engine=engine) for where in PLACES])
    assert figure.reached is None and figure.goal == ""


def test_what_finds_nothing_to_do_is_taken_off_and_the_driver_told_apart() -> None:
    found = line(PLACES[1], 10.0, cpu_s=4.0)
    assert (found.wall_s, found.cpu_s, found.driver_s) == (10.0, 4.0, 0.5)
    assert found.cells[-3:] == ("10", "40,000", "5,000")


def test_it_is_said_what_limited_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    waiting, busy = limits([line(PLACES[1], 10.0, cpu_s=1.0), line(PLACES[2], 10.0, cpu_s=19.0)])
    assert waiting.endswith("waiting for answers") and busy.endswith("processors")


def test_it_tells_how_it_is_used() -> None:
    told = subprocess.run([sys.executable, "-m", "bench.spark", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--latency" in told and "make bench-spark" in told
