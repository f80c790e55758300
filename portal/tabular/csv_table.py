"""A CSV file as a table: checked and counted by the strict reference reader, typed and streamed by Arrow's columnar one.

Arrow reads every column as text, so that nothing is guessed on the way. An unquoted null text is 'no value'; a quoted one is text in text
columns and 'no value' in the others (a number cannot be an empty text).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from portal.errors import ConversionFailed
from portal.tabular.casting import Caster
from portal.tabular.column_types import ColumnType, parse
from portal.tabular.csv_rows import Records
from portal.tabular.dialect import Dialect, detect
from portal.tabular.infer import DATES, KINDS, ColumnGuess, Guess
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import Rejected, Rejects
from portal.tabular.table import Check, Plan

_BLOCK_BYTES = 1 << 20
_LARGEST_BLOCK_BYTES = 256 << 20
_CHECK_ROWS = 20_000


class CsvTable:
    """A UTF-8 CSV file. See `TableSource`."""

    def __init__(self, path: Path, options: ConvertOptions, rejects: Rejects, *, key: str = "") -> None:
        self._path, self._options, self._rejects = path, options, rejects
        self._dialect: Dialect = detect(path, options, key)
        self._names: list[str] = []
        self._warnings: list[str] = []
        self._types: dict[str, ColumnType] = {}
        self._rows = self._ragged = self._data_offset = 0
        self._block_bytes = _BLOCK_BYTES

    def plan(self, check: Check) -> Plan:
        records = self._scan(check)
        asked = _asked(self._options.types, self._names)
        guesses = self._infer(check, [name for name in self._names if name not in asked])
        self._types = {name: asked.get(name) or guesses[name].type for name in self._names}
        notes = {name: guess.note for name, guess in guesses.items()} | dict.fromkeys(asked, "type as asked for")
        dialect = self._dialect
        if records.blank_lines:
            self._warnings.append(f"{records.blank_lines} blank lines were passed over.")
        if 0 < records.bare_returns < self._rows:
            self._warnings.append(f"{records.bare_returns} rows end in a carriage return alone, others do not: were these parts of values?")
        self._warnings += [f"Column {name!r}: {note}." for name, note in notes.items() if "kept as text" in note or "rounded" in note]
        reading = {
            "format": "csv", "delimiter": dialect.delimiter, "quote": dialect.quote, "header": dialect.header, "blank_lines": records.blank_lines,
        }  # fmt: skip
        schema = pa.schema([pa.field(name, self._types[name].arrow) for name in self._names])
        return Plan(schema, self._rows, notes, tuple(filter(None, [dialect.doubt, *self._warnings])), reading)

    def _scan(self, check: Check) -> Records:
        """Count the rows, find the ragged ones, name the columns."""
        records = Records(self._path, self._dialect)
        width = 0
        for number, record in enumerate(records):
            if number == 0:
                width = self._begin(record.cells, record.line, record.raw)
                if self._dialect.header:
                    continue
            self._rows += 1
            if len(record.cells) != width:
                self._ragged += 1
                reason = f"{len(record.cells)} values, where {'the header' if self._dialect.header else 'the first row'} has {width}"
                self._rejects.add(Rejected(record.line, "", reason, record.raw.rstrip("\r\n")))
            if number % _CHECK_ROWS == 0:
                check()
        return records

    def _begin(self, cells: list[str], line: int, raw: str) -> int:
        lines = line - 1 + (sum(1 for _ in io.StringIO(raw, newline="")) if self._dialect.header else 0)
        with self._path.open(encoding="utf-8", newline="") as file:
            self._data_offset = sum(len(file.readline().encode()) for _ in range(lines))
        self._names, renamed = column_names(cells if self._dialect.header else [""] * len(cells))
        if self._dialect.header:
            self._warnings += renamed
        return len(cells)

    def _infer(self, check: Check, names: list[str]) -> dict[str, Guess]:
        kinds = KINDS if self._options.dates else tuple(kind for kind in KINDS if kind not in DATES)
        while True:
            guesses = {name: ColumnGuess(self._null_words, kinds) for name in names}
            try:
                for batch in self._text_batches():
                    check()
                    for name, guess in guesses.items():
                        guess.update(batch.column(name))
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or self._block_bytes >= _LARGEST_BLOCK_BYTES:
                    raise ConversionFailed("The file cannot be read as CSV.", hint="Is one row larger than 256 MiB?") from error
                self._block_bytes *= 4
            else:
                return {name: guess.finish() for name, guess in guesses.items()}

    @property
    def _null_words(self) -> tuple[str, ...]:
        return ("", *self._options.null_values, *self._options.typed_null_values)

    def _text_batches(self) -> Iterator[Any]:
        if self._rows == self._ragged:
            return
        dialect = self._dialect
        with pa.OSFile(str(self._path)) as file:
            file.seek(self._data_offset)
            reader = pa_csv.open_csv(
                file,
                read_options=pa_csv.ReadOptions(column_names=self._names, block_size=self._block_bytes, use_threads=False),
                parse_options=pa_csv.ParseOptions(
                    delimiter=dialect.delimiter, quote_char=dialect.quote or False, newlines_in_values=bool(dialect.quote),
                    invalid_row_handler=lambda _: "skip",
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(self._names, pa.string()), null_values=list(self._options.null_values), strings_can_be_null=True,
                    quoted_strings_can_be_null=False, check_utf8=False,
                ),
            )  # fmt: skip
            yield from reader

    def batches(self, plan: Plan, check: Check) -> Iterator[Any]:
        asked = self._options.types
        casters = [Caster.make(name, self._types[name], self._null_words, proven=name not in asked) for name in self._names]
        before = 0
        misfits: dict[int, tuple[str, str]] = {}
        for batch in self._text_batches():
            check()
            columns = _cast(casters, batch)
            if columns is None:
                found = _misfits(casters, batch)
                misfits |= {before + place: problem for place, problem in found.items()}
                self._explain(misfits, enough=self._options.max_rejects if self._options.on_reject == "keep" else 0)
                mask = pa.array([place not in found for place in range(batch.num_rows)], pa.bool_())
                columns = _cast(casters, batch.filter(mask)) or []
            before += batch.num_rows
            yield pa.RecordBatch.from_arrays(columns, schema=plan.schema)
        self._explain(misfits)

    def _explain(self, misfits: dict[int, tuple[str, str]], *, enough: int | None = None) -> None:
        """Hand rows that do not fit to the rejects, with the lines they are on: at the end, or when there are more than `enough`."""
        if not misfits or (enough is not None and len(misfits) + self._rejects.count <= enough):
            return
        last, place, width = max(misfits), -1, len(self._names)
        for number, record in enumerate(Records(self._path, self._dialect)):
            if (number == 0 and self._dialect.header) or len(record.cells) != width:
                continue
            place += 1
            if place in misfits:
                column, reason = misfits[place]
                self._rejects.add(Rejected(record.line, column, reason, record.raw.rstrip("\r\n")))
            if place >= last:
                return


def _cast(casters: list[Caster], batch: Any) -> list[Any] | None:
    try:
        return [caster.cast(values) for caster, values in zip(casters, batch.columns, strict=True)]
    except pa.ArrowInvalid:
        return None


def _misfits(casters: list[Caster], batch: Any) -> dict[int, tuple[str, str]]:
    """Return row → (column, reason) for the first problem of each row that has one."""
    found: dict[int, tuple[str, str]] = {}
    for caster, values in zip(casters, batch.columns, strict=True):
        for place, reason in caster.problems(values):
            found.setdefault(place, (caster.column, reason))
    return found


def _asked(types: dict[str, str], names: list[str]) -> dict[str, ColumnType]:
    for column in types:
        if column not in names:
            raise ConversionFailed(f"There is no column {column!r} to give a type to.", hint=f"Columns: {', '.join(names[:30])}.")
    return {column: parse(name, column) for column, name in types.items()}


def column_names(cells: list[str]) -> tuple[list[str], list[str]]:
    """Return names that are there and differ, and a sentence for each that was changed."""
    taken = {cell for cell in cells if cell}
    names: list[str] = []
    used: set[str] = set()
    changes: list[str] = []
    for place, cell in enumerate(cells, 1):
        name = cell or f"column_{place}"
        number = 1
        while name in used or (name != cell and name in taken):
            number += 1
            name = f"{cell or f'column_{place}'}_{number}"
        names.append(name)
        used.add(name)
        if name != cell:
            changes.append(f"Column {place} has {'no name' if not cell else f'the name {cell!r} again'}; it is called {name!r}.")
    return names, changes
