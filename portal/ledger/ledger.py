"""The ledger: one row per object, in `ledger.parquet`. While a job runs its rows are columns in a journal (see `journal`).

| column | what it says |
| --- | --- |
| outcome | copied, converted, skipped, failed, excluded; deleted: an object that was only at the target (mirror) |
| mode | how the bytes went: server, stream, convert, local; '' none did |
| proof | see `proof` |
| cause | a short code to group failures by, one of CAUSES; '' for what did not fail |
| reason | why, in words; of a copy what else there is to say |
| source_size, target_size | bytes |
| bytes_through | bytes of the object that passed this machine, every try counted |
| resumed_bytes | bytes that an earlier attempt had brought to the target and that were not moved again |
| rows_in | rows of the source, = rows_out + rows_rejected + rows_filtered (left out by where) |
| started_at, finished_at | UTC |
| source_modified | RFC 3339, as the store says it |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portal import clock
from portal.errors import PortalError
from portal.ledger.arrays import filled

LEDGER_FILE = "ledger.parquet"
_GROUP_ROWS = 50_000
_READ_ROWS = 10_000

Outcome = Literal["copied", "converted", "skipped", "failed", "excluded", "deleted"]
OUTCOMES: tuple[Outcome, ...] = ("copied", "converted", "skipped", "failed", "excluded")
"""Those that together are what was listed; `deleted` is counted apart."""

CAUSES = (
    "access-denied", "not-found", "source-changed", "exists", "throttled", "unreachable", "proof-failed", "name", "leased", "full", "archived",
    "too-large", "rows", "cancelled", "other",
)  # fmt: skip

_MOMENT = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        ("source_url", pa.string()), ("source_key", pa.string()), ("source_size", pa.int64()), ("source_etag", pa.string()),
        ("source_version", pa.string()), ("target_url", pa.string()), ("target_key", pa.string()), ("target_size", pa.int64()),
        ("target_etag", pa.string()), ("crc64nvme", pa.string()), ("md5", pa.string()), ("source_checksum", pa.string()),
        ("proof", pa.string()), ("outcome", pa.string()), ("reason", pa.string()), ("attempts", pa.int32()), ("started_at", _MOMENT),
        ("finished_at", _MOMENT), ("duration_s", pa.float64()), ("rows_in", pa.int64()), ("rows_out", pa.int64()), ("rows_rejected", pa.int64()),
        ("mode", pa.string()), ("cause", pa.string()), ("source_modified", pa.string()), ("storage_class", pa.string()),
        ("bytes_through", pa.int64()), ("resumed_bytes", pa.int64()), ("rows_filtered", pa.int64()),
    ]
)  # fmt: skip

_DEFAULTS: dict[str, Any] = {
    "source_etag": "", "proof": "none", "reason": "", "mode": "", "cause": "", "attempts": 0, "bytes_through": 0, "resumed_bytes": 0,
}  # fmt: skip
"""What a column that is not told holds; the others hold nothing."""

_REPEATING = [
    "source_size", "target_size", "proof", "outcome", "reason", "attempts", "mode", "cause", "storage_class", "bytes_through", "resumed_bytes",
]  # fmt: skip
"""Columns of few different values. Looking for them in the others costs half of the time that a ledger takes."""

Columns = Mapping[str, Sequence[Any]]
"""Columns of the schema, by name, all of one length; those that are missing hold their default. `n` orders the rows (see `write`)."""

_NUMBERED = SCHEMA.append(pa.field("n", pa.int64()))


def write(path: Path, batches: Iterable[Columns], *, source_base: str = "", target_base: str = "") -> None:
    """Write a ledger; memory stays flat. The file appears whole, its rows in the order of `n` within each group of 50,000.

    A value that its column cannot hold costs no row: a number is left out, and half of a surrogate pair in a text is written as \\udXXX.

    Args:
        source_base, target_base: URLs of the containers, with a '/' at the end: a key appended gives the URL where a batch has no URLs.
    """
    fresh = path.with_name(f".{path.name}.{clock.now_ms()}")
    bases = {"source": source_base, "target": target_base}
    with pq.ParquetWriter(fresh, SCHEMA, compression="zstd", use_dictionary=_REPEATING) as writer:
        for group in _groups(_batch(_with_urls(columns, bases)) for columns in batches):
            writer.write_table(group.sort_by("n").drop_columns("n"))
    fresh.replace(path)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Few large tables of many small ones: Parquet reads and packs those better."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= _GROUP_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _batch(columns: Columns) -> pa.RecordBatch:
    count = len(next(iter(columns.values()), ()))
    arrays = [_array(columns[field.name] if field.name in columns else [_DEFAULTS.get(field.name)] * count, field.type) for field in _NUMBERED]
    return pa.RecordBatch.from_arrays(arrays, schema=_NUMBERED)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return filled(values, kind)
    except (PortalError, UnicodeEncodeError):
        return filled([_held(value, kind) for value in values], kind)


def _held(value: Any, kind: pa.DataType) -> Any:
    """Return what a column can hold of a value."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    try:
        filled([value], kind)
    except PortalError:
        return None
    return value


def _with_urls(columns: Columns, bases: Mapping[str, str]) -> Columns:
    made = {f"{side}_url": [key and base + key for key in columns.get(f"{side}_key", ())] for side, base in bases.items() if base}
    return {**{name: column for name, column in made.items() if column}, **columns}


def read(path: Path, *, outcome: str | None = None, limit: int | None = None) -> pa.Table:
    """Return the rows of a ledger, those of one outcome if it is given, at most `limit`; reads no more of the file than it needs.

    Columns that an older ledger does not have hold nothing."""
    found: list[pa.Table] = []
    left = limit
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_READ_ROWS):
            table = _as_now(pa.Table.from_batches([batch]))
            if outcome is not None:
                table = table.filter(pc.equal(table["outcome"], outcome))
            found.append(table if left is None else table.slice(0, left))
            if left is not None:
                left -= found[-1].num_rows
                if left <= 0:
                    break
    return pa.concat_tables(found) if found else SCHEMA.empty_table()


def _as_now(table: pa.Table) -> pa.Table:
    columns = [table[field.name] if field.name in table.column_names else pa.nulls(table.num_rows, field.type) for field in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
