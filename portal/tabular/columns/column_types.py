"""The types a column can have: how Arrow stores its values, and in which form the source's texts write them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

Kind = Literal["string", "json", "boolean", "integer", "float", "decimal", "date", "timestamp", "struct", "list", "other"]
"""`other`: what only Parquet sources have (binary, times of day, durations, maps): passed on as it is, never read from text."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's kind, how Arrow stores it, and what the texts look like where they are not in the canonical form."""

    kind: Kind
    arrow: Any
    form: str = ""
    """Of dates and timestamps: a name of `portal.tabular.columns.formats`; '' is ISO 8601."""
    fields: tuple[tuple[str, ColumnType], ...] = ()
    """Of a struct: names and types in order."""
    element: ColumnType | None = None
    """Of a list."""

    @property
    def is_text(self) -> bool:
        """Texts are kept as they are: what means 'no value' in typed columns is text here."""
        return self.kind in ("string", "json")

    def within(self) -> Iterator[ColumnType]:
        """Yield the type and all types inside it."""
        yield self
        for inner in (*(kind for _, kind in self.fields), *([self.element] if self.element else [])):
            yield from inner.within()


TEXT = ColumnType("string", pa.string())
JSON_TEXT = ColumnType("json", pa.string())
BOOLEAN = ColumnType("boolean", pa.bool_())
FLOAT = ColumnType("float", pa.float64())
DATE = ColumnType("date", pa.date32())
INTEGERS = tuple(ColumnType("integer", kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64()))
"""From the smallest to the largest."""
INTEGER = INTEGERS[-1]


def decimal(precision: int, scale: int) -> ColumnType:
    """Exact decimals of `precision` digits, `scale` of them after the point."""
    return ColumnType("decimal", pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale))


def date(form: str = "") -> ColumnType:
    return ColumnType("date", pa.date32(), form)


def timestamp(unit: str = "us", zone: str | None = None, form: str = "") -> ColumnType:
    """Moments; `zone` is None, UTC, an offset like +02:00, or a name of the time zone database."""
    return ColumnType("timestamp", pa.timestamp(unit, tz=zone), form)


def struct(fields: tuple[tuple[str, ColumnType], ...]) -> ColumnType:
    return ColumnType("struct", pa.struct([pa.field(name, kind.arrow) for name, kind in fields]), fields=fields)


def list_of(element: ColumnType) -> ColumnType:
    return ColumnType("list", pa.list_(element.arrow), element=element)


def of_arrow(kind: Any) -> ColumnType:
    """Return the type for an Arrow type, e.g. of an existing Parquet file. Variants that store the same values become one: large and view
    types and dictionaries are plain, seconds are milliseconds (Parquet has no coarser unit), days in milliseconds are days."""
    if pa.types.is_dictionary(kind):
        return of_arrow(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return TEXT
    if pa.types.is_timestamp(kind):
        return timestamp("ms" if kind.unit == "s" else kind.unit, kind.tz)
    if pa.types.is_date(kind):
        return DATE
    return _of_number(kind) or _of_nested(kind) or ColumnType("other", _plain_other(kind))


def _of_number(kind: Any) -> ColumnType | None:
    if pa.types.is_boolean(kind):
        return BOOLEAN
    if pa.types.is_integer(kind):
        return ColumnType("integer", kind)
    if pa.types.is_floating(kind):
        return ColumnType("float", pa.float32() if pa.types.is_float16(kind) else kind)
    if pa.types.is_decimal(kind):
        return decimal(kind.precision, kind.scale)
    return None


def _of_nested(kind: Any) -> ColumnType | None:
    if pa.types.is_struct(kind) and kind.num_fields:
        return struct(tuple((kind.field(place).name, of_arrow(kind.field(place).type)) for place in range(kind.num_fields)))
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view, pa.types.is_large_list_view)
    return list_of(of_arrow(kind.value_type)) if any(test(kind) for test in lists) else None


def _plain_other(kind: Any) -> Any:
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_time(kind):
        return pa.time32("ms") if kind.unit in ("s", "ms") else kind
    if pa.types.is_map(kind):
        return pa.map_(of_arrow(kind.key_type).arrow, of_arrow(kind.item_type).arrow)
    return kind
