"""File formats, told by the ends of names."""

from __future__ import annotations

import re
from typing import Literal

Format = Literal["csv", "json", "parquet", "any"]

_ENDINGS = {
    "csv": re.compile(r"(?i)\.(csv|tsv)(\.gz|\.zst)?$"),
    "json": re.compile(r"(?i)\.(json|ndjson|jsonl)(\.gz|\.zst)?$"),
    "parquet": re.compile(r"(?i)\.parquet$"),
}


def format_of(key: str) -> str:
    """Return csv, json, parquet or other."""
    return next((name for name, ending in _ENDINGS.items() if ending.search(key)), "other")
