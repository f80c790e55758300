"""What can be asked of a conversion, and which files suit one. No heavy imports: engines read these for their parameters."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Format = Literal["auto", "csv", "json", "ndjson"]
Header = Literal["auto", "yes", "no"]
OnReject = Literal["fail", "keep"]
Compression = Literal["zstd", "snappy", "gzip", "none"]

TYPED_NULLS = ("NA", "N/A", "n/a", "NULL", "null", "None", r"\N")
"""Read as 'no value' in columns whose other values are all numbers, booleans or dates; text columns keep them as text."""

_SUITABLE = re.compile(r"(?i)\.(csv|tsv|json|ndjson|jsonl)(\.gz|\.zst)?$")


class ConvertOptions(BaseModel):
    """How a file is read, typed and written. Every field has a JSON value; `auto` and empty texts mean: find out from the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format = "auto"
    encoding: str = "auto"
    """auto: UTF-8, or what the byte order mark says; anything else must be asked for."""
    delimiter: str = Field("", max_length=1)
    quote: str = Field('"', max_length=1)
    """Empty: quotes mean nothing."""
    header: Header = "auto"
    skip_lines: int = Field(0, ge=0)
    """Lines before the header, or before the data when there is none."""
    null_values: tuple[str, ...] = ("",)
    """Unquoted texts that mean 'no value' in every column."""
    typed_null_values: tuple[str, ...] = TYPED_NULLS
    types: dict[str, str] = Field(default_factory=dict)
    """Types that are set, not inferred: column → one of `portal.tabular.column_types.NAMES`."""
    dates: bool = True
    """Infer dates and timestamps from ISO 8601 text."""
    on_reject: OnReject = "fail"
    max_rejects: int = Field(1000, ge=0)
    compression: Compression = "zstd"
    row_group_rows: int = Field(100_000, ge=1, le=10_000_000)


def suits(key: str) -> bool:
    """Tell whether an object's name says that it can be converted: CSV, TSV, JSON, NDJSON, also with .gz or .zst."""
    return _SUITABLE.search(key) is not None


def target_name(key: str) -> str:
    """Return the key with `.parquet` in place of the endings that say what the source was."""
    stem = _SUITABLE.sub("", key)
    return f"{key}.parquet" if not stem or stem.endswith("/") else f"{stem}.parquet"
