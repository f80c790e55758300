"""What can be asked of a conversion, and which files suit one. No heavy imports: engines read these for their parameters."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Format = Literal["auto", "csv", "json", "ndjson", "parquet"]
Output = Literal["parquet", "csv", "ndjson"]
Header = Literal["auto", "yes", "no"]
OnReject = Literal["fail", "keep", "widen"]
Ragged = Literal["reject", "pad"]
Decimals = Literal["auto", "decimal", "float"]
DateOrder = Literal["", "dmy", "mdy"]
Compression = Literal["zstd", "snappy", "gzip", "none"]

TYPED_NULLS = ("NA", "N/A", "n/a", "NULL", "null", "None", r"\N")
"""Read as 'no value' in columns whose other values are all numbers, booleans or dates; text columns keep them as text."""

DATA_SET_MARK = "_SUCCESS"
"""The object that is written last into the folder of a data set, and that others look for."""

_SUITABLE = re.compile(r"(?i)\.(csv|tsv|json|ndjson|jsonl)(\.gz|\.zst)?$")


class ConvertOptions(BaseModel):
    """How a file is read, typed and written. Every field has a JSON value; `auto` and empty texts mean: find out from the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format = "auto"
    encoding: str = "auto"
    """auto: by byte order mark, else UTF-8, else UTF-16 or Windows-1252 where the evidence is clear (it is told); others must be asked for."""
    delimiter: str = Field("", max_length=1)
    quote: str = Field('"', max_length=1)
    """Empty: quotes mean nothing."""
    escape: str = Field("", max_length=1)
    """Character that makes the next one stand for itself, in quoted and unquoted values; empty: quotes are doubled."""
    comment: str = Field("", max_length=1)
    """Records that begin with it are passed over, and counted; empty: there are none."""
    header: Header = "auto"
    skip_lines: int = Field(0, ge=0)
    """Lines before the header, or before the data when there is none."""
    ragged: Ragged = "reject"
    """pad: records with too few values get 'no value' for the others; those with too many never fit."""
    trim: bool = False
    """Leave out spaces and tabs around unquoted values."""
    null_values: tuple[str, ...] = ("",)
    """Unquoted texts that mean 'no value' in every column."""
    typed_null_values: tuple[str, ...] = TYPED_NULLS
    decimal_point: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'", "_"] = ""
    max_record_bytes: int = Field(32 << 20, ge=1024)
    """A longer record is refused: a quote that is never closed must not fill the memory."""

    full_scan: bool = False
    """Decide on the columns by every value, not by samples from head, middle and tail."""
    sample_bytes: int = Field(1 << 20, ge=1 << 10)
    """Of each of the three samples."""
    types: dict[str, str] = Field(default_factory=dict)
    """Types that are set, not inferred: column → a name that `portal.tabular.columns.type_names.parse` knows."""
    schema_document: str = ""
    """A whole schema that is set: the JSON text of `portal.tabular.columns.schema.Schema.to_json`. Wins over `types`."""
    dates: bool = True
    """Infer dates and timestamps."""
    date_order: DateOrder = ""
    """How 03/04/2026 is meant where the values leave it open; empty: such columns stay text."""
    decimals: Decimals = "auto"
    """auto: exact decimals where a 64-bit float would not give the digits back, floats else."""
    smallest_integers: bool = False
    """Integers of 8, 16 and 32 bits where all values fit (with `full_scan`: proven), else always 64 bits."""
    on_reject: OnReject = "fail"
    max_rejects: int = Field(1000, ge=0)

    where: str = ""
    """Keep only rows for which this holds; see `portal.tabular.shaping.expression`."""
    columns: tuple[str, ...] = ()
    """Only these columns, in this order; none: all."""
    rename: dict[str, str] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    """Columns that are added: name → text, in which {source}, {source_name}, {job} and {loaded_at} are replaced."""

    output: Output = "parquet"
    compression: Compression = "zstd"
    compression_level: int | None = None
    row_group_rows: int = Field(100_000, ge=1, le=10_000_000)
    sort_by: tuple[str, ...] = ()
    """Columns to sort each file by; a leading '-' means descending."""
    partition_by: tuple[str, ...] = ()
    """Columns that become folders, Hive style: column=value/."""
    split_bytes: int = Field(0, ge=0)
    """Begin another file when one has about so many bytes; 0: never."""
    bloom_filters: tuple[str, ...] = ()
    """Columns that get a bloom filter in each row group."""
    statistics: bool = True
    write_schema: bool = True
    """Put the schema beside the result, as _NAME.schema.json."""


def suits(key: str) -> bool:
    """Tell whether an object's name says that it can be converted: CSV, TSV, JSON, NDJSON, also with .gz or .zst."""
    return _SUITABLE.search(key) is not None


def written_name(key: str, output: Output = "parquet", *, folder: bool = False) -> str:
    """Return the key of what a conversion makes of an object: another ending; of a folder of files what tells that it is whole."""
    stem = key[: -len(".parquet")] if key.lower().endswith(".parquet") else _SUITABLE.sub("", key)
    stem = key if not stem or stem.endswith("/") else stem
    return f"{stem}/{DATA_SET_MARK}" if folder else f"{stem}.{output}"


def target_name(key: str) -> str:
    """Return the key with `.parquet` in place of the endings that say what the source was."""
    stem = _SUITABLE.sub("", key)
    return f"{key}.parquet" if not stem or stem.endswith("/") else f"{stem}.parquet"
