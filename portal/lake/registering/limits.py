"""What Snowflake cannot read of an Iceberg table that it does not manage, told before it is asked. docs/snowflake.md has the whole list.

Snowflake refuses some of these itself; others (deletes by equality) let it answer with old rows without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_KNOWN = {
    "boolean", "int", "long", "float", "double", "date", "time", "timestamp", "timestamptz", "string", "uuid", "binary", "timestamp_ns",
    "timestamptz_ns", "variant", "geometry", "geography",
}  # fmt: skip
_WITH_SIZE = re.compile(r"(?:fixed\[\d+\]|decimal\(\s*\d+\s*,\s*\d+\s*\)|geometry\(.*\)|geography\(.*\))")
_TRANSFORM = re.compile(r"(?:identity|void|year|month|day|hour|bucket\[\d+\]|truncate\[\d+\])")
_MAP_KEYS = ("string", "int", "long")
_DELETED_EQUALLY = "total-equality-deletes"
EQUALITY = (
    "it has deletes by equality, which Snowflake does not apply: new tables fail (091968), registered ones silently stay as they were. "
    "Compact the table first (Spark: CALL system.rewrite_data_files)"
)


def refusals(metadata: Mapping[str, Any]) -> list[str]:
    """Return why Snowflake cannot read a table, by its metadata file; [] when nothing is known to be in the way."""
    return [*_columns(metadata), *_partitions(metadata), *_deletes(metadata)]


def schema(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the current schema."""
    wanted = metadata.get("current-schema-id")
    found: list[Mapping[str, Any]] = [item for item in metadata.get("schemas") or () if item.get("schema-id", 0) == wanted]
    return found[0] if found else metadata.get("schema") or {"fields": []}


def snapshot(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the current snapshot, None of a table that has no rows yet."""
    wanted = metadata.get("current-snapshot-id")
    return next((item for item in metadata.get("snapshots") or () if item["snapshot-id"] == wanted), None)


def _columns(metadata: Mapping[str, Any]) -> Iterator[str]:
    fields = schema(metadata).get("fields") or ()
    seen: dict[str, str] = {}
    for field in fields:
        if (other := seen.setdefault(field["name"].upper(), field["name"])) != field["name"]:
            yield f"its columns {other} and {field['name']} have one name at Snowflake, which writes them in upper case"
        yield from _type(field["type"], field["name"])


def _type(kind: Any, path: str) -> Iterator[str]:
    if isinstance(kind, str):
        if kind not in _KNOWN and not _WITH_SIZE.fullmatch(kind):
            yield f"its column {path} is of type {kind}, which Snowflake does not know"
    elif kind.get("type") == "struct":
        for field in kind.get("fields") or ():
            yield from _type(field["type"], f"{path}.{field['name']}")
    elif kind.get("type") == "list":
        yield from _type(kind["element"], f"{path}.element")
    elif kind.get("type") == "map":
        if kind["key"] not in _MAP_KEYS:
            yield f"its column {path} is a map with keys that are neither text nor whole numbers"
        yield from _type(kind["value"], f"{path}.value")
    else:
        yield f"its column {path} is of a type that Snowflake does not know: {kind.get('type')}"


def _partitions(metadata: Mapping[str, Any]) -> Iterator[str]:
    specs = metadata.get("partition-specs") or [{"fields": metadata.get("partition-spec") or ()}]
    for field in (field for spec in specs for field in spec.get("fields") or ()):
        if len(field.get("source-ids") or ()) > 1:
            yield f"its partition field {field['name']} is made of several columns"
        elif not _TRANSFORM.fullmatch(str(field["transform"])):
            yield f"its partition field {field['name']} is made by {field['transform']}, which Snowflake does not know"


def _deletes(metadata: Mapping[str, Any]) -> Iterator[str]:
    summary = (snapshot(metadata) or {}).get("summary") or {}
    if str(summary.get(_DELETED_EQUALLY, "0")) not in ("0", ""):
        yield EQUALITY
