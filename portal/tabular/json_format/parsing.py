"""Reads chunks of JSON records under a frozen schema: by the kernel what it reads, with care the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from portal.errors import ConversionFailed
from portal.native.json_kernel import BOOLEANS, NESTED, NUMBERS, STRINGS, JsonKernel, JsonParsed, Node
from portal.native.library import absence
from portal.tabular.columns.canonical import kernel_type
from portal.tabular.columns.casting import Caster
from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.columns.type_names import name_of
from portal.tabular.json_format.careful import CarefulReader, Rows, long_digits
from portal.tabular.json_format.gathering import Casts
from portal.tabular.json_format.places import json_options
from portal.tabular.json_format.scanning import records_of
from portal.tabular.json_format.shape import Kind
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Parsed, most_misfits

_TAKES = {"string": STRINGS, "boolean": BOOLEANS, "date": STRINGS, "timestamp": STRINGS}
_ANY = STRINGS | NUMBERS | BOOLEANS


class _AsItIs:
    """Casts JSON text: it was found valid already."""

    def cast(self, values: Any) -> Any:
        return values

    def problems(self, values: Any) -> Any:
        return ()


class JsonParser:
    """Parses chunks of a text of one shape; may be called from several threads at once."""

    def __init__(self, schema: Schema, kind: Kind, options: ConvertOptions, *, careful: bool | None = None) -> None:
        """Raises ConversionFailed for types that JSON values are never read as. `careful`: without the kernel; default: if there is none."""
        plain = json_options(options)
        self._casters = [[_caster(column, leaf, plain) for leaf in _leaves(column.type)] for column in schema.columns]
        self._most = most_misfits(options)
        self._careful = CarefulReader(schema, self._casters, self._most)
        self._schema, self._arrow, self._kind = schema, schema.arrow, kind
        self._kernel: JsonKernel | None = None
        if not (bool(absence()) if careful is None else careful):
            self._kernel = JsonKernel([(column.name, _node(column.type, column.asked, plain)) for column in schema.columns])
        self._recast = [not all(_is_read(leaf, plain) for leaf in _leaves(column.type)) for column in schema.columns]

    def __call__(self, chunk: Chunk) -> Parsed:
        """Return the rows of a chunk. Raises ConversionFailed for one that is not cut between records."""
        if self._kernel:
            parsed = self._kernel.parse(chunk.data, self._kind)
            try:
                return self._merged(chunk, self._cast(parsed), parsed)
            except pa.ArrowInvalid:
                pass  # a text that a caster refuses: which record it is of, the careful reader tells
        spans = np.fromiter(chain.from_iterable(records_of(chunk.data, self._kind)), np.int64).reshape(-1, 2)
        rows = self._careful.read(chunk, spans)
        return Parsed(chunk, len(spans), self._batch(rows.arrays), rows.misfits, rows.remarks, len(spans) - len(rows.fits))

    def _batch(self, arrays: Sequence[Any]) -> Any:
        return pa.RecordBatch.from_arrays(list(arrays), schema=self._arrow)

    def _cast(self, parsed: JsonParsed) -> Any:
        """Return what the kernel read, with the texts that it left to casters cast."""
        arrays = []
        for place, (column, casters) in enumerate(zip(self._schema.columns, self._casters, strict=True)):
            array = parsed.batch.field(place)
            arrays.append(_recast(array, column.type, iter(casters)) if self._recast[place] else array)
        return self._batch(arrays)

    def _merged(self, chunk: Chunk, batch: Any, parsed: JsonParsed) -> Parsed:
        """Put the records that the kernel handed back among its rows."""
        remarks = self._remarks(chunk, parsed)
        if not len(parsed.handed):
            return Parsed(chunk, batch.num_rows, batch, [], remarks)
        rows, before = self._careful.read(chunk, parsed.handed[:, :2]), parsed.handed[:, 2]
        records = batch.num_rows + len(parsed.handed)
        if len(rows.misfits) == self._most:
            batch = batch.slice(0, int(before[len(rows.fits) - 1]))
        batch = self._inserted(batch, rows, before[: len(rows.fits)])
        return Parsed(chunk, records, batch, rows.misfits, {**rows.remarks, **remarks}, records - batch.num_rows - len(rows.misfits))

    def _inserted(self, batch: Any, rows: Rows, before: Any) -> Any:
        others = self._batch(rows.arrays)
        if not others.num_rows:
            return batch
        order = np.insert(np.arange(batch.num_rows), before[np.array(rows.fits)], batch.num_rows + np.arange(others.num_rows))
        return pa.concat_batches([batch, others]).take(pa.array(order))

    def _remarks(self, chunk: Chunk, parsed: JsonParsed) -> dict[str, str]:
        remarks: dict[str, str] = {}
        if parsed.long_digits:
            leaves = [(column.name, leaf) for column in self._schema.columns for leaf in _leaves(column.type)]
            for at, (start, end) in sorted(parsed.long_digits.items()):
                name, leaf = leaves[at]
                if text := long_digits(chunk.data[start:end].decode(), leaf):
                    remarks.setdefault(name, text)
        return remarks


def _leaves(kind: ColumnType) -> list[ColumnType]:
    return [inner for inner in kind.within() if inner.kind not in ("struct", "list")]


def _caster(column: Column, leaf: ColumnType, options: ConvertOptions) -> Casts:
    if leaf.kind == "other":
        raise ConversionFailed(
            f"Column {column.name!r} shall have the type {name_of(leaf)}, which no JSON value is read as.", hint="Take string or json."
        )
    return _AsItIs() if leaf.kind == "json" else Caster.make(column.name, leaf, options, asked=column.asked, nulls=())


def _is_read(leaf: ColumnType, options: ConvertOptions) -> bool:
    """Tell whether the kernel reads a type; if not it gives the texts."""
    return leaf.is_text or kernel_type(leaf, options) is not None


def _node(kind: ColumnType, asked: bool, options: ConvertOptions) -> Node:
    """Return the place of a type as the kernel reads it."""
    if kind.kind == "struct":
        children = tuple((name, _node(inner, asked, options)) for name, inner in kind.fields)
        return Node("struct", pa.struct([pa.field(name, node.arrow) for name, node in children]), children=children)
    if kind.element:
        element = _node(kind.element, asked, options)
        return Node("list", pa.list_(element.arrow), children=(("", element),))
    if kind.kind == "json":
        return Node("raw", pa.string())
    takes = _TAKES.get(kind.kind, NUMBERS)
    if not _is_read(kind, options) or kind.kind == "string":
        return Node("leaf", pa.string(), (_ANY | (NESTED if kind.kind == "string" else 0)) if asked else takes)
    return Node("leaf", kernel_type(kind, options), takes | STRINGS if asked else takes)


def _recast(array: Any, kind: ColumnType, casters: Iterator[Casts]) -> Any:
    """Return an array with the texts of its leaves cast, where they are not yet."""
    if kind.kind == "struct":
        arrays = [_recast(array.field(place), inner, casters) for place, (_, inner) in enumerate(kind.fields)]
        return pa.StructArray.from_arrays(arrays, fields=list(kind.arrow), mask=array.is_null())
    if kind.element:
        values = _recast(array.values, kind.element, casters)
        return pa.ListArray.from_arrays(array.offsets, values, type=kind.arrow, mask=array.is_null())
    caster = next(casters)
    return array if array.type == kind.arrow else caster.cast(array)
