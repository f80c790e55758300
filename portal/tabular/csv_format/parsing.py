"""Chunks of CSV to rows under a frozen schema: canonical values by the kernel, where there is one, everything else by strict casters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.native.csv_kernel import ColumnSpec, CsvForm, CsvParsed
from portal.tabular.columns.canonical import kernel_type
from portal.tabular.columns.casting import Caster, null_words
from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.schema import Schema
from portal.tabular.columns.significance import MOST_DIGITS
from portal.tabular.csv_format.line_ends import count_lines
from portal.tabular.csv_format.reading import read
from portal.tabular.csv_format.records import Grammar, Problem, Walk
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Misfit, Parsed, most_misfits
from portal.tabular.showing import shown, where

Problems = dict[int, tuple[str, str]]
"""Row → column and reason of the first value that does not fit."""


class CsvParser:
    """Parses chunks under one schema. May be called from several threads at once.

    Arguments:
        schema: its columns are those of the text, in the text's order.
        measure: what a record's number of values is compared with, for messages: 'the header' or 'the first row'.
        careful: without the kernel.
    """

    def __init__(self, grammar: Grammar, schema: Schema, options: ConvertOptions, *, measure: str, careful: bool = False) -> None:
        self._grammar, self._measure, self._arrow, self._careful = grammar, measure, schema.arrow, careful
        self._most = most_misfits(options)
        self._pad = options.ragged == "pad"
        self._nulls = tuple(word.encode() for word in options.null_values)
        self._specs = tuple(spec_of(column.type, options) for column in schema.columns)
        self._casters = [
            None if column.type.kind == "string" else Caster.make(column.name, column.type, options, asked=column.asked) for column in schema.columns
        ]

    def __call__(self, chunk: Chunk) -> Parsed:
        """Raises ConversionFailed where no further record can be told."""
        found = read(chunk.data, self._grammar, self._specs, self._nulls, pad=self._pad, careful=self._careful)
        if found.broken:
            raise broken_in(chunk, self._grammar, int(found.starts[-1]) if found.rows else 0)
        remarks = self._remarks(chunk, found)
        columns, problems = self._cast(found)
        misfits = _first([*self._ragged(chunk, found), *self._misfits(chunk, found, problems)], self._most)
        records = found.rows + len(found.ragged)
        if len(misfits) == self._most:
            columns = [column.slice(0, self._before(found, problems, misfits[-1].offset)) for column in columns]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._arrow)
        return Parsed(chunk, records, batch, _placed(chunk, misfits), remarks, records - batch.num_rows - len(misfits))

    def _before(self, found: CsvParsed, problems: Problems, offset: int) -> int:
        """Return how many rows that fit stand before a place."""
        rows = int(np.searchsorted(found.starts, offset))
        return rows - sum(row < rows for row in problems)

    def _caster(self, place: int, found: CsvParsed) -> Caster | None:
        """Who turns a column into its type; None when it is that already."""
        return self._casters[place] if found.columns[place].type == pa.string() else None

    def _cast(self, found: CsvParsed) -> tuple[list[Any], Problems]:
        """Return the columns without the rows in which a value does not fit, and these; only up to the last of `most` of them."""
        columns, failed = list(found.columns), False
        problems: Problems = {}
        for place in range(len(columns)):
            if caster := self._caster(place, found):
                try:
                    columns[place] = caster.cast(found.columns[place])
                except pa.ArrowInvalid:
                    failed = True
                    for row, reason in caster.problems(found.columns[place], self._most):
                        problems.setdefault(row, (caster.column, reason))
        if not failed:
            return columns, problems
        problems = {row: problems[row] for row in sorted(problems)[: self._most]}
        good = np.ones(found.rows, np.bool_)
        good[list(problems)] = False
        if len(problems) == self._most:
            good[max(problems) :] = False
        mask = pa.array(good)
        for place, column in enumerate(found.columns):
            caster, kept = self._caster(place, found), column.filter(mask)
            columns[place] = caster.cast(kept) if caster else kept
        return columns, problems

    def _ragged(self, chunk: Chunk, found: CsvParsed) -> Iterable[Misfit]:
        for start, end, values in found.ragged[: self._most].tolist():
            reason = f"{values} values, where {self._measure} has {len(self._specs)}"
            yield Misfit(0, start, "", reason, chunk.data[start:end].decode())

    def _misfits(self, chunk: Chunk, found: CsvParsed, problems: Problems) -> Iterable[Misfit]:
        for row, (column, reason) in problems.items():
            span = next(iter(Walk(self._grammar, chunk.data, final=True, start=int(found.starts[row]))))
            yield Misfit(0, span.start, column, reason, chunk.data[span.start : span.end].decode())

    def _remarks(self, chunk: Chunk, found: CsvParsed) -> dict[str, str]:
        remarks: dict[str, str] = {}
        for place, field in enumerate(self._arrow):
            if field.type != pa.float64():
                continue
            row = found.remarks.get(place) if found.columns[place].type == pa.float64() else first_long(found.columns[place])
            if row is not None:
                span = next(iter(Walk(self._grammar, chunk.data, final=True, start=int(found.starts[row]))))
                text = self._grammar.cells(chunk.data, span)[place].text.decode()
                remarks[field.name] = f"correctly rounded: {shown(text)} has more digits than a 64-bit float keeps"
        return remarks


def spec_of(kind: ColumnType, options: ConvertOptions) -> ColumnSpec:
    """Return how the kernel is to read a column: as its type, or as the text that a caster reads."""
    if kind.is_text:
        return ColumnSpec(pa.string(), tuple(word.encode() for word in options.null_values))
    return ColumnSpec(kernel_type(kind, options) or pa.string(), tuple(word.encode() for word in null_words(options)), typed_nulls=True)


def first_long(texts: Any) -> int | None:
    """Return the first row with a number of more than 17 significant digits."""
    rows = pc.indices_nonzero(pc.greater(pc.binary_length(texts), MOST_DIGITS))
    few = texts.take(rows)
    few = pc.ascii_ltrim(few, "+-0")  # patterns are slow: nearly all are told by their lengths
    longer = pc.greater(pc.binary_length(few), pc.add(pc.cast(pc.match_substring(few, "."), pa.int32()), MOST_DIGITS))
    rows, few = rows.filter(longer), few.filter(longer)
    digits = pc.replace_substring_regex(pc.replace_substring_regex(few, "[eE].*$", ""), "[-+., '_]", "")
    digits = pc.utf8_trim(digits, "0")
    place = pc.index(pc.and_(pc.greater(pc.binary_length(digits), MOST_DIGITS), pc.match_substring_regex(digits, "^[0-9]+$")), True).as_py()
    return None if place < 0 else int(rows[place].as_py())


def _first(misfits: list[Misfit], most: int) -> list[Misfit]:
    return sorted(misfits, key=lambda misfit: misfit.offset)[:most]


def _placed(chunk: Chunk, misfits: list[Misfit]) -> list[Misfit]:
    """Return misfits with their lines, and their offsets in the text instead of the chunk."""
    placed: list[Misfit] = []
    line, at = chunk.line, 0
    for misfit in misfits:
        line += count_lines(chunk.data[at : misfit.offset])
        at = misfit.offset
        placed.append(Misfit(line, chunk.offset + at, misfit.column, misfit.reason, misfit.raw))
    return placed


def broken_in(chunk: Chunk, grammar: Grammar, near: int = 0) -> ConversionFailed:
    """Return the error of a chunk in which a record is broken; `near`: where a record before it starts."""
    walk = Walk(grammar, chunk.data, final=True, start=near)
    for _ in walk:
        pass
    assert walk.problem is not None, "two readers of CSV agree about what is broken"  # noqa: S101
    return broken(grammar.form, chunk.data, walk.problem, chunk.offset, chunk.line)


def broken(form: CsvForm, data: bytes, problem: Problem, offset: int, line: int) -> ConversionFailed:
    """Return the error of a record that is none; `offset` and `line` are where the data begins in the text, as in `Chunk`."""
    quote = form.quote.decode()
    opened, at = (_where(data, place, offset, line) for place in (problem.opened, problem.at))
    byte = f" (byte {offset + problem.opened})" if line and offset >= 0 else ""
    if problem.kind == "open":
        what = f"{opened}: a quote ({quote}) opens a value here{byte} and is never closed."
    elif problem.kind == "text":
        begins = f"; the value begins in {opened.lower()}{byte}" if line or offset >= 0 else ""
        what = f"{at}: text follows a closing quote ({quote}){begins}."
    else:
        what = f"{at}: the file ends with an escape character ({form.escape.decode()}) that has nothing to escape."
    hint = 'Quotes inside a quoted value are doubled (""), or escaped if escape says so; if quotes mean nothing here, set quote to nothing.'
    return ConversionFailed(what, hint=hint)


def _where(data: bytes, place: int, offset: int, line: int) -> str:
    return where(line and line + count_lines(data[:place]), offset + place if offset >= 0 else -1)
