"""Files of JSON lines that a job adds to over all its attempts: a line that a crash cut off is passed over, and the next one stands alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


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
    """Adds lines; one thread at a time. What is added is handed to the system at once, and is on the disk after `close`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        size = self._file.seek(0, os.SEEK_END)
        if size and os.pread(self._file.fileno(), 1, size - 1) != b"\n":
            self._write(b"\n")

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self._write("".join(json.dumps(line) + "\n" for line in lines).encode())

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) or 0 :]

    def close(self) -> None:
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
