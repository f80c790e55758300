"""What becomes of Hive's types in Spark and in Iceberg: the same, another with a note of what is different, or refused with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from portal.lake.hive.hive_type import HiveType

Zone = Literal["timestamptz", "timestamp"]
"""What Hive's timestamp becomes: Spark reads it as moments of its session's time zone (timestamptz), or it stays a wall clock (timestamp)."""

_SAME = {
    "int": ("int", "int"), "bigint": ("bigint", "long"), "boolean": ("boolean", "boolean"), "float": ("float", "float"),
    "double": ("double", "double"), "string": ("string", "string"), "binary": ("binary", "binary"), "date": ("date", "date"),
}  # fmt: skip
"""As Spark writes it and as Iceberg does."""
_REFUSED = {
    "void": "no file of Iceberg's tables can hold a column without a type",
    "interval_year_month": "Iceberg has no intervals",
    "interval_day_time": "Iceberg has no intervals",
    "uniontype": "Iceberg has no unions, and Spark cannot read Hive's",
    "timestamp with local time zone": "Spark 3.5 cannot read this type of Hive 3",
}


@dataclass(frozen=True, slots=True)
class Mapped:
    """What becomes of a type. `refused` is empty when it can be brought over."""

    spark: str
    """As Spark's simpleString tells it: `array<struct<a:int,b:string>>`."""
    iceberg: str
    """As Iceberg names it, without the ids of fields: `list<struct<a: int, b: string>>`."""
    notes: tuple[str, ...] = ()
    """What is different afterwards, each once."""
    refused: tuple[str, ...] = ()
    """Why it cannot be brought over, each once."""


def mapped(kind: HiveType, timestamps: Zone = "timestamptz") -> Mapped:
    """Return what becomes of a type."""
    if kind.name in _REFUSED:
        return Mapped("", "", (), (f"{kind.name}: {_REFUSED[kind.name]}",))
    if kind.children:
        return _nested(kind, [mapped(child, timestamps) for child in kind.children])
    if kind.name in _SAME:
        spark, iceberg = _SAME[kind.name]
        return Mapped(spark, iceberg)
    if kind.name == "decimal":
        precision, scale = kind.numbers
        return Mapped(f"decimal({precision},{scale})", f"decimal({precision}, {scale})")
    if kind.name in ("tinyint", "smallint"):
        return Mapped("int", "int", (f"{kind.name} becomes int: Iceberg has none smaller",))
    if kind.name in ("char", "varchar"):
        pads = ", and Spark's reader pads char with blanks" if kind.name == "char" else ""
        return Mapped("string", "string", (f"{kind} becomes string: its length is no longer enforced{pads}",))
    return _timestamp(timestamps)


def _timestamp(timestamps: Zone) -> Mapped:
    if timestamps == "timestamp":
        return Mapped("timestamp_ntz", "timestamp", ("timestamp stays a wall clock without a zone",))
    return Mapped("timestamp", "timestamptz", ("timestamp becomes timestamptz: what Hive wrote is taken as a clock of Spark's session time zone",))


def _nested(kind: HiveType, inside: list[Mapped]) -> Mapped:
    notes, refused = _once(note for item in inside for note in item.notes), _once(why for item in inside for why in item.refused)
    if kind.name == "array":
        spark, iceberg = f"array<{inside[0].spark}>", f"list<{inside[0].iceberg}>"
    elif kind.name == "map":
        spark, iceberg = f"map<{inside[0].spark},{inside[1].spark}>", f"map<{inside[0].iceberg}, {inside[1].iceberg}>"
    else:
        pairs = list(zip(kind.fields, inside, strict=True))
        spark = f"struct<{','.join(f'{name}:{item.spark}' for name, item in pairs)}>"
        iceberg = f"struct<{', '.join(f'{name}: {item.iceberg}' for name, item in pairs)}>"
    return Mapped("", "", (), refused) if refused else Mapped(spark, iceberg, notes)


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
