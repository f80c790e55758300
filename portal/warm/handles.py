"""The worker's handles of what is warm: the process that spares are forked from, and a spare that waits or is being made. Linux."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from portal import processes
from portal.settings import CODE_ROOT
from portal.warm import own_process
from portal.warm.code_stamp import Stamp
from portal.warm.zygote import READY

log = logging.getLogger("portal.worker")

_PLACEHOLDER = "-" * 64
"""Makes room in the command line for the name of an engine and the id of a job."""

_STUCK_AFTER_S = 15.0
_MESSAGE_BYTES = 4096


class Spare:
    """A runner with its engine process that waits, or is being made."""

    def __init__(self, ours: socket.socket) -> None:
        self.socket = ours
        self.asked = time.monotonic()
        self.pidfd = -1

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def is_ready(self) -> bool:
        return self.pidfd >= 0

    def look(self) -> bool:
        """Take in what it said; False when it has ended."""
        try:
            said, received, _, _ = socket.recv_fds(self.socket, _MESSAGE_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if received:
            self.pidfd = received[0]
        return bool(said and received)

    def give(self, descriptors: Sequence[int]) -> int | None:
        """Hand over order, log and locks; returns the pidfd of the runner that has them, None when it has ended and they are all here still."""
        try:
            socket.send_fds(self.socket, [b"!"], descriptors)
        except OSError:
            self.drop()
            return None
        self.socket.close()
        return self.pidfd

    def drop(self) -> None:
        """Let it end."""
        self.socket.close()
        if self.is_ready:
            os.close(self.pidfd)


class Zygote:
    """The process that the spares are forked from."""

    def __init__(self, home: Path, stamp: Stamp, preloaded: Sequence[str]) -> None:
        """Start it. Raises OSError."""
        self.stamp = stamp
        self.ready_since: float | None = None
        self.problem: str | None = None
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        environment = {**os.environ, processes.HOME: str(home), processes.MARK: own_process.NO_JOB, "PYTHONUNBUFFERED": "1"}
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "portal.warm.zygote", str(theirs.fileno()), _PLACEHOLDER, *preloaded], cwd=CODE_ROOT, env=environment,
                    stdin=subprocess.DEVNULL, stdout=2, pass_fds=(theirs.fileno(),), start_new_session=True,
                )  # fmt: skip
        except OSError:
            self.socket.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        return self.ready_since is not None

    def is_stuck(self, asked: float) -> bool:
        """Tell whether it has owed a spare for too long."""
        return self.ready_since is not None and time.monotonic() - max(asked, self.ready_since) > _STUCK_AFTER_S

    def fileno(self) -> int:
        return self.socket.fileno()

    def look(self) -> bool:
        """Take in what it said; False when it has ended or cannot do its work."""
        try:
            try:
                message = self.socket.recv(_MESSAGE_BYTES)
            except ConnectionResetError:  # it ended with requests unread, and may have said why before
                message = self.socket.recv(_MESSAGE_BYTES)
            said = json.loads(message or "{}")
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            return False
        self.problem = said.get("problem")
        if READY in said:
            self.ready_since = time.monotonic()
            log.info("warm starts are ready after %g s", said[READY])
        return READY in said

    def make(self) -> Spare:
        """Ask for a spare. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs:
                socket.send_fds(self.socket, [b"!"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        return Spare(ours)

    def end(self) -> None:
        """End it at once; the spares that have a job go on."""
        self.socket.close()
        self._process.kill()
        self._process.wait()
