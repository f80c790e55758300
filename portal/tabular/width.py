"""How wide a table may be, and how many rows of a wide one are in memory at once: cells without a value take memory too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from portal.errors import ConversionFailed
from portal.tabular.rows import Chunk

if TYPE_CHECKING:
    from portal.tabular.columns.schema import Schema

MOST_COLUMNS = 10_000
"""Columns, where each name within a struct is one: those who read Parquet hold a buffer for each."""
MOST_CELLS = 1 << 21
"""Rows × columns of one batch."""

Spans = Callable[[bytes], Iterable[tuple[int, int]]]
"""Data → start and end of each of its records."""


def leaves(schema: Schema) -> int:
    """Return the number of columns that hold values: structs and lists are what they hold."""
    return sum(inner.kind not in ("struct", "list") for column in schema.columns for inner in column.type.within())


def refuse_wide(columns: int, hint: str) -> None:
    """Raises ConversionFailed for more columns than are taken."""
    if columns > MOST_COLUMNS:
        raise ConversionFailed(f"There are {columns:,} columns or more; {MOST_COLUMNS:,} are the most.", hint=hint)


def narrowed(chunks: Iterable[Chunk], columns: Callable[[], int], most_records: Callable[[bytes], int], spans: Spans) -> Iterator[Chunk]:
    """Yield chunks cut into smaller ones where they would have too many cells.

    Arguments:
        columns: returns how many there are; asked when there is a chunk.
        most_records: returns how many records data has at most.
    """
    number = 0
    for chunk in chunks:
        rows = max(1, MOST_CELLS // max(1, columns()))
        if most_records(chunk.data) <= rows:
            yield replace(chunk, number=number)
            number += 1
            continue
        for start, end, lines in _cut(chunk.data, rows, spans):
            yield Chunk(number, chunk.data[start:end], chunk.offset + start if chunk.offset >= 0 else -1, chunk.line and chunk.line + lines)
            number += 1


def _cut(data: bytes, rows: int, spans: Spans) -> Iterator[tuple[int, int, int]]:
    """Yield start and end of pieces of so many records, and the number of line ends before. What stands between two pieces is in none: a comma."""
    begin = last = count = lines = 0
    for start, end in spans(data):
        if count == rows:
            yield begin, last, lines
            lines, begin, count = lines + _lines(data, begin, start), start, 0
        count, last = count + 1, end
    yield begin, len(data), lines


def _lines(data: bytes, start: int, end: int) -> int:
    """Return the number of line ends: LF, CR LF, CR."""
    return data.count(b"\n", start, end) + data.count(b"\r", start, end) - data.count(b"\r\n", start, end)
