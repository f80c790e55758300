"""Drives the portal the way a person does: by its commands, each a process, on a home of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded import processes
from embedded.processes import Child, ChildFailed


class Commands:
    """The commands of a portal whose state is in `home`."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self.home, self.env = home, {**env, "PORTAL_HOME": str(home)}

    def json(self, *arguments: str, check: bool = True) -> Any:
        """Run `python -m portal … --json` and return what it tells; its progress and messages go to standard error.

        Raises:
            ChildFailed: it failed (with `check`), or told nothing.
        """
        done = subprocess.run(self._line([*arguments, "--json"]), cwd=processes.ROOT, env=self.env, stdout=subprocess.PIPE, text=True)
        if (check and done.returncode) or not done.stdout:
            raise ChildFailed(f"`portal {' '.join(arguments)}` ended with exit code {done.returncode}.")
        return json.loads(done.stdout)

    def show(self, *arguments: str) -> int:
        """Run `python -m portal …` with its output where ours goes; returns its exit code."""
        sys.stdout.flush()
        return subprocess.run(self._line([*arguments]), cwd=processes.ROOT, env=self.env).returncode

    def _line(self, arguments: list[str]) -> list[str]:
        return [sys.executable, "-m", "portal", *arguments]

    def start_worker(self) -> Child:
        """Start a worker and return when it has told the queue that it is there. Raises ChildFailed."""
        worker = processes.start("worker", [sys.executable, "worker.py"], self.home / "worker.log", self.env)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if worker.ended:
                raise ChildFailed(worker.obituary())
            if any(" serves " in line for line in worker.output()):
                return worker
            time.sleep(0.05)
        raise ChildFailed(f"The worker was not ready after 30 s; its output is in {worker.log}.")

    def cancel_everything(self) -> None:
        """Ask every waiting and running job to end, and give them a moment."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            left = self.json("jobs", "--status", "queued", "--status", "running", "--limit", "1000")
            if not left:
                return
            self.json("cancel", *(job["id"] for job in left), check=False)
            time.sleep(0.5)
