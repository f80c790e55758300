"""Whether every value that fits one type surely fits another: when a schema is widened, what was read under the old one need not be read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.formats import EPOCH

Named = tuple[str, ColumnType, bool]
"""Name, type, and whether it was asked for (more is read then)."""
_FLOAT_DIGITS = 15
"""Integers of so many digits are exact in a 64-bit float."""


def holds(wide: Sequence[Named], narrow: Sequence[Named], texts: bool | None) -> bool:
    """Tell it of whole schemas; see `Schema.holds`."""
    if texts is False:
        found = {name: (kind, asked) for name, kind, asked in wide}
    elif [name for name, _, _ in wide] == [name for name, _, _ in narrow]:
        found = {name: (kind, asked) for name, kind, asked in wide}
    else:
        return False
    return all(name in found and _column_holds(*found[name], kind, asked, texts) for name, kind, asked in narrow)


def _column_holds(wide: ColumnType, wide_asked: bool, narrow: ColumnType, narrow_asked: bool, texts: bool | None) -> bool:
    if wide == narrow:
        return wide_asked or not narrow_asked
    if wide.kind in ("string", "json"):
        return _text_holds(wide, narrow, texts)
    return (wide_asked or not narrow_asked) and type_holds(wide, narrow, texts)


def _text_holds(wide: ColumnType, narrow: ColumnType, texts: bool | None) -> bool:
    """Every cell of a text file is text, and every JSON value has a JSON text; a JSON number is no text."""
    if wide.kind == "json":
        return texts is False
    if texts:
        return True
    return narrow.kind in ("date", "timestamp") and narrow.form not in EPOCH


def type_holds(wide: ColumnType, narrow: ColumnType, texts: bool | None) -> bool:
    """Tell it of two types read with the same strictness."""
    if wide == narrow:
        return True
    if wide.kind in ("string", "json"):
        return _text_holds(wide, narrow, texts)
    if wide.kind == narrow.kind == "struct":
        mine = dict(wide.fields)
        return texts is False and all(name in mine and type_holds(mine[name], kind, texts) for name, kind in narrow.fields)
    if wide.kind == narrow.kind == "list" and wide.element and narrow.element:
        return texts is False and type_holds(wide.element, narrow.element, texts)
    if wide.kind == narrow.kind == "timestamp":
        return _timestamp_holds(wide, narrow)
    return _number_holds(wide, narrow)


def _timestamp_holds(wide: ColumnType, narrow: ColumnType) -> bool:
    """Microseconds hold milliseconds of all years that are written; nanoseconds do not (1677 to 2262)."""
    same = (wide.form, wide.arrow.tz) == (narrow.form, narrow.arrow.tz) and wide.form not in EPOCH
    return same and (wide.arrow.unit, narrow.arrow.unit) == ("us", "ms")


def _number_holds(wide: ColumnType, narrow: ColumnType) -> bool:
    if narrow.kind == "integer":
        least, largest = _bounds(narrow.arrow)
        if wide.kind == "integer":
            return _bounds(wide.arrow)[0] <= least and largest <= _bounds(wide.arrow)[1]
        if wide.kind == "float":
            return max(-least, largest) <= 2 ** (24 if pa.types.is_float32(wide.arrow) else 53)
        return wide.kind == "decimal" and bool(len(str(max(-least, largest))) <= wide.arrow.precision - wide.arrow.scale)
    if narrow.kind == "decimal":
        whole = narrow.arrow.precision - narrow.arrow.scale
        if wide.kind == "float":
            return bool(pa.types.is_float64(wide.arrow) and whole <= _FLOAT_DIGITS)
        room = wide.kind == "decimal" and wide.arrow.scale >= narrow.arrow.scale and wide.arrow.precision - wide.arrow.scale >= whole
        return bool(room)
    return False


def _bounds(kind: Any) -> tuple[int, int]:
    bits = kind.bit_width
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if pa.types.is_signed_integer(kind) else (0, 2**bits - 1)
