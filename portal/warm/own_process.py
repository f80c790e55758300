"""What a process that was forked, not started by exec, does to itself so that it looks and behaves like one that was. Linux.

Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import traceback
from collections.abc import Callable, Collection
from pathlib import Path

from portal import processes

ID_LENGTH = 26
NO_JOB = "-" * ID_LENGTH
"""Stands in the environment and in the command line where the id of a job will stand."""

_PROC = Path("/proc/self")
_ARGUMENTS, _ENVIRONMENT = (45, 46), (47, 48)
"""Begin and end in /proc/self/stat, counted from the state: fields 48 to 51 of proc_pid_stat(5)."""


def fork(role: Callable[[], int]) -> int:
    """Fork a process that plays a role and exits with its code; returns its pid. Nothing that was registered before the fork runs at its end."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = role()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def handle_no_signals() -> None:
    """Take back what the process that forked this one did about signals."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def close_all_but(kept: Collection[int]) -> None:
    """Close every descriptor but standard input, output, error and those to be kept."""
    for name in os.listdir(_PROC / "fd"):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:  # the one that listed the folder
                continue


class Shown:
    """The bytes of this process that /proc/PID/environ and /proc/PID/cmdline show. Forked processes have them at the same place, each its own.

    Changing `os.environ` does not change what /proc shows; but it is there that recovery looks for the processes of a job.
    """

    def __init__(self) -> None:
        """Find them. Raises LookupError when the environment has no mark of `NO_JOB`, to be overwritten later."""
        fields = (_PROC / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        self._begin, self._end = (int(fields[place]) for place in _ARGUMENTS)
        begin, end = (int(fields[place]) for place in _ENVIRONMENT)
        found = (b"\0" + ctypes.string_at(begin, end - begin)).find(b"\0" + _marked(NO_JOB) + b"\0")
        if found < 0 or _marked(NO_JOB) not in _variables():
            raise LookupError("the mark of a job cannot be set in this process")
        self._mark = begin + found

    def mark(self, job_id: str) -> None:
        """Show the job's mark, to this process's children too. Raises LookupError when /proc does not show it."""
        text = _marked(job_id)
        if len(text) == len(_marked(NO_JOB)):
            ctypes.memmove(self._mark, text, len(text))
        os.environ[processes.MARK] = job_id
        if text not in _variables():
            raise LookupError(f"the mark of job {job_id} cannot be set")

    def call(self, *words: str) -> None:
        """Show another command line, cut to the room there is."""
        room = self._end - self._begin - 1  # a last byte that is not NUL would make the kernel read on into the environment
        ctypes.memmove(self._begin, "\0".join(words).encode()[:room].ljust(room, b"\0"), room)


def _marked(job_id: str) -> bytes:
    return f"{processes.MARK}={job_id}".encode()


def _variables() -> list[bytes]:
    return (_PROC / "environ").read_bytes().split(b"\0")
