"""Arrow values as other types, strictly: a value that would be rounded, cut, wrapped or moved is a problem, never another value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.columns.casting import Caster
from portal.tabular.columns.column_types import ColumnType, Kind, of_arrow
from portal.tabular.columns.nearest import decimal_of, float_of
from portal.tabular.columns.schema import Column
from portal.tabular.columns.type_names import name_of
from portal.tabular.options import ConvertOptions
from portal.tabular.showing import shown

Cast = Callable[[Any], Any]
"""An Arrow array in, one of the type out. Raises pyarrow.ArrowInvalid when a value does not fit."""

_SIMPLE: frozenset[Kind] = frozenset({"boolean", "integer", "float", "decimal", "date", "timestamp"})
_NUMBERS: frozenset[Kind] = frozenset({"integer", "float", "decimal"})
_WIDEST = pa.decimal256(76, 0)


@dataclass(frozen=True, slots=True)
class StrictCast:
    """Casts one column of a Parquet file. Safe to use from several threads."""

    type: ColumnType
    cast: Cast

    @classmethod
    def make(cls, column: Column, source: Any, options: ConvertOptions) -> StrictCast:
        """Return the cast from an Arrow type to that of a column. Raises ConversionFailed when no value could ever be cast without changing its
        meaning."""
        return cls(column.type, _cast(column, source, options))

    def problems(self, values: Any) -> list[tuple[int, str]]:
        """Return (place, reason) for each value of an array that does not fit, by halving what holds one."""
        found: list[tuple[int, str]] = []
        waiting = [(0, values)]
        while waiting:
            start, part = waiting.pop()
            try:
                self.cast(part)
            except (pa.ArrowInvalid, pa.ArrowCapacityError):
                half = len(part) // 2
                if half:
                    waiting += [(start + half, part.slice(half)), (start, part.slice(0, half))]
                else:
                    found.append((start, f"{shown(text_of(part[0]))} does not fit {name_of(self.type)}"))
        return found


def text_of(value: Any) -> str:
    """Return an Arrow scalar as a person reads it."""
    try:
        return str(value.as_py())
    except (ValueError, OverflowError):  # moments that Python's own types do not reach
        return str(pc.cast(value, pa.string()).as_py())


def _cast(column: Column, source: Any, options: ConvertOptions) -> Cast:
    kind, target = of_arrow(source), column.type
    if pa.types.is_null(source):
        return lambda values: pa.nulls(len(values), target.arrow)
    if kind == target or (kind.arrow == target.arrow and not target.form):
        return lambda values: _plain(values, target.arrow)
    if (kind.kind == "string" or (kind.kind == "integer" and target.form)) and target.kind in {*_SIMPLE, "json"}:
        caster = Caster.make(column.name, target, options, asked=column.asked, nulls=_null_words(options))
        return lambda values: caster.cast(_plain(values, pa.string()))
    if not target.form and (steps := _steps(kind, target)):
        return lambda values: steps(_plain(values, kind.arrow))
    raise ConversionFailed(
        f"Column {column.name!r} is {name_of(kind)} and shall be {name_of(target)}: that would change what its values mean.",
        hint="Take the type that it has, a wider one of its kind, or string.",
    )  # fmt: skip


def _null_words(options: ConvertOptions) -> tuple[str, ...]:
    """A Parquet file says itself where there is no value: no text means that, unless it was said."""
    return () if options.null_values == ConvertOptions.model_fields["null_values"].default else options.null_values


def _plain(values: Any, kind: Any) -> Any:
    """Cast between types that hold the same values, and integers to their texts."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if values.type == kind else pc.cast(values, kind)


def _steps(source: ColumnType, target: ColumnType) -> Cast | None:
    """Return the cast between two kinds of value, None where there is none."""
    if target.kind == "string" and source.kind in _SIMPLE:
        return _there_and_back(target.arrow)
    if source.kind in _NUMBERS and target.kind in _NUMBERS:
        return _number(source, target.arrow)
    zones = bool(getattr(source.arrow, "tz", None)), bool(getattr(target.arrow, "tz", None))
    if {source.kind, target.kind} <= {"date", "timestamp"} and zones in ((False, False), (True, True)):
        return _there_and_back(target.arrow)
    return None


def _number(source: ColumnType, target: Any) -> Cast:
    if source.kind == "integer" and pa.types.is_floating(target):
        return _float_of_integer(target)
    if source.kind == "integer" and pa.types.is_decimal(target):
        return lambda values: pc.cast(pc.cast(values, _WIDEST), target)
    if source.kind == "decimal" and pa.types.is_integer(target):
        return lambda values: pc.cast(values, target)
    if source.kind == "float" and pa.types.is_integer(target):
        return lambda values: pc.cast(_no_negative_zero(values), target)
    return _there_and_back(target)


def _moved(values: Any, target: Any) -> Any:
    """Cast without a check; between floats and decimals, to the nearest."""
    floats = pa.types.is_floating(values.type), pa.types.is_floating(target)
    if pa.types.is_decimal(values.type) and floats[1]:
        return float_of(values, target)
    if floats[0] and pa.types.is_decimal(target):
        return decimal_of(values, target)
    return pc.cast(values, target, safe=not all(floats))


def _there_and_back(target: Any) -> Cast:
    """A value that comes back as it was has not been changed."""

    def cast(values: Any) -> Any:
        there = _moved(values, target)
        back = _moved(there, values.type)
        equal = pc.equal(back, values)
        if pa.types.is_floating(values.type):
            equal = pc.or_(equal, pc.and_(pc.is_nan(back), pc.is_nan(values)))
            _require(pc.equal(_signs(back), _signs(values)))
        _require(equal)
        return there

    return cast


def _float_of_integer(target: Any) -> Cast:
    def cast(values: Any) -> Any:
        there = pc.cast(values, target, safe=False)
        back = pc.cast(pc.cast(there, pa.float64()), _decimal_of_integers(), safe=True)
        _require(pc.equal(back, pc.cast(values, _decimal_of_integers())))
        return there

    return cast


def _decimal_of_integers() -> Any:
    return pa.decimal128(38, 0)


def _no_negative_zero(values: Any) -> Any:
    _require(pc.invert(pc.and_(pc.equal(values, 0.0), _signs(values))))
    return values


def _signs(values: Any) -> Any:
    """Return true for each value with a minus sign, that of zero too."""
    floats = pc.fill_null(values, 0.0).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return pa.array(np.signbit(np.where(np.isnan(floats), 0.0, floats)))


def _require(fits: Any) -> None:
    if not pc.all(fits, min_count=0).as_py():
        raise pa.ArrowInvalid("a value would change")
