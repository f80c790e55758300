"""File formats, told by the ends of names."""

from __future__ import annotations

from typing import Literal

Format = Literal["csv", "json", "parquet", "any"]

_PACKED = ("", ".gz", ".zst")
ENDINGS: dict[str, tuple[str, ...]] = {
    "csv": tuple(f".{name}{packed}" for name in ("csv", "tsv") for packed in _PACKED),
    "json": tuple(f".{name}{packed}" for name in ("json", "ndjson", "jsonl") for packed in _PACKED),
    "parquet": (".parquet",),
}
"""What the names of a format end in, whatever their case."""


def format_of(key: str) -> str:
    """Return csv, json, parquet or other."""
    lower = key.lower()
    return next((name for name, endings in ENDINGS.items() if lower.endswith(endings)), "other")
