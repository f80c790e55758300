"""The processes of a war that are started again when they were killed: workers and launchers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from portal import processes
from tests.queues import ENGINES, ROOT
from tests.war.field import CLOCK, Field

WORKER = f"import sys, tests.war.skew, worker; sys.exit(worker.main({ENGINES!r}))"


class Army:
    """Workers for as long as the war lasts, launchers until their share is submitted."""

    def __init__(self, field: Field, workers: int, launchers: list[list[str]]) -> None:
        self.field = field
        self._commands = {f"worker-{number}": self.worker_command(f"worker-{number}") for number in range(workers)}
        self._commands |= {f"launcher-{number}": [sys.executable, "-m", "tests.war.launcher", *flags] for number, flags in enumerate(launchers)}
        self._living: dict[str, subprocess.Popen[bytes]] = {}
        self._done: set[str] = set()
        self.restarts = 0

    @staticmethod
    def worker_command(name: str, *flags: str) -> list[str]:
        return [sys.executable, "-c", WORKER, "--quiet", "--name", name, *flags]

    def start(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, processes.HOME: str(self.field.home), CLOCK: str(self.field.clock)}
        with (self.field.home.parent / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )  # fmt: skip

    def muster(self) -> None:
        """Start whoever is missing."""
        for name, command in self._commands.items():
            process = self._living.get(name)
            if name in self._done or (process and process.poll() is None):
                continue
            if process and process.returncode == 0 and name.startswith("launcher"):
                self._done.add(name)
                continue
            self.restarts += process is not None
            self._living[name] = self.start(command, name)

    def pids(self, kind: str) -> set[int]:
        """The pids of the living workers or launchers."""
        return {process.pid for name, process in self._living.items() if name.startswith(kind) and process.poll() is None}

    @property
    def submitted(self) -> bool:
        """Every launcher has come to its end."""
        return all(name in self._done for name in self._commands if name.startswith("launcher"))

    def stand_down(self, seconds: float) -> bool:
        """Ask the workers to end; False when one does not."""
        for process in self._living.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        until = time.monotonic() + seconds
        for process in self._living.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
        return all(process.poll() is not None for process in self._living.values())


def belonging(field: Field) -> dict[int, str]:
    """Return every living process of this war but this one, with its command line."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid() and (command := _command(Path("/proc") / name, field)) is not None:
            found[int(name)] = command
    return found


def _command(proc: Path, field: Field) -> str | None:
    try:
        command = (proc / "cmdline").read_bytes()
        if not command:
            return None  # a zombie
        mine = f"{processes.HOME}={field.home}".encode() in (proc / "environ").read_bytes().split(b"\0") or bytes(field.witnesses) in command
    except OSError:
        return None
    return command.replace(b"\0", b" ").decode("utf-8", "replace") if mine else None


@contextmanager
def nobody_left(field: Field) -> Iterator[None]:
    """However a war ends, none of its processes goes on."""
    try:
        yield
    finally:
        until = time.monotonic() + 20
        while (left := belonging(field)) and time.monotonic() < until:
            processes.send(set(left), signal.SIGKILL)
            time.sleep(0.02)
