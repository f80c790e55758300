"""The journal: a line when an object is begun and one when it has ended, so that the next attempt knows what is left to do.

Each line is handed to the system at once (a dying process loses none) and forced to the disk about once a second. A line that was cut off
is passed over: its object is begun and not ended, so its target is ours to overwrite.
"""

from __future__ import annotations

import json
import os
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from portal.transfer.ledger import Row

JOURNAL_FILE = "journal.ndjson"
_SYNC_EVERY_S = 1.0
_FAILED = "failed"


class JournalState:
    """What a journal says of a plan with `count` entries; ten bytes of memory an entry. Reading it changes nothing."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self._last = array("q", [-1]) * count
        self._begun = bytearray(count)
        self._failed = bytearray(count)
        position = 0
        for line in _lines(path):
            values = _parse(line)
            if values is not None and 0 <= values["n"] < count:
                self.note(values["n"], values.get("outcome"), position)
            position += len(line)

    def note(self, n: int, outcome: str | None, position: int) -> None:
        """Take in a line that begins at `position`: an end with its outcome, or a beginning (None)."""
        self._begun[n] = outcome is None
        self._failed[n] = outcome == _FAILED
        self._last[n] = -1 if outcome is None else position

    def begun(self, n: int) -> bool:
        """Whether an object was begun and nobody knows how it ended."""
        return bool(self._begun[n])

    def ended(self, n: int) -> bool:
        """Whether an object is done with (copied, converted, skipped, excluded): nothing is left to do."""
        return self._last[n] >= 0 and not self._failed[n]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the row of every object that has ended, in the plan's order."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for position in self._last:
                if position >= 0:
                    file.seek(position)
                    values = json.loads(file.readline())
                    del values["n"]
                    yield values


class Journal:
    """The journal of a running job, over all its attempts. Methods may be called from any thread."""

    def __init__(self, path: Path, count: int) -> None:
        self.state = JournalState(path, count)
        self._lock = threading.Lock()
        self._file = path.open("ab")
        self._size = _close_last_line(path, self._file)
        self._synced = time.monotonic()

    def begin(self, n: int) -> None:
        self._append(n, {"n": n}, None)

    def end(self, n: int, row: Row) -> None:
        self._append(n, {"n": n, **row.asdict()}, row.outcome)

    def _append(self, n: int, values: dict[str, Any], outcome: str | None) -> None:
        line = json.dumps(values).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            self.state.note(n, outcome, self._size)
            self._size += len(line)
            if time.monotonic() - self._synced >= _SYNC_EVERY_S:
                self._sync()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self._sync()
        self._file.close()


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from file


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
        return values if isinstance(values["n"], int) else None
    except (ValueError, KeyError, TypeError):
        return None


def _close_last_line(path: Path, file: Any) -> int:
    """End a line that a crash cut off, so that the next stands alone; returns the size."""
    size = path.stat().st_size
    if size:
        with path.open("rb") as reader:
            reader.seek(size - 1)
            if reader.read(1) != b"\n":
                size += int(file.write(b"\n"))
                file.flush()
    return size
