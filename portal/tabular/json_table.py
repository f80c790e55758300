"""A JSON file as a table: one row a record, one column a name of the outermost objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.casting import Caster
from portal.tabular.column_types import ColumnType, parse
from portal.tabular.infer import DATES, ColumnGuess
from portal.tabular.json_count import count
from portal.tabular.json_split import Piece, Shape, pieces, shape_of
from portal.tabular.json_types import Place, Resolved, resolve, to_json
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import Rejected, Rejects
from portal.tabular.table import Check, Plan

_BATCH_ROWS = 10_000
_BATCH_CHARACTERS = 8 << 20


class JsonTable:
    """A UTF-8 JSON file. See `TableSource`."""

    def __init__(self, path: Path, options: ConvertOptions, rejects: Rejects) -> None:
        self._path, self._options, self._rejects = path, options, rejects
        self._shape: Shape = "lines" if options.format == "ndjson" else shape_of(path)
        self._columns: dict[str, Resolved] = {}
        self._casters: dict[str, Caster] = {}

    def plan(self, check: Check) -> Plan:
        record, dates = self._see(check)
        asked = {name: parse(kind, name) for name, kind in self._options.types.items()}
        names = list(record.fields) or list(asked)
        if strange := sorted(set(asked) - set(names)):
            raise ConversionFailed(f"There is no column {strange[0]!r} to give a type to.", hint=f"Columns: {', '.join(names[:30])}.")
        if not names:
            raise ConversionFailed("The file is empty: no record has a name, so there are no columns.", hint="Leave it out, or set types.")
        notes = {name: self._column(name, record, asked, dates) for name in names}
        warnings = [f"Column {name!r}: {note}." for name, note in notes.items() if "because" in note or "rounded" in note]
        schema = pa.schema([pa.field(name, self._casters[name].type.arrow if name in self._casters else self._columns[name].type) for name in names])
        return Plan(schema, count(self._path, self._shape), notes, tuple(warnings), {"format": "json", "records": self._shape})

    def _see(self, check: Check) -> tuple[Place, dict[str, ColumnGuess]]:
        """Look at every record; rows that are none are rejected here."""
        record = Place()
        dates: dict[str, ColumnGuess] = {}
        for batch in self._batches():
            check()
            for piece in batch:
                if piece.error:
                    self._rejects.add(Rejected(piece.line, "", piece.error, piece.raw.rstrip("\r\n")))
                else:
                    record.see(piece.value)
            if self._options.dates:
                self._see_dates(batch, record, dates)
        return record, dates

    def _see_dates(self, batch: list[Piece], record: Place, dates: dict[str, ColumnGuess]) -> None:
        rows = [piece.value for piece in batch if not piece.error]
        for name, place in record.fields.items():
            if place.kinds == {str}:
                texts = [row.get(name) for row in rows]
                dates.setdefault(name, ColumnGuess((), DATES)).update(pa.array(texts, pa.string()))

    def _column(self, name: str, record: Place, asked: dict[str, ColumnType], dates: dict[str, ColumnGuess]) -> str:
        """Settle how a column is made; returns the note on it."""
        place = record.fields.get(name, Place())
        if name in asked:
            self._casters[name] = Caster.make(name, asked[name], (), proven=False)
            return "type as asked for"
        self._columns[name] = resolve(place)
        if place.kinds == {str} and name in dates:
            guess = dates[name].finish()
            if guess.type.kind != "string":
                self._casters[name] = Caster.make(name, guess.type, (), proven=True)
            return guess.note
        return self._columns[name].note

    def _batches(self) -> Iterator[list[Piece]]:
        batch: list[Piece] = []
        size = 0
        for piece in pieces(self._path, self._shape):
            batch.append(piece)
            size += len(piece.raw)
            if len(batch) >= _BATCH_ROWS or size >= _BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def batches(self, plan: Plan, check: Check) -> Iterator[Any]:
        for batch in self._batches():
            check()
            rows = [piece for piece in batch if not piece.error]
            try:
                columns = self._arrays(plan.schema, rows)
            except pa.ArrowInvalid:
                rows = self._fitting(rows)
                columns = self._arrays(plan.schema, rows)
            yield pa.RecordBatch.from_arrays(columns, schema=plan.schema)

    def _arrays(self, schema: Any, rows: list[Piece]) -> list[Any]:
        arrays = []
        for name, kind in zip(schema.names, schema.types, strict=True):
            values = [piece.value.get(name) for piece in rows]
            if name in self._casters:
                arrays.append(self._casters[name].cast(_texts(values, self._casters[name])))
            else:
                ready = self._columns[name].ready
                arrays.append(pa.array([ready(value) for value in values] if ready else values, kind))
        return arrays

    def _fitting(self, rows: list[Piece]) -> list[Piece]:
        """Reject the rows that have a value that does not fit the type asked for; returns the others."""
        misfits: dict[int, tuple[str, str]] = {}
        for name, caster in self._casters.items():
            for at, reason in caster.problems(_texts([piece.value.get(name) for piece in rows], caster)):
                misfits.setdefault(at, (name, reason))
        for at, (name, reason) in sorted(misfits.items()):
            self._rejects.add(Rejected(rows[at].line, name, reason, rows[at].raw.rstrip("\r\n")))
        return [piece for at, piece in enumerate(rows) if at not in misfits]


def _texts(values: list[Any], caster: Caster) -> Any:
    """Return values as text for a caster: texts as they are, except where JSON text is asked for."""
    quoted = caster.type.kind == "json"
    texts = [value if value is None or (type(value) is str and not quoted) else to_json(value) for value in values]
    return pa.array(texts, pa.string())
