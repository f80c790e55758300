"""Names and values of Hive's partitions: `day=2024-01-01/region=eu%2Fwest`, escaped as Hive's own FileUtils does it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from portal.lake.hive.hive_type import HiveType

NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""The value of a partition whose rows have NULL, or an empty string, in that column."""

_ESCAPED = frozenset(chr(code) for code in range(1, 0x20)) | frozenset("\"#%'*/:=?\\\x7f{[]^")
_HEX = re.compile(r"%([0-9A-Fa-f]{2})")
_INTEGER_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_TEXTS = frozenset(("string", "char", "varchar"))
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?)?")


def escaped(text: str) -> str:
    """Return a column or a value as it stands in the name of a folder."""
    return "".join(f"%{ord(letter):02X}" if letter in _ESCAPED else letter for letter in text)


def unescaped(text: str) -> str:
    """Undo `escaped`. A percent sign that no two hexadecimal digits follow stands for itself."""
    return _HEX.sub(lambda found: chr(int(found[1], 16)), text)


def partition_name(columns: Sequence[str], values: Sequence[str | None]) -> str:
    """Return the name of a partition, which is also its folder's usual path below the table. Raises ValueError when the two do not pair."""
    return "/".join(
        f"{escaped(column.lower())}={escaped(value) if value else NOTHING}" for column, value in zip(columns, values, strict=True)
    )  # fmt: skip


def parsed(name: str) -> list[tuple[str, str | None]]:
    """Split a partition's name or relative folder into columns and values; None where the rows have NULL. Raises ValueError."""
    found = []
    for level in name.strip("/").split("/"):
        column, equals, value = level.partition("=")
        if not equals or not column:
            raise ValueError(f"{name!r} is not the name of a partition: {level!r} is no column=value.")
        found.append((unescaped(column), None if value == NOTHING else unescaped(value)))
    return found


def value_of(text: str | None, kind: HiveType) -> Any:
    """Return what a partition's text means in a column of a type: int, Decimal, date, datetime (without a zone), bool, float, bytes or str.

    None stays None, and NOTHING is None. Raises ValueError where Hive would read NULL, for the text is none of that type: such a partition
    cannot be told from the one of NULL.
    """
    if text is None or text == NOTHING:
        return None
    if kind.name in _TEXTS:
        return text
    try:
        return _read(text.strip(), kind)
    except (ValueError, InvalidOperation) as error:
        raise ValueError(f"{text!r} is no {kind}.") from error


def _read(text: str, kind: HiveType) -> Any:
    if kind.name in _INTEGER_BITS:
        return _integer(text, _INTEGER_BITS[kind.name])
    if kind.name == "decimal":
        return _decimal(text, *kind.numbers)
    if kind.name == "date":
        return date.fromisoformat(text)
    if kind.name == "timestamp":
        return _timestamp(text)
    if kind.name == "boolean":
        return _boolean(text)
    if kind.name in ("float", "double"):
        return float(text)
    if kind.name == "binary":
        return text.encode()
    raise ValueError(f"{kind} is no type of a partition column")


def _integer(text: str, bits: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(text)
    value = int(text)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(text)
    return value


def _decimal(text: str, precision: int, scale: int) -> Decimal:
    value = Decimal(text)
    if not value.is_finite() or value != round(value, scale) or abs(value) >= Decimal(10) ** (precision - scale):
        raise ValueError(text)
    return round(value, scale)


def _timestamp(text: str) -> datetime:
    found = _MOMENT.fullmatch(text)
    if not found:
        raise ValueError(text)
    day, clock, fraction = found.groups()
    if fraction and fraction[6:].strip("0"):
        raise ValueError(f"{text} is finer than a microsecond")
    return datetime.fromisoformat(f"{day} {clock or '00:00:00'}.{(fraction or '')[:6]:0<6}")


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"
