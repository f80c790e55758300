"""Files of JSON lines that a job adds to over all its attempts: a line that a crash cut off is passed over, and the next one stands alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from portal.durable import is_full, is_shortage
from portal.errors import PortalError


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that are whole; none when there is no such file."""
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        yield found


class LinesFile:
    """Adds lines; one thread at a time. What is added is handed to the system at once, and is on the disk after `close`.

    Everything raises PortalError when the file cannot be written, which passes where the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _told(path):
            self._file = path.open("a+b", buffering=0)
            size = self._file.seek(0, os.SEEK_END)
            last = os.pread(self._file.fileno(), 1, size - 1) if size else b"\n"
        if last != b"\n":
            self._write(b"\n")

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self._write("".join(json.dumps(line) + "\n" for line in lines).encode())

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        with _told(self._path):
            while left:
                left = left[self._file.write(left) or 0 :]

    def close(self) -> None:
        if not self._file.closed:
            with self._file, _told(self._path):
                os.fsync(self._file.fileno())


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "Free some space, then try again: what is left is done then." if is_full(error) else ""
        told = PortalError(f"{path.name} of the job cannot be written: {error.strerror}.", hint=hint)
        told.retryable = is_shortage(error)
        raise told from error
