"""Slices of what the native library parses, parsed a second time by the careful path, and the two compared: values, nulls and misfits.

The checksums of a conversion begin with what the parser made of the text; nothing behind it would tell that the parser itself read a value wrongly.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import numpy as np

from portal.errors import ProofFailed
from portal.native.library import library
from portal.tabular.columns.schema import Schema
from portal.tabular.csv_format.line_ends import count_lines
from portal.tabular.outcome import describe
from portal.tabular.proving.hashing import hashes
from portal.tabular.rows import Chunk, Parsed, Parser, TableReader
from portal.tabular.showing import shown

EVERY = 16
"""Of so many chunks one is looked at; of those behind many others fewer."""
SLICE_BYTES = 128 << 10
_LARGEST_BYTES = 1 << 20
"""A record that is longer is not read twice."""
_HINT = "Please report it, with the file. PORTAL_NATIVE=0 reads it by the careful path alone."


def chosen(number: int) -> bool:
    """Tell whether a chunk is looked at: the first, one of 16, and fewer the farther behind: some 25 of a file of 10 GB, 4 more of one twice as
    large."""
    return number % max(EVERY, 1 << max(0, number.bit_length() - 3)) == 0


class SecondOpinion:
    """A parser that has another read again some of what it is given. May be called from several threads at once.

    Arguments:
        name: of the source, for messages.
    """

    def __init__(self, reader: TableReader, schema: Schema, name: str) -> None:
        self._reader, self._name, self._parse = reader, name, reader.parser(schema)
        self._other: Parser | None = reader.parser(schema, careful=True) if library() is not None else None
        self._lock = threading.Lock()
        self.records = 0
        """Records that were read twice, and found the same."""

    def __call__(self, chunk: Chunk) -> Parsed:
        """Parse a chunk. Raises ProofFailed, naming line and column, where the two do not make the same of a record."""
        parsed = self._parse(chunk)
        if self._other and chosen(chunk.number):
            slice_ = self._slice(chunk)
            other = self._other(slice_)
            if difference := self._difference(parsed, other):
                raise ProofFailed(f"{self._name}: {difference}", hint=_HINT)
            with self._lock:
                self.records += other.records - other.unread
        return parsed

    def _slice(self, chunk: Chunk) -> Chunk:
        """Return the first whole records of a chunk; none where the first is too long."""
        for size in (SLICE_BYTES, _LARGEST_BYTES):
            data = chunk.data[:size]
            whole = len(data) == len(chunk.data)
            ends = [end for _, end in self._reader.spans(data, final=whole)]
            if whole or ends:
                return Chunk(chunk.number, data if whole else data[: ends[-1]], chunk.offset, chunk.line)
        return Chunk(chunk.number, b"", chunk.offset, chunk.line)

    def _difference(self, parsed: Parsed, other: Parsed) -> str:
        """Tell in a sentence how what was parsed of a chunk differs from what another made of its beginning; '' when it does not."""
        end = other.chunk.offset + len(other.chunk.data)
        misfits = list(takewhile(lambda misfit: misfit.offset < end, parsed.misfits))
        for one, two in zip([*misfits, None], [*other.misfits, None], strict=False):
            if one != two:
                first = min(filter(None, (one, two)), key=lambda misfit: misfit.offset)
                return f"the fast reader and the careful one do not agree that a record does not fit. {describe(first)}"
        for name, one, two in zip(other.batch.schema.names, parsed.batch.columns, other.batch.columns, strict=True):
            found = one.slice(0, len(two))
            wrong = np.flatnonzero(hashes(found) != hashes(two)) if len(found) == len(two) else np.array([len(found)])
            if len(wrong):
                return self._told(other, name, found, two, wrong)
        return ""

    def _told(self, other: Parsed, name: str, found: Any, values: Any, wrong: Any) -> str:
        row = int(wrong[0])
        line = other.chunk.line + count_lines(other.chunk.data[: self._start(other, row)])
        pair = " and ".join(shown(str(array[row].as_py())) if row < len(array) else "nothing" for array in (found, values))
        more = f" (and {len(wrong) - 1} more of {len(values)} values)" if len(wrong) > 1 else ""
        return f"Line {line}, column {name!r}: the fast reader and the careful one read different values, {pair}{more}."

    def _start(self, other: Parsed, row: int) -> int:
        """Return where a row's record starts in its chunk."""
        misfits = {misfit.offset - other.chunk.offset for misfit in other.misfits}
        return next(place for number, place in enumerate(self._fitting(other.chunk, misfits)) if number == row)

    def _fitting(self, chunk: Chunk, misfits: set[int]) -> Iterator[int]:
        return (start for start, _ in self._reader.spans(chunk.data, final=True) if start not in misfits)
