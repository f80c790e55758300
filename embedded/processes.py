"""Child processes that never outlive the one that started them, with their output in a file of their own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_WATCH_EVERY_S = 0.5
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ChildFailed(Exception):
    """A process did not start, or ended before it should."""


@dataclass(frozen=True)
class Child:
    """A running process, the leader of its own process group."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def obituary(self) -> str:
        """Say how it ended, with the end of its output."""
        code = self.process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        tail = "".join(f"\n    {line}" for line in self.output()[-8:])
        return f"{self.name} (pid {self.process.pid}) {how}. The end of {self.log}:{tail or ' (empty)'}"

    def output(self) -> list[str]:
        return self.log.read_text("utf-8", errors="replace").splitlines()


def start(name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Child:
    """Start a command in the project's folder; when this process dies, however it dies, the child gets SIGTERM (Linux)."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env={**(os.environ if env is None else env), "PYTHONUNBUFFERED": "1"}, preexec_fn=_die_with(os.getpid()),
        )  # fmt: skip
    return Child(name, process, log)


def _die_with(parent: int):  # type: ignore[no-untyped-def]
    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def wait_for_line(child: Child, beginning: str, timeout_s: float = 60.0) -> str:
    """Return the first line of a child's output that begins so. Raises ChildFailed when it ends or takes too long."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended = child.ended
        for line in child.output():
            if line.startswith(beginning):
                return line
        if ended:
            raise ChildFailed(child.obituary())
        time.sleep(0.05)
    raise ChildFailed(f"{child.name} was not ready after {timeout_s:.0f} s; its output is in {child.log}.")


def watch(children: Sequence[Child]) -> None:
    """Return only by an error: ChildFailed as soon as a child has ended, KeyboardInterrupt when asked to stop."""
    while True:
        for child in children:
            if child.ended:
                raise ChildFailed(child.obituary())
        time.sleep(_WATCH_EVERY_S)


def stop(children: Iterable[Child], patience_s: float = 10.0) -> None:
    """End the children, last started first, with everything in their process groups: SIGTERM, then SIGKILL."""
    for child in reversed(list(children)):
        _signal_group(child, signal.SIGTERM)
        try:
            child.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
        _signal_group(child, signal.SIGKILL)
        child.process.wait()


def _signal_group(child: Child, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def port_in_use(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a port of an address of this machine is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def stop_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the program the way Ctrl-C does, so that what it started is ended too."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without whatever cloud its owner is signed in to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_", "SNOWFLAKE_", "PORTAL_"))}
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_CONFIG_FILE": os.devnull, **more}
