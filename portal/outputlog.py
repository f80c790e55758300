"""A job's log: what the engine printed, redacted line by line, in files of bounded size. Standard library only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from portal import clock
from portal.redact import Redactor

LINE_MAX_BYTES = 1 << 16
"""A longer line is cut to half of this; redacting the whole before the cut keeps a secret on the cut from showing its half."""

KEPT_PARTS = 4
"""Older parts that are kept, `<id>.log.1` being the latest of them."""


class OutputLog:
    """Appends to a log. Never raises because of the disk: what cannot be written is counted and said later."""

    def __init__(self, path: Path, max_bytes: int, redact: Redactor) -> None:
        self.path, self.max_bytes, self.redact = path, max_bytes, redact
        self.dropped_bytes = 0
        """What a full disk did not take."""
        self.removed_bytes = 0
        """What was in parts that are not kept."""
        self.cut_bytes = 0
        """What was cut off lines that are too long."""
        self._told_dropped = 0
        self._carry = b""
        self._skipping = False
        self._file = self._opened()
        self._size = os.fstat(self._file).st_size

    @property
    def lost_bytes(self) -> int:
        """Output that the log does not hold, for whatever reason; it says so where it is missing."""
        return self.dropped_bytes + self.removed_bytes + self.cut_bytes

    def _opened(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def say(self, text: str) -> None:
        """Write a line of the runner's own."""
        self._append(f"{clock.iso(clock.now_ms())} INFO  {text}\n".encode())

    def write(self, data: bytes) -> None:
        """Take output as it comes; whole lines are written at once."""
        data = self._carry + data
        if self._skipping:
            rest, newline, data = data.partition(b"\n")
            self.cut_bytes += len(rest)
            if not newline:
                self._carry = b""
                return
            self._skipping = False
        whole, newline, self._carry = data.rpartition(b"\n")
        if newline:
            self._append_lines(whole)
        if len(self._carry) > LINE_MAX_BYTES:
            self._append_cut(self._carry)
            self._carry, self._skipping = b"", True

    def _append_lines(self, whole: bytes) -> None:
        if len(whole) <= LINE_MAX_BYTES:
            self._append(self._clean(whole) + b"\n")
            return
        for line in whole.split(b"\n"):
            if len(line) > LINE_MAX_BYTES:
                self._append_cut(line)
            else:
                self._append(self._clean(line) + b"\n")

    def _append_cut(self, line: bytes) -> None:
        self.cut_bytes += len(line) - LINE_MAX_BYTES // 2
        self._append(self._clean(line[:LINE_MAX_BYTES])[: LINE_MAX_BYTES // 2] + " … (line cut)\n".encode())

    def _clean(self, data: bytes) -> bytes:
        return self.redact(data.decode("utf-8", "replace")).encode("utf-8", "replace")

    def flush(self) -> None:
        """Write what has no newline yet: no more will come."""
        if self._carry:
            self._append(self._clean(self._carry) + b"\n")
            self._carry = b""

    def _append(self, data: bytes) -> None:
        try:
            if self._size and self._size + len(data) > self.max_bytes:
                self._rotate()
            if self.dropped_bytes > self._told_dropped:
                self._write_all(f"(the disk was full: {self.dropped_bytes - self._told_dropped} bytes of output are missing here)\n".encode())
                self._told_dropped = self.dropped_bytes
            self._write_all(data)
        except OSError:
            self.dropped_bytes += len(data)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = os.write(self._file, left)
            self._size += written
            left = left[written:]

    def _rotate(self) -> None:
        oldest = self.path.with_name(f"{self.path.name}.{KEPT_PARTS}")
        if oldest.exists():
            self.removed_bytes += oldest.stat().st_size
        for number in range(KEPT_PARTS, 0, -1):
            older = self.path if number == 1 else self.path.with_name(f"{self.path.name}.{number - 1}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number}"))
        fresh = self._opened()
        os.close(self._file)
        self._file, self._size = fresh, 0
        if self.removed_bytes:
            kept = f"a log keeps {KEPT_PARTS + 1} parts of {self.max_bytes} bytes"
            self._write_all(f"({self.removed_bytes} bytes of older output were removed: {kept})\n".encode())

    def close(self) -> None:
        """Force the log to the disk."""
        with contextlib.suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)
