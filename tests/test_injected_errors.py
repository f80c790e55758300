"""Every system call of every operation fails once, in each way it can: nothing is half done, lost or doubled, and nothing stays open.

Submit refuses or succeeds; what raises, raises what a person is told; a job that ended is archived with its own end once the fault is over.
The calls are found by tracing (`tests.faults`), and what they return is changed on the way back from the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import kernel
from tests.faults.campaign import EXHAUSTIVE
from tests.faults.farm import Farm, farm
from tests.faults.lying import NAMES, Report

pytestmark = pytest.mark.skipif(not kernel.CAN_CHANGE, reason="the registers of this machine are not known, so no call can be made to fail")


@pytest.fixture(scope="module")
def lies(request: pytest.FixtureRequest) -> Iterator[Farm]:
    with farm("tests.faults.lying", request) as running:
        yield running


@pytest.mark.timeout(7200 if EXHAUSTIVE else 600)
@pytest.mark.parametrize("name", NAMES)
def test_any_call_may_fail(lies: Farm, name: str) -> None:
    report = Report(**lies.report(name))
    assert not report.broken, "\n".join([f"{len(report.broken)} of {report.injected}:", *report.broken[:5]])
    assert report.injected >= 0.5 * report.calls > 2, f"a harness that injects nothing proves nothing: {report}"


def test_the_figures(lies: Farm) -> None:
    """Printed by `pytest -s`."""
    reports = [Report(**item) for item in lies.reports.values()]
    for report in reports:
        figures = f"{report.injected:5} errors at {report.calls:4} calls, {report.refused:4} told {report.seconds:7} s"
        print(f"{report.scenario:32} {figures}  {report.errors}")
    print(f"{'together':32} {sum(item.injected for item in reports):5} errors")
    if len(reports) == len(NAMES):
        injected = {error for report in reports for error in report.errors}
        assert injected >= {"open EMFILE", "open EACCES", "write ENOSPC", "write short", "fsync EIO", "close EIO", "link ENOSPC", "rename EIO"}
        assert sum(report.injected for report in reports) >= 1200
