"""One schema for many Parquet files whose columns have other types: one that every value fits as it is, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.columns.column_types import FLOAT, INTEGERS, ColumnType, decimal, timestamp
from portal.tabular.columns.holding import type_holds
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.columns.type_names import name_of

_UNITS = ("s", "ms", "us", "ns")
_MOST_DIGITS = 76


@dataclass(frozen=True, slots=True)
class Stored:
    """A file, the types it stores (a pyarrow.Schema), and the schema that it would have alone."""

    name: str
    arrow: Any
    schema: Schema


def united(files: Sequence[Stored]) -> Schema:
    """Return the schema that holds all files, which have the same columns. Raises ConversionFailed, naming two files and the column."""
    first = files[0]
    columns = [column if column.asked else _united(column, files) for column in first.schema.columns]
    return replace(first.schema, columns=tuple(columns))


def _united(column: Column, files: Sequence[Stored]) -> Column:
    found = [(file, _column(file, column.name)) for file in files if not pa.types.is_null(file.arrow.field(column.name).type)]
    if not found:
        return column
    leader, first = found[0]
    kind = first.type
    for file, other in found[1:]:
        wide = wider(kind, other.type)
        if wide is None:
            told = f"{column.name!r} is {name_of(kind)} in {leader.name} and {name_of(other.type)} in {file.name}"
            raise ConversionFailed(f"{told}: no type holds both as they are.", hint="Set its type in types, or convert these files apart.")
        kind = wide
    kinds = dict.fromkeys(name_of(other.type) for _, other in found)
    return Column(column.name, kind, f"{' and '.join(kinds)} in the sources" if len(kinds) > 1 else first.note)


def _column(file: Stored, name: str) -> Column:
    return next(column for column in file.schema.columns if column.name == name)


def wider(one: ColumnType, other: ColumnType) -> ColumnType | None:
    """Return the type in which values of both are what they were: a value that it has not is a misfit then. None when there is none."""
    if one == other:
        return one
    if one.kind == other.kind == "timestamp" and one.arrow.tz == other.arrow.tz:
        return timestamp(max(one.arrow.unit, other.arrow.unit, key=_UNITS.index), one.arrow.tz)
    kinds = {one.kind, other.kind}
    if kinds <= {"integer", "float"}:
        return FLOAT if "float" in kinds else _integer(one, other)
    return _decimal(one, other) if kinds <= {"integer", "decimal"} else None


def _integer(one: ColumnType, other: ColumnType) -> ColumnType | None:
    return next((kind for kind in (one, other, *INTEGERS) if type_holds(kind, one, None) and type_holds(kind, other, None)), None)


def _decimal(one: ColumnType, other: ColumnType) -> ColumnType | None:
    digits = [_digits(kind) for kind in (one, other)]
    scale = max(scale for _, scale in digits)
    precision = max(whole for whole, _ in digits) + scale
    return decimal(precision, scale) if precision <= _MOST_DIGITS else None


def _digits(kind: ColumnType) -> tuple[int, int]:
    """Return how many digits before and after the point values may have."""
    if kind.kind == "decimal":
        return kind.arrow.precision - kind.arrow.scale, kind.arrow.scale
    return len(str(2**kind.arrow.bit_width if pa.types.is_unsigned_integer(kind.arrow) else 2 ** (kind.arrow.bit_width - 1))), 0
