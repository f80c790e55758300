"""The columns of a table that Spark made in a metastore: Spark keeps them as JSON among the table's parameters, and Hive's own may be a stand-in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from portal.lake.hive.hive_type import HiveType

PROVIDER = "spark.sql.sources.provider"
_WHOLE = "spark.sql.sources.schema"
_PARTS = f"{_WHOLE}.numParts"
_PART = f"{_WHOLE}.part."
_SIMPLE = {
    "byte": "tinyint", "short": "smallint", "integer": "int", "long": "bigint", "timestamp_ntz": "timestamp",
    "interval year to month": "interval_year_month", "interval day to second": "interval_day_time",
}  # fmt: skip
"""Types that Spark and Hive name differently."""
_AS_TEXT = "__CHAR_VARCHAR_TYPE_STRING"
"""In a field's metadata: Spark keeps char and varchar as strings, and what they were here."""


def columns(parameters: Mapping[str, str]) -> list[tuple[str, HiveType, str]] | None:
    """Return name, type and comment of all columns, those of partitions last; None where Spark left none, or none that Hive has a type for.

    Names keep the case that Spark knows and Hive does not.
    """
    try:
        text = _text(parameters)
        return [_column(field) for field in json.loads(text)["fields"]] if text else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _text(parameters: Mapping[str, str]) -> str:
    if _WHOLE in parameters:
        return parameters[_WHOLE]
    return "".join(parameters[f"{_PART}{number}"] for number in range(int(parameters.get(_PARTS, "0"))))


def _column(field: Mapping[str, Any]) -> tuple[str, HiveType, str]:
    told = field.get("metadata", {})
    kind = HiveType.parse(told[_AS_TEXT]) if _AS_TEXT in told else _type(field["type"])
    return field["name"], kind, told.get("comment", "")


def _type(found: Any) -> HiveType:
    if isinstance(found, str):
        return HiveType.parse(_SIMPLE.get(found, found))
    if found["type"] == "array":
        return HiveType("array", (), (_type(found["elementType"]),))
    if found["type"] == "map":
        return HiveType("map", (), (_type(found["keyType"]), _type(found["valueType"])))
    if found["type"] == "struct":
        inside = [(field["name"], _column(field)[1]) for field in found["fields"]]
        return HiveType("struct", (), tuple(kind for _, kind in inside), tuple(name for name, _ in inside))
    raise ValueError(f"Hive has no type for {found['type']}")
