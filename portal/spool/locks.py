"""Locks that die with their holder: flock(2) on a file, never a clock.

The lock belongs to the open file, so a holder can hand it to a child that inherits the descriptor, with no moment in between
at which nobody holds it. Only the holder removes the file, last; whoever locks a removed file notices by its inode and tries again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass
class Lock:
    """A lock that is held. Leaving it as a context releases it and keeps the file."""

    path: Path
    descriptor: int

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Take the lock at once, or return None when somebody holds it."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    return cls(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def release(self) -> None:
        """Close this process's copy. The lock is free when no process has one."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # a close that fails closes all the same, see close(2)
                os.close(descriptor)

    def remove(self) -> None:
        """Remove the file and release. An error of removing leaves a file that is free."""
        if self.descriptor >= 0:
            try:
                self.path.unlink(missing_ok=True)
            finally:
                self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)


def is_held(path: Path) -> bool:
    """Tell whether somebody holds the lock, without creating its file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_told(path: Path) -> bool:
    """Tell, without reading it, whether a job's lock file says who holds it."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def holder(path: Path) -> dict[str, Any]:
    """Return what the runner wrote into a job's lock file (pid, start, boot, attempt, …), or {}."""
    try:
        data: Any = json.loads(path.read_bytes() or b"{}")
    except (FileNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
