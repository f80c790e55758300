"""Killed before and after every system call that changes something: nothing acknowledged is lost, nothing runs twice, and a worker mends the rest.

The points are found by tracing (`tests.faults`). Each scenario is run once and stopped at every point; the home is compared, and in each
different state a real child is killed there and a fresh worker, or `portal check --repair` and a worker, goes on. PORTAL_FAULTS=all kills at
every single point.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.campaign import LEAST, Report
from tests.queues import ROOT

_PROCESSES = 2
_PATIENCE_S = 100


class Campaign:
    """Runs scenarios in processes that have nothing else in them, so that forking is cheap and no other thread is there."""

    def __init__(self, names: list[str]) -> None:
        self.reports: dict[str, Report] = {}
        command = [sys.executable, "-m", "tests.faults.campaign"]
        shares = [names[number::_PROCESSES] for number in range(_PROCESSES)]
        self.processes = [subprocess.Popen([*command, *share], cwd=ROOT, stdout=subprocess.PIPE, text=True) for share in shares if share]
        self._shares = [share for share in shares if share]

    def report(self, name: str) -> Report:
        for process, share in zip(self.processes, self._shares, strict=True):
            while name in share and name not in self.reports:
                assert process.stdout
                line = process.stdout.readline()
                assert line, f"the process of {name} ended: {process.wait()}"
                report = Report(**json.loads(line))
                self.reports[report.scenario] = report
        return self.reports[name]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Iterator[Campaign]:
    """The scenarios that were asked for, all at once."""
    asked: list[Any] = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    running = Campaign([item.callspec.params["name"] for item in asked if "name" in item.callspec.params])
    yield running
    running.end()


@pytest.mark.parametrize("name", LEAST)
def test_a_crash_at_any_call_is_recovered_from(campaign: Campaign, name: str) -> None:
    report = campaign.report(name)
    assert not report.broken, "\n".join([f"{len(report.broken)} of {report.killed}:", *report.broken[:5]])
    assert report.points >= 2 * LEAST[name], f"a harness that traces nothing proves nothing: {report}"
    assert report.killed >= (1 if report.sampled else report.states) > 0


def test_the_figures(campaign: Campaign) -> None:
    """Printed by `pytest -s`."""
    reports = list(campaign.reports.values())
    for report in reports:
        print(f"{report.scenario:32} {report.points:6} points {report.states:5} states {report.killed:5} killed {report.seconds:7} s  {report.kinds}")
    print(f"{'together':32} {sum(item.points for item in reports):6} points {sum(item.states for item in reports):5} states")
    if len(reports) == len(LEAST):
        kinds = {kind for report in reports for kind in report.kinds}
        assert kinds >= {"open", "write", "fsync", "close", "link", "rename", "unlink", "mkdir", "flock"}
        assert sum(report.points for report in reports) >= 1500
