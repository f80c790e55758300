"""Two values of an expression brought to one type that holds both, so that no comparison rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.columns.nearest import float_of
from portal.tabular.columns.type_names import named
from portal.tabular.shaping.moments import UNITS

Family = Literal["boolean", "integer", "float", "decimal", "text", "date", "timestamp", "null", "struct", "list", "other"]

_FAMILIES: tuple[tuple[Family, Callable[[Any], bool]], ...] = (
    ("null", pa.types.is_null), ("boolean", pa.types.is_boolean), ("integer", pa.types.is_integer), ("float", pa.types.is_floating),
    ("decimal", pa.types.is_decimal), ("date", pa.types.is_date), ("timestamp", pa.types.is_timestamp), ("struct", pa.types.is_struct),
)  # fmt: skip
NUMBERS: frozenset[Family] = frozenset({"integer", "float", "decimal"})
_TIMES: frozenset[Family] = frozenset({"date", "timestamp"})
_WIDEST_INTEGER = pa.decimal128(20, 0)


class Unlike(Exception):
    """Two types that cannot be compared or computed with; the message says why."""


def family(kind: Any) -> Family:
    """Return what an Arrow type means to an expression."""
    if pa.types.is_dictionary(kind):
        return family(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return "list"
    return next((name for name, belongs in _FAMILIES if belongs(kind)), "other")


def common(left: Any, right: Any) -> Any:
    """Return the Arrow type in which values of both types are compared: casting to it either keeps a value or fails, but for decimals
    beside floats, which are compared as 64-bit floats. Raises Unlike."""
    one, other = family(left), family(right)
    if "null" in (one, other):
        return right if one == "null" else left
    if {one, other} <= NUMBERS:
        return _number(left, right)
    if {one, other} <= _TIMES:
        return _time(left, right)
    if one == other == "text":
        return pa.large_string()
    if left == right and one not in ("struct", "list"):
        return left
    raise Unlike(f"{named(left)} and {named(right)} cannot be compared")


def _number(left: Any, right: Any) -> Any:
    if "float" in (family(left), family(right)):
        return pa.float64()
    if left == right:
        return left
    if family(left) == family(right) == "integer" and pa.uint64() not in (left, right):
        return pa.int64()
    one, other = (kind if family(kind) == "decimal" else _WIDEST_INTEGER for kind in (left, right))
    scale = max(one.scale, other.scale)
    precision = max(one.precision - one.scale, other.precision - other.scale) + scale
    if precision > 76:
        raise Unlike(f"{left} and {right} have too many digits to be compared")
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _time(left: Any, right: Any) -> Any:
    stamps = [kind for kind in (left, right) if family(kind) == "timestamp"]
    if not stamps:
        return pa.date32()
    if len({bool(stamp.tz) for stamp in stamps}) > 1 or (len(stamps) == 1 and stamps[0].tz):
        raise Unlike("one has a time zone and the other has none")
    return pa.timestamp(max((stamp.unit for stamp in stamps), key=UNITS.index), "UTC" if stamps[0].tz else None)


def brought(value: Any, kind: Any, *, safe: bool = True) -> Any:
    """Cast an Arrow array or scalar; a decimal becomes the nearest float. Raises pyarrow.ArrowInvalid when another value would change and `safe`."""
    if value.type == kind:
        return value
    if pa.types.is_dictionary(value.type):
        value = value.dictionary_decode()
    if family(value.type) == "decimal" and family(kind) == "float":
        return float_of(value, kind)
    return pc.cast(value, kind, safe=safe)
