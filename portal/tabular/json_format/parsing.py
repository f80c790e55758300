"""Reads chunks of JSON records under a frozen schema: by the kernel what it reads, with care the rest."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.columns.casting import Caster
from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.columns.type_names import name_of
from portal.tabular.json_format.careful import CarefulReader
from portal.tabular.json_format.gathering import Casts
from portal.tabular.json_format.scanning import records_of
from portal.tabular.json_format.shape import Kind
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Parsed


class _AsItIs:
    """Casts JSON text: it was found valid already."""

    def cast(self, values: Any) -> Any:
        return values

    def problems(self, values: Any) -> Any:
        return ()


class JsonParser:
    """Parses chunks of a text of one shape; may be called from several threads at once."""

    def __init__(self, schema: Schema, kind: Kind, options: ConvertOptions) -> None:
        """Raises ConversionFailed for types that JSON values are never read as."""
        plain = options.model_copy(update={"decimal_point": ".", "thousands": ""})
        casters = [[_caster(column, leaf, plain) for leaf in _leaves(column.type)] for column in schema.columns]
        self._careful = CarefulReader(schema, casters)
        self._schema, self._kind = schema.arrow, kind

    def __call__(self, chunk: Chunk) -> Parsed:
        spans = list(records_of(chunk.data, self._kind))
        rows = self._careful.read(chunk, spans)
        batch = pa.RecordBatch.from_arrays(rows.arrays, schema=self._schema)
        return Parsed(chunk, len(spans), batch, rows.misfits, rows.remarks)


def _leaves(kind: ColumnType) -> list[ColumnType]:
    return [inner for inner in kind.within() if inner.kind not in ("struct", "list")]


def _caster(column: Column, leaf: ColumnType, options: ConvertOptions) -> Casts:
    if leaf.kind == "other":
        raise ConversionFailed(
            f"Column {column.name!r} shall have the type {name_of(leaf)}, which no JSON value is read as.", hint="Take string or json."
        )
    return _AsItIs() if leaf.kind == "json" else Caster.make(column.name, leaf, options, asked=column.asked, nulls=())
