"""Killed before and after every system call that changes something: nothing acknowledged is lost, nothing runs twice, and a worker mends the rest.

The points are found by tracing (`tests.faults`). Each scenario is run once and stopped at every point; the home is compared, and in each
different state a real child is killed there and a fresh worker, or `portal check --repair` and a worker, goes on. Of scenarios that others show
step by step, or that start processes, some states are left out (`Scenario.every`). PORTAL_FAULTS=all kills at every single point.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.campaign import EXHAUSTIVE, LEAST, Report
from tests.faults.farm import Farm, farm


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Iterator[Farm]:
    with farm("tests.faults.campaign", request) as running:
        yield running


@pytest.mark.timeout(7200 if EXHAUSTIVE else 600)
@pytest.mark.parametrize("name", LEAST)
def test_a_crash_at_any_call_is_recovered_from(campaign: Farm, name: str) -> None:
    report = Report(**campaign.report(name))
    assert not report.broken, "\n".join([f"{len(report.broken)} of {report.killed}:", *report.broken[:5]])
    assert report.points >= 2 * LEAST[name], f"a harness that traces nothing proves nothing: {report}"
    assert report.killed >= (1 if report.sampled else report.states) > 0


def test_the_figures(campaign: Farm) -> None:
    """Printed by `pytest -s`."""
    reports = [Report(**item) for item in campaign.reports.values()]
    for report in reports:
        print(f"{report.scenario:32} {report.points:6} points {report.states:5} states {report.killed:5} killed {report.seconds:7} s  {report.kinds}")
    print(f"{'together':32} {sum(item.points for item in reports):6} points {sum(item.states for item in reports):5} states")
    if len(reports) == len(LEAST):
        kinds = {kind for report in reports for kind in report.kinds}
        assert kinds >= {"open", "write", "fsync", "close", "link", "rename", "unlink", "mkdir", "flock"}
        assert sum(report.points for report in reports) >= 1500
