"""Running scenarios in processes of their own, which have nothing else in them: forking is cheap there, and no other thread is there."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.queues import ROOT

_PROCESSES = 2


class Farm:
    """Runs `python -m MODULE -`, which reads names and prints a report as JSON for each, twice at once."""

    def __init__(self, module: str, names: list[str]) -> None:
        self.reports: dict[str, dict[str, Any]] = {}
        self._left = names[::-1]
        self._processes = [
            subprocess.Popen([sys.executable, "-m", module, "-"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            for _ in range(min(_PROCESSES, len(names)))
        ]
        for process in self._processes:
            self._give(process)

    def _give(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        if self._left:
            process.stdin.write(f"{self._left.pop()}\n")
            process.stdin.flush()

    def report(self, name: str) -> dict[str, Any]:
        """Wait for the report of one scenario."""
        while name not in self.reports:
            readable, _, _ = select.select([process.stdout for process in self._processes], (), ())
            for process in self._processes:
                if process.stdout in readable:
                    self._take(process)
        return self.reports[name]

    def _take(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        line = process.stdout.readline()
        assert line, f"a process ended with {process.wait()}"
        report = json.loads(line)
        self.reports[report["scenario"]] = report
        self._give(process)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stdin and process.stdout
            process.stdin.close()
            process.stdout.close()


@contextmanager
def farm(module: str, request: pytest.FixtureRequest) -> Iterator[Farm]:
    """Run the scenarios that are asked for, by the parameter `name` of the tests of one file."""
    asked: list[Any] = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    running = Farm(module, [item.callspec.params["name"] for item in asked if "name" in item.callspec.params])
    yield running
    running.end()
