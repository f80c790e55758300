"""One run of a contestant as a whole: wall time, CPU of all its processes, and the most memory they had at one time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.queue.measuring import ROOT, middle

_FOREIGN = ("AWS_", "AZURE_", "RCLONE_", "AZCOPY_", "PORTAL_")
_WATCH_EVERY_S = 0.01


@dataclass(frozen=True)
class Run:
    """Seconds of the clock and of CPU (user and system), and bytes of memory at the worst moment."""

    wall_s: float
    cpu_s: float
    peak_bytes: int = 0
    code: int = 0

    def without(self, start_up: Run) -> Run:
        """The same less what a run takes that finds nothing to do."""
        return Run(max(self.wall_s - start_up.wall_s, 1e-3), max(self.cpu_s - start_up.cpu_s, 1e-3), self.peak_bytes, self.code)


def middle_of(runs: Iterable[Run]) -> Run:
    """The median of each figure."""
    known = list(runs)
    return Run(middle(run.wall_s for run in known), middle(run.cpu_s for run in known), round(middle(run.peak_bytes for run in known)))


@dataclass(frozen=True)
class Command:
    """What to start. `stdin` is a file that it may read."""

    words: Sequence[str]
    environment: Mapping[str, str]
    stdin: Path = Path(os.devnull)


def measured(command: Command, folder: Path, *, patience_s: float = 1800.0, until: Callable[[], bool] | None = None) -> Run:
    """Run a command to its end, or, when `until` comes true, kill it with all its processes at one blow.

    What it prints lies in `output.log` of the folder.

    Raises:
        RuntimeError: it did not end in time; tells what it printed last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "figures.json"
    meter = [sys.executable, "-S", "-m", "bench.transfer.meter", str(figures), *command.words]
    with (folder / "output.log").open("wb") as output, command.stdin.open("rb") as stdin:
        process = subprocess.Popen(meter, cwd=ROOT, env=_environment(command.environment), stdin=stdin, stdout=output, stderr=output)
        end = time.monotonic() + patience_s
        while process.poll() is None:
            late = time.monotonic() > end
            if late or (until and until()):
                process.terminate()
                process.wait(60)
            if late:
                raise RuntimeError(f"{command.words[:4]} did not end in {patience_s:.0f} s. It said:\n{told(folder)}")
            time.sleep(_WATCH_EVERY_S)
    if process.returncode:
        raise RuntimeError(f"{command.words[:4]} could not be started:\n{told(folder)}")
    return Run(**json.loads(figures.read_text()))


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's own, without any cloud that the person who runs it is signed in to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1", **more}


def told(folder: Path, length: int = 3000) -> str:
    """The end of what the last run in a folder printed."""
    return (folder / "output.log").read_text("utf-8", "replace")[-length:]
