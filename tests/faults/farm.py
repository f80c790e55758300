"""Running scenarios in processes of their own, which have nothing else in them: forking is cheap there, and no other thread is there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.queues import ROOT

_PROCESSES = 2


class Farm:
    """Runs `python -m MODULE NAME …`, which prints a report as JSON for each name, in two processes at once."""

    def __init__(self, module: str, names: list[str]) -> None:
        self.reports: dict[str, dict[str, Any]] = {}
        self._shares = [names[number::_PROCESSES] for number in range(min(_PROCESSES, len(names)))]
        self._processes = [
            subprocess.Popen([sys.executable, "-m", module, *share], cwd=ROOT, stdout=subprocess.PIPE, text=True) for share in self._shares
        ]  # fmt: skip

    def report(self, name: str) -> dict[str, Any]:
        """Wait for the report of one scenario."""
        for process, share in zip(self._processes, self._shares, strict=True):
            while name in share and name not in self.reports:
                assert process.stdout
                line = process.stdout.readline()
                assert line, f"the process of {name} ended: {process.wait()}"
                report = json.loads(line)
                self.reports[report["scenario"]] = report
        return self.reports[name]

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()


@contextmanager
def farm(module: str, request: pytest.FixtureRequest) -> Iterator[Farm]:
    """Run the scenarios that are asked for, by the parameter `name` of the tests of one file."""
    asked: list[Any] = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    running = Farm(module, [item.callspec.params["name"] for item in asked if "name" in item.callspec.params])
    yield running
    running.end()
