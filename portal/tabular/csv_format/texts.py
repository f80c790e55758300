"""CSV text to columns of text without the kernel: through Arrow where it reads what the grammar says, else value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from portal.native.csv_kernel import CsvParsed
from portal.tabular.csv_format.line_ends import has, record_ends
from portal.tabular.csv_format.records import Cell, Grammar, Walk


def parse_texts(data: bytes, grammar: Grammar, width: int, null_words: Sequence[bytes], *, pad: bool) -> CsvParsed:
    """Read whole records as `portal.native.csv_kernel.parse` does when every column is text: unquoted `null_words` are no values."""
    return through_arrow(data, grammar, width, null_words) or one_by_one(data, grammar, width, frozenset(null_words), pad)


def through_arrow(data: bytes, grammar: Grammar, width: int, null_words: Sequence[bytes]) -> CsvParsed | None:
    """Return None for what Arrow reads otherwise, or does not tell enough of: escapes, comments, quotes out of place, ragged records."""
    form = grammar.form
    if not data or form.trim or has(data, grammar.escape_byte) or has(data, form.comment):
        return None
    ends = record_ends(data, form)
    if not ends or not (ends.sound and ends.closed):
        return None
    starts = np.flatnonzero(np.concatenate(([True], ends.mask[:-1])) > ends.mask)
    table = _table(data, grammar, width, null_words)
    if table is None or table.num_rows != len(starts):
        return None
    columns = [_one_chunk(column) for column in table.columns]
    return CsvParsed(len(starts), columns, starts=starts.astype(np.int64))


def _table(data: bytes, grammar: Grammar, width: int, null_words: Sequence[bytes]) -> Any:
    names = [str(place) for place in range(width)]
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
    ragged: list[tuple[int, int, int]] = []
    for span in walk:
        cells = grammar.cells(data, span)
        if len(cells) != width and not (pad and len(cells) < width):
            ragged.append((span.start, span.end, len(cells)))
            continue
        starts.append(span.start)
        for place, column in enumerate(columns):
            column.append(_value(cells[place], null_words) if place < len(cells) else None)
    broken = (walk.problem.at, walk.problem.kind) if walk.problem else None
    arrays = [pa.array(column, pa.string()) for column in columns]
    return CsvParsed(len(starts), arrays, starts=np.array(starts, np.int64), ragged=ragged, broken=broken)


def _value(cell: Cell, null_words: frozenset[bytes]) -> str | None:
    if not cell.quoted and (cell.text in null_words or cell.raw in null_words):
        return None
    return cell.text.decode()
