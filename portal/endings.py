"""Noticing that processes end, whosever children they are: pidfds (pidfd_open(2), Linux 5.3). Standard library only."""

from __future__ import annotations

import contextlib
import os
import select
from typing import Any

from portal import processes


class Endings:
    """The processes whose end is waited for. Where there are no pidfds it stays empty, and a look every few seconds has to do."""

    def __init__(self) -> None:
        self._watched: list[int] = []

    def take(self, pidfd: int) -> None:
        """Watch a process by a pidfd, which belongs to this from now on."""
        self._watched.append(pidfd)

    def watch(self, known: dict[str, Any]) -> None:
        """Watch the process of an `identity`, when it lives."""
        if not hasattr(os, "pidfd_open"):
            return
        with contextlib.suppress(OSError, KeyError, TypeError):
            pidfd = os.pidfd_open(known["pid"])
            if processes.is_alive(known):  # looked at after the pidfd was opened, so it is the same process
                self.take(pidfd)
            else:
                os.close(pidfd)

    def descriptors(self) -> list[int]:
        """Return descriptors of which one becomes readable when a process ends."""
        return list(self._watched)

    def collect(self) -> int:
        """Forget the processes that have ended, and reap those that have come to be children of this one; returns how many there were."""
        if not self._watched:
            return 0
        poll = select.poll()
        for pidfd in self._watched:
            poll.register(pidfd, select.POLLIN)
        ended = [pidfd for pidfd, _ in poll.poll(0)]
        for pidfd in ended:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
            os.close(pidfd)
        self._watched = [pidfd for pidfd in self._watched if pidfd not in ended]
        return len(ended)

    def close(self) -> None:
        while self._watched:
            os.close(self._watched.pop())
