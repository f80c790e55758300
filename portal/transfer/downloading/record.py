"""What became of every message, in received.ndjson: a line for each time one ended, so that the next attempt of the job goes on from there.

A line is on the disk before its message is deleted. It holds the rows of the ledger by number of the record in the message; of a record that is
tried again the last line counts.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from portal.stores.local_files import translated
from portal.transfer.downloading.handling import Ended

RECORD_FILE = "received.ndjson"
_ROWS_TOGETHER = 1000
_COLUMNS = (
    "source_url", "source_key", "source_size", "source_etag", "source_version", "source_modified", "source_checksum", "target_url", "target_key",
    "target_size", "crc64nvme", "proof", "outcome", "reason", "cause", "mode", "attempts", "started_at", "finished_at", "duration_s", "bytes_through",
)  # fmt: skip
_NOTHING: dict[str, Any] = {"source_etag": "", "reason": "", "cause": "", "mode": "", "proof": "none", "attempts": 0, "bytes_through": 0}


class Unsettled(NamedTuple):
    """A message that will come again."""

    numbers: dict[int, int]
    """Row of the ledger by number of its record."""
    settled: frozenset[int]
    """Records that are done with."""


class Record:
    """Rows count from 0 in the order in which their messages ended first. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages = 0
        self.dead = 0
        self._times = array("H")
        """How often each row was written, at most 65,535 times."""
        self._unsettled: dict[str, Unsettled] = {}
        for line in self._lines():
            self._take(line)
        self._file = path.open("ab", buffering=0)
        self._cut_off = path.stat().st_size > 0
        """The last line may have no end: a crash, or a full disk."""

    @property
    def listed(self) -> int:
        """Rows: records of messages, and messages that could not be read."""
        return len(self._times)

    def settled(self, message_id: str) -> frozenset[int]:
        """Records of a message that are done with, though it comes again."""
        found = self._unsettled.get(message_id)
        return found.settled if found else frozenset()

    def add(self, ended: Ended) -> None:
        """Write down what became of a message; `sync` forces it to the disk. Raises StoreFull."""
        if not ended.rows:
            return
        known = self._unsettled.get(ended.message.id)
        numbers = dict(known.numbers) if known else {}
        fresh = self.listed
        for record in ended.rows:
            if record not in numbers:
                numbers[record], fresh = fresh, fresh + 1
        rows = [{"n": numbers[record], "record": record, **row} for record, row in ended.rows.items()]
        line = {"message": ended.message.id, "rows": rows}
        self._append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._take(line)

    def _append(self, line: bytes) -> None:
        data = memoryview(b"\n" + line if self._cut_off else line)
        self._cut_off = True
        with translated(str(self.path).lstrip("/")):
            while data:
                data = data[self._file.write(data) or 0 :]
        self._cut_off = False

    def sync(self) -> None:
        with translated(str(self.path).lstrip("/")):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _take(self, line: Mapping[str, Any]) -> None:
        known = self._unsettled.pop(line["message"], None)
        self.messages += known is None
        numbers, settled = (dict(known.numbers), set(known.settled)) if known else ({}, set())
        for row in line["rows"]:
            n, record = row["n"], row["record"]
            self._times.extend([0] * (n + 1 - len(self._times)))
            self._times[n] = min(self._times[n] + 1, 0xFFFF)
            numbers[record] = n
            self.dead += bool(row.get("dead"))
            if row["outcome"] != "failed" or row.get("dead"):
                settled.add(record)
        if len(settled) < len(numbers):
            self._unsettled[line["message"]] = Unsettled(numbers, frozenset(settled))

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    found = json.loads(line)
                    if isinstance(found, dict) and "rows" in found:
                        yield found

    def columns(self) -> Iterator[dict[str, list[Any]]]:
        """Yield the ledger's columns (and `n`), each row as it was written last."""
        seen = array("H", [0]) * self.listed
        rows: list[dict[str, Any]] = []
        for line in self._lines():
            for row in line["rows"]:
                seen[row["n"]] = min(seen[row["n"]] + 1, 0xFFFF)
                if seen[row["n"]] == self._times[row["n"]]:
                    rows.append(row)
            if len(rows) >= _ROWS_TOGETHER:
                yield _as_columns(rows)
                rows = []
        if rows:
            yield _as_columns(rows)


def _as_columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {"n": [row["n"] for row in rows], **{name: [row.get(name, _NOTHING.get(name)) for row in rows] for name in _COLUMNS}}
