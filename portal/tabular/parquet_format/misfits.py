"""Batches of a Parquet file under a schema: every column cast strictly, rows with a value that does not fit set apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.columns.schema import Schema
from portal.tabular.options import ConvertOptions
from portal.tabular.parquet_format.strict import StrictCast, text_of
from portal.tabular.rows import Chunk, Misfit, Parsed


class Rows(Protocol):
    """A batch, its number, and that of its first row, from 0."""

    @property
    def number(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def batch(self) -> Any: ...
    @property
    def wrong(self) -> Mapping[int, tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class Casts:
    """Casts batches; safe to use from several threads."""

    schema: Schema
    _casts: Mapping[str, StrictCast]

    @classmethod
    def make(cls, source: Any, schema: Schema, options: ConvertOptions) -> Casts:
        """`source` is the pyarrow.Schema of the file. Raises ConversionFailed for a type that a column cannot be cast to."""
        return cls(schema, {column.name: StrictCast.make(column, source.field(column.name).type, options) for column in schema.columns})

    def __call__(self, rows: Rows) -> Parsed:
        chunk = Chunk(rows.number, b"", rows.first, rows.first + 1)
        if not rows.wrong:
            with suppress(pa.ArrowInvalid, pa.ArrowCapacityError):
                return Parsed(chunk, rows.batch.num_rows, self._cast(rows.batch))
        misfits = self._misfits(rows)
        wrong = {misfit.offset - rows.first for misfit in misfits}
        kept = rows.batch.take(pa.array([place for place in range(rows.batch.num_rows) if place not in wrong], pa.int64()))
        try:
            return Parsed(chunk, rows.batch.num_rows, self._cast(kept), misfits)
        except (pa.ArrowInvalid, pa.ArrowCapacityError) as error:  # each value fits, all of them do not
            told = f"The rows {rows.first + 1} to {rows.first + rows.batch.num_rows} cannot be held at once: {error}."
            raise ConversionFailed(told, hint="Write the file again with smaller row groups, or leave the column of long texts out.") from error

    def _cast(self, batch: Any) -> Any:
        arrays = [cast.cast(batch.column(name)) for name, cast in self._casts.items()]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema.arrow)

    def _misfits(self, rows: Rows) -> list[Misfit]:
        """One for each row, by the first of its columns that does not fit."""
        found = dict(rows.wrong)
        for name, cast in self._casts.items():
            for place, reason in cast.problems(rows.batch.column(name)):
                found.setdefault(place, (name, reason))
        first = rows.first
        return [Misfit(first + place + 1, first + place, *found[place], _raw(rows.batch, place)) for place in sorted(found)]


def _raw(batch: Any, place: int) -> str:
    """The row as JSON, each value as a person reads it."""
    values = {name: batch.column(name)[place] for name in batch.schema.names}
    return json.dumps({name: text_of(value) if value.is_valid else None for name, value in values.items()}, ensure_ascii=False)
