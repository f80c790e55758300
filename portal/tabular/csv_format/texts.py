"""CSV text to columns of text without the kernel: through Arrow where it reads what the grammar says, else value by value."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from portal.native.csv_kernel import CsvParsed
from portal.tabular.csv_format.line_ends import has, record_ends
from portal.tabular.csv_format.records import Cell, Grammar, Walk

_NOTHING = np.zeros((0, 3), np.int64)


def parse_texts(data: bytes, grammar: Grammar, width: int, null_words: Sequence[bytes], *, pad: bool) -> CsvParsed:
    """Read whole records as `portal.native.csv_kernel.parse` does when every column is text: unquoted `null_words` are no values."""
    return through_arrow(data, grammar, width, null_words, pad=pad) or one_by_one(data, grammar, width, frozenset(null_words), pad)


def through_arrow(data: bytes, grammar: Grammar, width: int, null_words: Sequence[bytes], *, pad: bool = False) -> CsvParsed | None:
    """Return None for what Arrow reads otherwise, or does not tell enough of: escapes, comments, quotes out of place or beside ragged records."""
    form = grammar.form
    if not data or form.trim or has(data, grammar.escape_byte) or has(data, form.comment):
        return None
    ends = record_ends(data, form)
    if not ends or not (ends.sound and ends.closed):
        return None
    before = np.concatenate(([True], ends.mask[:-1]))
    starts = np.flatnonzero(before > ends.mask)
    table, ragged = _table(data, grammar, width, null_words), _NOTHING
    if table is None and not pad and not has(data, form.quote):
        closed = np.append(np.flatnonzero(ends.mask > before), len(data))[: len(starts)]
        values = 1 + _counts(data, form.delimiter, starts, closed)
        odd = values != width
        ragged = np.stack([starts[odd], closed[odd], values[odd]], 1).astype(np.int64)
        table, starts = _table(_without(data, starts[odd], closed[odd]), grammar, width, null_words), starts[~odd]
    if table is None or table.num_rows != len(starts):
        return None
    columns = [_one_chunk(column) for column in table.columns]
    return CsvParsed(len(starts), columns, starts=starts.astype(np.int64), ragged=ragged)


def _counts(data: bytes, delimiter: bytes, starts: Any, ends: Any) -> Any:
    """Return how many delimiters stand between each start and end."""
    places = np.flatnonzero(np.frombuffer(data, np.uint8) == delimiter[0])
    return np.searchsorted(places, ends) - np.searchsorted(places, starts)


def _without(data: bytes, starts: Any, ends: Any) -> bytes:
    """Return data without some stretches of it, which do not touch."""
    steps = np.zeros(len(data) + 1, np.int8)
    steps[starts], steps[ends] = 1, -1
    return bytes(np.frombuffer(data, np.uint8)[np.cumsum(steps[:-1], dtype=np.int8) == 0].tobytes())


def _table(data: bytes, grammar: Grammar, width: int, null_words: Sequence[bytes]) -> Any:
    names = [str(place) for place in range(width)]
    if not data.strip(b"\r\n"):
        return pa.table({name: pa.array([], pa.string()) for name in names})
    if data[-1] not in b"\r\n":
        data += b"\n"  # else Arrow takes an empty last value for quoted if the one before is
    try:
        return pa_csv.read_csv(
            pa.BufferReader(data),
            read_options=pa_csv.ReadOptions(column_names=names, block_size=len(data) + 1, use_threads=False),
            parse_options=pa_csv.ParseOptions(
                delimiter=grammar.form.delimiter.decode(), quote_char=grammar.form.quote.decode() or False, newlines_in_values=True,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[word.decode() for word in null_words], strings_can_be_null=True,
                quoted_strings_can_be_null=False, check_utf8=False,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None  # ragged: the other way tells where


def _one_chunk(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], pa.string())])


def one_by_one(data: bytes, grammar: Grammar, width: int, null_words: frozenset[bytes], pad: bool) -> CsvParsed:
    walk = Walk(grammar, data, final=True)
    columns: list[list[str | None]] = [[] for _ in range(width)]
    starts: list[int] = []
    ragged = array("q")
    for span in walk:
        cells = grammar.cells(data, span)
        if len(cells) != width and not (pad and len(cells) < width):
            ragged.extend((span.start, span.end, len(cells)))
            continue
        starts.append(span.start)
        for place, column in enumerate(columns):
            column.append(_value(cells[place], null_words) if place < len(cells) else None)
    broken = (walk.problem.at, walk.problem.kind) if walk.problem else None
    arrays = [pa.array(column, pa.string()) for column in columns]
    return CsvParsed(len(starts), arrays, starts=np.array(starts, np.int64), ragged=np.array(ragged, np.int64).reshape(-1, 3), broken=broken)


def _value(cell: Cell, null_words: frozenset[bytes]) -> str | None:
    if not cell.quoted and (cell.text in null_words or cell.raw in null_words):
        return None
    return cell.text.decode()
