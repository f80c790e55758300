"""Killing a scenario at each of its state-changing calls, and looking at what a fresh worker makes of the rest.

`python -m tests.faults.campaign [NAME …]` runs scenarios by hand; the tests run it in a process that has nothing else in it.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace

from tests.faults.apart import apart
from tests.faults.calls import MESSAGES, PROCESSES, Call, Stops
from tests.faults.homes import Broken, Home, after_the_crash, invariants, new_home
from tests.faults.live import LIVE
from tests.faults.recovery import make_haste, quick_time, recover
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.tracer import ActionFailed, Moment, changing, kill_at, trace

_DAY_MS = 86_400_000


EXHAUSTIVE = os.environ.get("PORTAL_FAULTS") == "all"
"""Kill at every point, also where the home is as it was at an earlier one."""


ALL = {**LIVE, **SCENARIOS}
LEAST = {name: scenario.least for name, scenario in ALL.items()}
"""The state-changing calls that each scenario has at least."""


@dataclass
class Report:
    """What became of one scenario.

    Attributes:
        points: moments before and after a state-changing call.
        states: different states of the home at these moments.
        killed: how often a child was killed and a worker recovered.
        sampled: not in each of the different states.
        kinds: the state-changing calls by name.
        broken: where an invariant did not hold.
    """

    scenario: str
    points: int = 0
    states: int = 0
    killed: int = 0
    sampled: bool = False
    kinds: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Point:
    number: int
    when: Moment
    call: str
    state: bytes

    @property
    def reaches_processes(self) -> bool:
        """It starts another process or tells it something, which the state of the home does not show."""
        return self.call.partition("(")[0] in PROCESSES | MESSAGES


def survey(home: Home, action: Callable[[], object], *, stops: Stops) -> list[Point]:
    """Run an action once and return the points at which it can be killed, with the state of the home at each."""
    points: list[Point] = []
    number = 0

    def look(call: Call, when: Moment) -> None:
        nonlocal number
        number += when == "before"
        points.append(Point(number, when, f"{call}", home.state()))

    home.put_back()
    trace(action, within=home.path, stops=stops, watch=look)
    return points


def crash_everywhere(name: str) -> Report:
    """Run one scenario of `ALL`. Raises ActionFailed when it fails without being killed."""
    scenario = ALL[name]
    report = Report(name, sampled=not EXHAUSTIVE and (scenario.every > 1 or scenario.again is not None))
    begun = time.monotonic()
    with new_home() as home:
        scenario.prepare(home)
        home.keep()
        if scenario.again:
            _crash_again(home, scenario, report, *scenario.again)
        else:
            crash(home, scenario, report, scenario.every)
            if problem := problem_of(scenario, home, repair=False):  # the survey came to its end
                report.broken.append(f"not killed at all: {problem}")
    report.seconds = round(time.monotonic() - begun, 2)
    return report


def crash(home: Home, scenario: Scenario, report: Report, every: int = 1) -> None:
    """Kill a scenario's action at the points of the home as it is kept, and recover; only in each `every`-th of the different states."""
    action = functools.partial(scenario.action, home)
    points = survey(home, action, stops=scenario.stops)
    if scenario.live:
        apart(functools.partial(recover, home, live=True))  # what it started ends before the home is put back
    chosen = _different(points)
    report.points += len(points)
    report.states += len(chosen)
    report.kinds = dict(Counter(report.kinds) + Counter(point.call.partition("(")[0] for point in points if point.when == "before"))
    reaching = [point for point in points if point.reaches_processes and point not in chosen[::every]]
    for number, point in enumerate(points if EXHAUSTIVE else [*chosen[::every], *reaching]):
        if problem := _killed_at(home, scenario, action, point) or problem_of(scenario, home, repair=number % 3 == 2):
            report.broken.append(f"{point.when} call {point.number}, {point.call}: {problem}")
        report.killed += 1
    home.put_back()
    if failed := apart(functools.partial(_done, action)):
        report.broken.append(f"not killed at all: {failed}")


def _done(action: Callable[[], object]) -> None:
    action()


def _different(points: list[Point]) -> list[Point]:
    """The first of each state."""
    return list({point.state: point for point in reversed(points)}.values())[::-1]


def _killed_at(home: Home, scenario: Scenario, action: Callable[[], object], point: Point) -> str | None:
    home.put_back()
    killed = kill_at(action, point.number, point.when, within=home.path, stops=scenario.stops)
    # Beside live engines, and where time matters, the number of calls is not always the same.
    if killed or scenario.live or scenario.again:
        return None
    home.put_back()
    calls = sum(changing(call) for call in trace(action, within=home.path, stops="changing"))
    return "it never got that far" if calls >= point.number else None


def _crash_again(home: Home, scenario: Scenario, report: Report, every: int, inner: int) -> None:
    """Crash, and then crash the recovery."""
    recovery = replace(scenario, action=recover)
    action = functools.partial(scenario.action, home)
    for point in _different(survey(home, action, stops="changing"))[:: 1 if EXHAUSTIVE else every]:
        if problem := _killed_at(home, scenario, action, point):
            report.broken.append(problem)
        found = len(report.broken)
        with home.from_here():
            crash(home, recovery, report, inner)
        report.broken[found:] = [f"after a crash {point.when} {point.call}: {problem}" for problem in report.broken[found:]]


def problem_of(scenario: Scenario, home: Home, *, repair: bool) -> str | None:
    """Let a fresh worker recover and look; what is wrong, or None.

    It works in this process, which costs a third of a new one: what a process remembers of folders it knows by their inodes, and every home
    that was put back has other ones. Where engines are processes it has a process of its own.
    """
    return apart(functools.partial(_problem, scenario, home, repair)) if scenario.live else _problem(scenario, home, repair)


def _problem(scenario: Scenario, home: Home, repair: bool) -> str | None:
    try:
        acknowledged = home.acknowledged()
        after_the_crash(home)
        if scenario.before:
            scenario.before(home)
        recover(home, repair=repair, live=scenario.live)
        with quick_time() as ahead:
            ahead[0] = _DAY_MS // 2
            found = {job.id: job for job in invariants(home, acknowledged, scenario.allowed)}
        scenario.expect(home, found)
    except Broken as error:
        return str(error)
    except Exception:
        return traceback.format_exc()
    return None


def asked(names: list[str]) -> Iterable[str]:
    """The names that were given, or with "-" those that standard input tells as they come."""
    return (line.rstrip("\n") for line in sys.stdin) if names == ["-"] else names


def main(names: list[str]) -> int:
    make_haste()
    good = True
    for name in asked(names) or ALL:
        try:
            report = crash_everywhere(name)
        except (ActionFailed, Broken) as error:
            report = Report(name, broken=[f"the scenario itself fails: {error}"])
        print(json.dumps(asdict(report)), flush=True)
        good = good and not report.broken
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
