"""Asks the kernel whether somebody has a file open for writing, and learns when somebody opens it so. Linux only.

Source: fcntl(2), "Leases". A read lease is given only while nobody has the file open for writing, and only to the file's owner or to a process
with CAP_LEASE; NFS, FUSE and others give none. Who opens a leased file for writing waits until the lease is given back.
"""

from __future__ import annotations

import fcntl
import signal
import sys
from enum import Enum


class Writers(Enum):
    """Who has the file open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


class Lease:
    """A read lease on an open file, until `give_back`."""

    def __init__(self, descriptor: int) -> None:
        """Ask for it.

        Args:
            descriptor: a regular file, open for reading only.
        """
        self._descriptor = descriptor
        self.writers = _ask(descriptor)

    def broken(self) -> bool:
        """Tell whether somebody has wanted to write since the lease was given."""
        return sys.platform == "linux" and self.writers is Writers.NONE and fcntl.fcntl(self._descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK

    def give_back(self) -> None:
        """Let who waits open the file. Closing it would not do: a process that was forked meanwhile has it open, too."""
        if sys.platform == "linux" and self.writers is Writers.NONE:
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _ask(descriptor: int) -> Writers:
    if sys.platform != "linux":
        return Writers.UNKNOWN
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # told by a signal that nothing dies of: the default one, SIGIO, ends a process
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return Writers.SOME
    except OSError:
        return Writers.UNKNOWN
    return Writers.NONE
