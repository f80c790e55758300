"""A launcher, with or without a worker, on a home of its own and a free port: for the tests that look at pages."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_START_S = 60.0


@dataclass(frozen=True)
class Launcher:
    """A running launcher: its address, its home, and its processes."""

    url: str
    home: Path
    processes: tuple[subprocess.Popen[bytes], ...]

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def make_home(home: Path, variables: Mapping[str, str]) -> Path:
    """Make the folders of a home and its .env."""
    for name in ("queue", "logs", "archive", "data"):
        (home / name).mkdir(parents=True)
    lines = {"PORTAL_MIN_FREE_MB": "1", "PORTAL_MIN_FREE_INODES": "1", "PORTAL_POLL_S": "0.3", **variables}
    (home / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    return home


def environment(home: Path) -> dict[str, str]:
    """The environment of this machine without the clouds its user may be signed in to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_", "SNOWFLAKE_", "PORTAL_", "STREAMLIT_"))}
    return {**kept, "PORTAL_HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "PYTHONUNBUFFERED": "1"}


def start(home: Path, *, worker: bool, port: int = 0, options: Sequence[str] = ()) -> Launcher:
    """Start it, on a free port unless one is given, and wait until it answers."""
    port = port or free_port()
    commands = [[sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), *options]]
    if worker:
        commands.append([sys.executable, "worker.py"])
    processes = []
    for number, command in enumerate(commands):
        with (home / f"process-{number}.log").open("wb") as log:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment(home), stdout=log, stderr=subprocess.STDOUT))
    launcher = Launcher(f"http://127.0.0.1:{port}", home, tuple(processes))
    try:
        _wait(launcher)
    except BaseException:
        launcher.stop()
        raise
    return launcher


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(launcher: Launcher) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if launcher.processes[0].poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{launcher.url}/_stcore/health", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("The launcher did not start:\n" + (launcher.home / "process-0.log").read_text("utf-8", "replace"))
