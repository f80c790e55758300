"""Values as the texts that CSV and JSON hold, so that our own readers get the same values back; what has no such text is refused.

Numbers have all digits that tell them apart, whole floats end in '.0'; dates and timestamps are ISO 8601, with their zone where the column has
one (a named zone's moments are given in UTC).
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.proving.values import plain

_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_FIRST, _LAST = datetime.date(1, 1, 1), datetime.date(9999, 12, 31)
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
_OFFSET_S = 86_400
"""A zone may move a moment by less than this."""
_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


MOST_BYTES = 2**31 - 2
"""Of the texts of an Arrow array with 32-bit offsets."""


def replaced(texts: Any, pairs: Iterable[tuple[str, str]]) -> Any:
    """Replace signs of one byte by texts, one after the other. Raises pyarrow.ArrowCapacityError where the result does not fit an array: Arrow's own
    replacement goes on with offsets that wrapped round."""
    pairs = list(pairs)
    times = max(len(new.encode()) for _, new in pairs)
    wide = _size(texts) * times > MOST_BYTES
    found = texts.cast(pa.large_string()) if wide else texts
    for old, new in pairs:
        found = pc.replace_substring(found, old, new)
    if wide and _size(found) > MOST_BYTES:
        raise pa.ArrowCapacityError("the texts of one array would be longer than 2 GiB")
    return found.cast(pa.string()) if wide else found


def _size(texts: Any) -> int:
    return pc.sum(pc.cast(pc.binary_length(texts), pa.int64())).as_py() or 0


def text_type(kind: Any, column: str) -> Any:
    """Return the type whose values stand in the texts. Raises ConversionFailed, naming the column, when there is none."""
    if pa.types.is_dictionary(kind):
        return text_type(kind.value_type, column)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(item.name, text_type(item.type, column)) for item in kind])
    if pa.types.is_map(kind):
        return pa.list_(pa.struct([("key", text_type(kind.key_type, column)), ("value", text_type(kind.item_type, column))]))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(text_type(kind.value_type, column))
    return _plain_type(kind, column)


def _plain_type(kind: Any, column: str) -> Any:
    types = pa.types
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_date32(kind) or types.is_decimal128(kind) or types.is_decimal256(kind):
        return kind
    if types.is_floating(kind):
        return pa.float64()
    if types.is_timestamp(kind):
        return kind if kind.tz is None or kind.tz[0] in "+-" else pa.timestamp(kind.unit, "UTC")
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_time(kind) or types.is_null(kind):
        return pa.string()
    hint = "Leave the column out, or write Parquet."
    raise ConversionFailed(f"Column {column!r} is {kind}: a text file has no values of that type.", hint=hint)


def flattened(values: Any, column: str) -> Any:
    """Return a column as what stands in the texts (see `text_type`): the same values, in another type where that is needed."""
    values = plain(values)
    kind = text_type(values.type, column)
    if pa.types.is_floating(values.type):
        wide = values.cast(kind)
        return pc.if_else(pc.is_nan(wide), float("nan"), wide)
    return values if values.type.equals(kind) else values.cast(kind)


def cells(values: Any, column: str) -> Any:
    """Return the texts of a column's flattened values without structure, null where there is no value."""
    kind = values.type
    if pa.types.is_floating(kind):
        return _floats(values)
    if pa.types.is_decimal(kind):
        return _decimals(values)
    if pa.types.is_date32(kind):
        _refuse_outside(values, _FIRST, _LAST, column)
    elif pa.types.is_timestamp(kind):
        _refuse_years(values, column)
    return values.cast(pa.string())


def _floats(values: Any) -> Any:
    texts = values.cast(pa.string())
    if not pc.all(pc.is_finite(values), min_count=0).as_py():
        for name, word in _NOT_FINITE.items():
            texts = pc.if_else(pc.equal(texts, name), word, texts)
    if pc.any(pc.equal(pc.floor(values), values)).as_py():
        texts = pc.replace_substring_regex(texts, r"^(-?[0-9]+)$", r"\1.0")
    return texts


def _decimals(values: Any) -> Any:
    texts = values.cast(pa.string())
    if not pc.any(pc.match_substring(texts, "E")).as_py():
        return texts
    return pa.array([text and f"{decimal.Decimal(text):f}" for text in texts.to_pylist()], pa.string())


def _refuse_outside(values: Any, first: Any, last: Any, column: str) -> None:
    inside = pc.and_(pc.greater_equal(values, pa.scalar(first, values.type)), pc.less_equal(values, pa.scalar(last, values.type)))
    if not pc.all(inside, min_count=0).as_py():
        hint = "Filter such rows out, or leave the column out."
        raise ConversionFailed(f"Column {column!r} holds a date outside the years 1 to 9999, which no text of ours says.", hint=hint)


def _refuse_years(values: Any, column: str) -> None:
    if values.type.unit == "ns":
        return  # 64 bits hold no other years
    per_s, margin = _PER_S[values.type.unit], _OFFSET_S if values.type.tz not in (None, "UTC") else 0
    numbers = values.cast(pa.int64())
    _refuse_outside(numbers, (_FIRST_S + margin) * per_s, (_LAST_S + 1 - margin) * per_s - 1, column)
