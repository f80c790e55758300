"""The types a column can have, by the names people give them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from portal.errors import ConversionFailed

Kind = Literal["string", "boolean", "integer", "float", "decimal", "date", "timestamp", "json"]

NAMES = ("string", "boolean", "int32", "int64", "float64", "decimal(P,S)", "date", "timestamp", "timestamp[ZONE]", "json")
"""What may stand in `types`; ZONE is UTC or an offset like +02:00."""

_ALIASES = {
    "text": "string", "str": "string", "utf8": "string", "bool": "boolean", "int": "int64", "integer": "int64", "bigint": "int64",
    "double": "float64", "float": "float64", "number": "float64", "datetime": "timestamp",
}  # fmt: skip
_PLAIN: dict[str, tuple[Kind, Any]] = {
    "string": ("string", pa.string()), "json": ("json", pa.string()), "boolean": ("boolean", pa.bool_()), "int32": ("integer", pa.int32()),
    "int64": ("integer", pa.int64()), "float64": ("float", pa.float64()), "date": ("date", pa.date32()),
    "timestamp": ("timestamp", pa.timestamp("us")),
}  # fmt: skip
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
_ZONED = re.compile(r"timestamp\[(UTC|[+-]\d\d:\d\d)\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's kind and how Arrow stores it."""

    kind: Kind
    arrow: Any


TEXT = ColumnType("string", pa.string())


def parse(name: str, column: str) -> ColumnType:
    """Return the type of a name. Raises ConversionFailed, naming the column, when nobody knows it."""
    plain = name.strip().lower()
    plain = _ALIASES.get(plain, plain)
    if plain in _PLAIN:
        return ColumnType(*_PLAIN[plain])
    if found := _DECIMAL.fullmatch(plain):
        precision, scale = int(found[1]), int(found[2])
        if 1 <= precision <= 38 and scale <= precision:
            return ColumnType("decimal", pa.decimal128(precision, scale))
    if found := _ZONED.fullmatch(plain):
        return ColumnType("timestamp", pa.timestamp("us", tz=found[1].upper()))
    raise ConversionFailed(f"Column {column!r} shall have the type {name!r}, which nobody knows.", hint=f"Types: {', '.join(NAMES)}.")
