"""The journal: what was begun and how it ended, a line for each batch of objects, so that the next attempt knows what is left to do.

`{"begin": [n, …]}` stands there before the first request that may change those targets, `{"end": {"n": [n, …], "outcome": …, …}}` holds the
ledger's columns of objects that have ended (a column of one value alone is that value, a column of nothing is left out), and
`{"blocks": {"n": n, "upload": "…", "step": bytes, "blocks": [[number, size, crc64, mark], …], "sums": […]}}` what of a large object is at the
target already, cut into blocks of so many bytes.

Each line is handed to the system at once (a dying process loses none) and forced to the disk about once a second. A line that was cut off
is passed over: its objects are begun and not ended, and whoever moves them looks at what they find at the target.
"""

from __future__ import annotations

import json
import os
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from portal.wire.ends import Block

JOURNAL_FILE = "journal.ndjson"
_SYNC_EVERY_S = 1.0
_FAILED = "failed"
_PROOF_FAILED = "proof-failed"
_BEGUN, _DONE, _ENDED, _DOUBTFUL = 1, 2, 4, 8
"""Bits of an entry: something of it may be at the target; nothing is left to do; its last line is an end (done or failed); what is at the
target was found wrong once."""

Columns = Mapping[str, Sequence[Any]]
"""Columns of the ledger, all of one length, and `n`, the entries' numbers."""


class _Upload(NamedTuple):
    name: str
    step_bytes: int
    blocks: dict[int, Block]
    sums: list[Sequence[Any]]


class Told(NamedTuple):
    """What a line of a journal says: entries that were begun, the ledger's columns of those that ended, or the bytes of blocks of one."""

    begun: Sequence[int] = ()
    ended: Columns | None = None
    n: int = -1
    block_bytes: int = 0


class JournalState:
    """What a journal says of a plan with `count` entries, or of a part of one that begins at number `first`; three bytes of memory an entry.
    Reading it changes nothing."""

    def __init__(self, path: Path, count: int, first: int = 0) -> None:
        self.path, self._count, self._first = path, count, first
        self._bits = bytearray(count)
        self._ends = array("H", [0]) * count
        self._uploads: dict[int, _Upload] = {}
        for values in _lines(path):
            with suppress(KeyError, TypeError, ValueError):
                self._take(values)

    def begun(self, n: int) -> bool:
        """Whether something of an object that is not done with may be at the target: it was cut off, or failed on the way."""
        return bool(self._bits[n - self._first] & _BEGUN)

    def cut_off(self, n: int) -> bool:
        """Whether an object was begun and nobody knows how it ended."""
        return self._bits[n - self._first] & (_BEGUN | _DONE | _ENDED) == _BEGUN

    def doubtful(self, n: int) -> bool:
        """Whether an attempt failed because the target had other bytes than were sent, and those may still be there under our mark."""
        return bool(self._bits[n - self._first] & _DOUBTFUL)

    def ended(self, n: int) -> bool:
        """Whether an object is done with (copied, converted, skipped, excluded): nothing is left to do."""
        return bool(self._bits[n - self._first] & _DONE)

    def upload(self, n: int) -> tuple[str, list[Block]] | None:
        """What of a large object is at the target: what its blocks are gathered under, and the blocks in the order of their numbers."""
        found = self._uploads.get(n)
        return (found.name, [found.blocks[number] for number in sorted(found.blocks)]) if found else None

    def step_bytes(self, n: int) -> int:
        """How large those blocks are, but for the last; 0 unknown."""
        return self._uploads[n].step_bytes if n in self._uploads else 0

    def sums(self, n: int) -> list[Sequence[Any]]:
        """Other checksums of those blocks, as they were journalled."""
        return self._uploads[n].sums if n in self._uploads else []

    def untouched(self, first: int, count: int) -> bool:
        """Whether nothing was begun of the `count` entries from `first` on."""
        return not any(self._bits[first - self._first : first - self._first + count])

    def rows(self) -> Iterator[dict[str, list[Any]]]:
        """Yield the ledger's columns (and `n`) of what has ended, batch by batch as it ended; each entry once, as it ended last."""
        seen = array("H", [0]) * self._count
        for values in _lines(self.path):
            with suppress(KeyError, TypeError):
                columns = _unpacked(values["end"])
                last = [self._is_last(n, seen) for n in columns["n"]]
                if all(last):
                    yield columns
                elif any(last):
                    yield {name: [value for value, kept in zip(column, last, strict=True) if kept] for name, column in columns.items()}

    def _is_last(self, n: int, seen: array[int]) -> bool:
        place = n - self._first
        if not 0 <= place < self._count:
            return n < 0
        seen[place] += 1
        return seen[place] == self._ends[place] and bool(self._bits[place] & _ENDED)

    def _take(self, values: Any) -> None:
        """Take in a line. Raises KeyError or TypeError for one that is none of ours."""
        if "begin" in values:
            self.note_begun(values["begin"])
        elif "end" in values:
            self.note_ended(values["end"]["n"], values["end"]["outcome"], values["end"].get("cause") or "")
        else:
            told = values["blocks"]
            blocks = [Block(*block) for block in told["blocks"]]
            self.note_blocks(told["n"], told["upload"], blocks, told.get("sums", ()), told.get("step", 0))

    def note_begun(self, ns: Iterable[int]) -> None:
        for n in ns:
            if 0 <= (place := n - self._first) < self._count:
                self._bits[place] = self._bits[place] & _DOUBTFUL | _BEGUN

    def note_ended(self, ns: Sequence[int], outcomes: Sequence[str] | str, causes: Sequence[str] | str = "") -> None:
        """`outcomes` and `causes`: one for all, or one for each."""
        if _PROOF_FAILED in causes:
            self._note_doubts(ns, causes)
        for n, outcome in zip(ns, [outcomes] * len(ns) if isinstance(outcomes, str) else outcomes, strict=True):
            if 0 <= (place := n - self._first) < self._count:
                self._bits[place] = self._bits[place] & (_BEGUN | _DOUBTFUL) | _ENDED if outcome == _FAILED else _DONE | _ENDED
                self._ends[place] += 1
                if outcome != _FAILED and self._uploads:
                    self._uploads.pop(n, None)

    def _note_doubts(self, ns: Sequence[int], causes: Sequence[str] | str) -> None:
        for n, cause in zip(ns, [causes] * len(ns) if isinstance(causes, str) else causes, strict=True):
            if 0 <= (place := n - self._first) < self._count and cause == _PROOF_FAILED:
                self._bits[place] |= _DOUBTFUL

    def note_blocks(self, n: int, upload: str, blocks: Iterable[Block], sums: Iterable[Sequence[Any]] = (), step_bytes: int = 0) -> None:
        if not 0 <= n - self._first < self._count:
            return
        if n not in self._uploads or self._uploads[n][:2] != (upload, step_bytes):
            self._uploads[n] = _Upload(upload, step_bytes, {}, [])
        self._uploads[n].blocks.update((block.number, block) for block in blocks)
        self._uploads[n].sums.extend(sums)


class Journal:
    """The journal of a running job, over all its attempts. Methods may be called from any thread."""

    def __init__(self, path: Path, count: int, first: int = 0) -> None:
        self.state = JournalState(path, count, first)
        self._lock = threading.Lock()
        self._file = path.open("ab", buffering=0)
        _close_last_line(path, self._file)
        self._synced = time.monotonic()
        self.hear: Callable[[Columns], None] = lambda rows: None
        """Is told the rows that `end` wrote down, once they are; what it raises comes out of `end`."""

    def begin(self, ns: Sequence[int]) -> None:
        """Objects whose targets may change from now on."""
        with self._lock:
            self._append({"begin": list(ns)})
            self.state.note_begun(ns)

    def end(self, rows: Columns) -> None:
        """Objects that have ended: `n`, `outcome` and whichever other columns of the ledger there are. `n` may be -1 for what the plan does not
        have (an object that was deleted at the target)."""
        if not rows["n"]:
            return
        packed = _packed(rows)
        with self._lock:
            self._append({"end": packed})
            self.state.note_ended(rows["n"], packed["outcome"], packed.get("cause") or "")
        self.hear(rows)

    def blocks(self, n: int, upload: str, blocks: Sequence[Block], sums: Sequence[Sequence[Any]] = (), step_bytes: int = 0) -> None:
        """Blocks of a large object that are at the target now, and other checksums of them (JSON values; kept as they are). Another `upload`
        or `step_bytes`, the length of the blocks, than before replaces what was known."""
        told = {"n": n, "upload": upload, "step": step_bytes, "blocks": blocks, "sums": sums}
        with self._lock:
            self._append({"blocks": told if sums else {name: value for name, value in told.items() if name != "sums"}})
            self.state.note_blocks(n, upload, blocks, sums, step_bytes)

    def adopt(self, lines: Iterable[bytes]) -> Iterator[Told]:
        """Take in lines of another journal, of a part of the same plan, and write them down here; yields what each tells, once it is. What was
        begun there must have been begun here before."""
        for line in lines:
            values = json.loads(line)
            if "end" in values:
                columns = _unpacked(values["end"])
                self.end(columns)
                yield Told(ended=columns)
            elif "blocks" in values:
                told = values["blocks"]
                blocks = [Block(*block) for block in told["blocks"]]
                self.blocks(told["n"], told["upload"], blocks, told.get("sums", ()), told.get("step", 0))
                yield Told(n=told["n"], block_bytes=sum(block.size_bytes for block in blocks))
            else:
                yield Told(begun=values["begin"])

    def rows(self) -> Iterator[dict[str, list[Any]]]:
        """See `JournalState.rows`."""
        return self.state.rows()

    def _append(self, values: Mapping[str, Any]) -> None:
        line = memoryview(json.dumps(values, separators=(",", ":")).encode() + b"\n")
        while line:
            line = line[self._file.write(line) or 0 :]
        if time.monotonic() - self._synced >= _SYNC_EVERY_S:
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        with self._lock:
            self._sync()
            self._file.close()


def _packed(rows: Columns) -> dict[str, Any]:
    """Columns as they are written: one value instead of many that are alike, nothing instead of nothing."""
    packed: dict[str, Any] = {"n": rows["n"]}
    for name, column in rows.items():
        first = column[0]
        if name != "n" and column.count(first) != len(column):
            packed[name] = column
        elif name != "n" and first is not None:
            packed[name] = first
    return packed


def _unpacked(packed: Mapping[str, Any]) -> dict[str, list[Any]]:
    count = len(packed["n"])
    return {name: column if isinstance(column, list) else [column] * count for name, column in packed.items()}


def _lines(path: Path) -> Iterator[Any]:
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    yield json.loads(line)


def _close_last_line(path: Path, file: Any) -> None:
    """End a line that a crash cut off, so that the next stands alone."""
    size = path.stat().st_size
    if size:
        with path.open("rb") as reader:
            reader.seek(size - 1)
            if reader.read(1) != b"\n":
                file.write(b"\n")
