"""Killing a scenario at each of its state-changing calls, and looking at what a fresh worker makes of the rest.

`python -m tests.faults.campaign [NAME …]` runs scenarios by hand; the tests run it in a process that has nothing else in it.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from tests.faults.calls import Call
from tests.faults.homes import Broken, Home, after_the_crash, invariants, new_home
from tests.faults.recovery import quick_time, recover
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.tracer import ActionFailed, Moment, kill_at, trace

_DAY_MS = 86_400_000


EXHAUSTIVE = os.environ.get("PORTAL_FAULTS") == "all"
"""Kill at every point, also where the home is as it was at an earlier one."""


LEAST = {name: scenario.least for name, scenario in SCENARIOS.items()}
"""The state-changing calls that each scenario has at least."""


@dataclass
class Report:
    """What became of one scenario.

    Attributes:
        points: moments before and after a state-changing call.
        states: different states of the home at these moments; in each a child was killed and a worker recovered.
        kinds: the state-changing calls by name.
        broken: where an invariant did not hold.
    """

    scenario: str
    points: int = 0
    states: int = 0
    killed: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Point:
    number: int
    when: Moment
    call: str
    state: bytes


def survey(home: Home, action: Callable[[], object]) -> list[Point]:
    """Run an action once and return the points at which it can be killed, with the state of the home at each."""
    points: list[Point] = []
    number = 0

    def look(call: Call, when: Moment) -> None:
        nonlocal number
        number += when == "before"
        points.append(Point(number, when, f"{call}", home.state()))

    home.put_back()
    trace(action, within=home.path, alone=True, watch=look)
    return points


def crash_everywhere(name: str) -> Report:
    """Run one scenario of `SCENARIOS`. Raises ActionFailed when it fails without being killed."""
    scenario, report = SCENARIOS[name], Report(name)
    begun = time.monotonic()
    with new_home() as home:
        scenario.prepare(home)
        home.keep()
        crash(home, scenario, report)
        home.put_back()
        scenario.action(home)
        if problem := _problem(scenario, home, repair=False):
            report.broken.append(f"not killed at all: {problem}")
    report.seconds = round(time.monotonic() - begun, 2)
    return report


def crash(home: Home, scenario: Scenario, report: Report, every: int = 1) -> None:
    """Kill a scenario's action at the points of the home as it is kept, and recover; only in each `every`-th of the different states."""
    action = functools.partial(scenario.action, home)
    points = survey(home, action)
    seen: dict[bytes, Point] = {}
    for point in points:
        seen.setdefault(point.state, point)
    report.points += len(points)
    report.states += len(seen)
    report.kinds = dict(Counter(report.kinds) + Counter(point.call.partition("(")[0] for point in points if point.when == "before"))
    for number, point in enumerate(points if EXHAUSTIVE else list(seen.values())[::every]):
        home.put_back()
        killed = kill_at(action, point.number, point.when, within=home.path, alone=True)
        if killed is None:
            report.broken.append(f"{point.when} call {point.number}, {point.call}: it never got that far")
            continue
        report.killed += 1
        if problem := _problem(scenario, home, repair=number % 3 == 2):
            report.broken.append(f"{point.when} call {point.number}, {killed}: {problem}")


def _problem(scenario: Scenario, home: Home, *, repair: bool) -> str | None:
    """Recover and look; what is wrong, or None."""
    try:
        acknowledged = home.acknowledged()
        after_the_crash(home)
        recover(home, repair=repair)
        with quick_time() as ahead:
            ahead[0] = _DAY_MS // 2
            found = {job.id: job for job in invariants(home, acknowledged, scenario.allowed)}
        scenario.expect(home, found)
    except Broken as error:
        return str(error)
    except Exception:
        return traceback.format_exc()
    return None


def main(names: list[str]) -> int:
    logging.disable()  # what a worker says while it recovers is expected
    good = True
    for name in names or SCENARIOS:
        try:
            report = crash_everywhere(name)
        except (ActionFailed, Broken) as error:
            report = Report(name, broken=[f"the scenario itself fails: {error}"])
        print(json.dumps(asdict(report)), flush=True)
        good = good and not report.broken
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
