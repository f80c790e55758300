"""File events of Linux, told by a descriptor that a select(2) can wait for: no thread and no waking in vain. Standard library only.

Source: inotify(7). A watch tells what comes into a folder: files that are made, linked or renamed there.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

_IN_MOVED_TO, _IN_CREATE, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x80, 0x100, 0x400, 0x800
_IN_UNMOUNT, _IN_Q_OVERFLOW, _IN_IGNORED, _IN_ONLYDIR = 0x2000, 0x4000, 0x8000, 0x1000000
_LOST = _IN_Q_OVERFLOW | _IN_UNMOUNT | _IN_IGNORED | _IN_DELETE_SELF | _IN_MOVE_SELF
_HEAD = struct.Struct("iIII")
_CHUNK = 1 << 18


class Inotify:
    """Names that come into the watched folders. `descriptor` is readable when there are some."""

    def __init__(self, *folders: Path) -> None:
        """Begin to watch. Raises OSError where that cannot be done."""
        if sys.platform != "linux":
            raise OSError("inotify is of Linux")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._call(self._libc.inotify_init1, os.O_NONBLOCK | os.O_CLOEXEC)
        self._folders: dict[int, Path] = {}
        try:
            for folder in folders:
                self._folders[self._watch(folder)] = folder
        except OSError:
            self.close()
            raise

    def _watch(self, folder: Path) -> int:
        wanted = _IN_MOVED_TO | _IN_CREATE | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_ONLYDIR
        return self._call(self._libc.inotify_add_watch, self.descriptor, os.fsencode(folder), wanted)

    @staticmethod
    def _call(function: ctypes._NamedFuncPointer, *arguments: int | bytes) -> int:
        result: int = function(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def read(self) -> dict[Path, list[str]] | None:
        """Return what has come into which folder since the last call; None when events were lost, or a folder has gone."""
        found: dict[Path, list[str]] = {}
        whole = True
        while data := self._data():
            at = 0
            while at < len(data):
                watch, mask, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size + length
                if mask & _LOST:
                    whole = False
                elif watch in self._folders:
                    found.setdefault(self._folders[watch], []).append(os.fsdecode(data[at - length : at].rstrip(b"\0")))
        return found if whole else None

    def _data(self) -> bytes:
        try:
            return os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self.descriptor)
