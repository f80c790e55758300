"""The ledger: one row per object, in `ledger.parquet`. While a job runs its rows are lines of a journal (see `journal`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portal import clock

LEDGER_FILE = "ledger.parquet"
_BATCH_ROWS = 10_000

Outcome = Literal["copied", "converted", "skipped", "failed", "excluded"]
OUTCOMES: tuple[Outcome, ...] = ("copied", "converted", "skipped", "failed", "excluded")

_MOMENT = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        ("source_url", pa.string()), ("source_key", pa.string()), ("source_size", pa.int64()), ("source_etag", pa.string()),
        ("source_version", pa.string()), ("target_url", pa.string()), ("target_key", pa.string()), ("target_size", pa.int64()),
        ("target_etag", pa.string()), ("crc64nvme", pa.string()), ("md5", pa.string()), ("source_checksum", pa.string()),
        ("proof", pa.string()), ("outcome", pa.string()), ("reason", pa.string()), ("attempts", pa.int32()), ("started_at", _MOMENT),
        ("finished_at", _MOMENT), ("duration_s", pa.float64()), ("rows_in", pa.int64()), ("rows_out", pa.int64()), ("rows_rejected", pa.int64()),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one object. Sizes in bytes, times in milliseconds since 1970 (UTC); None where there is nothing to say."""

    source_url: str
    source_key: str
    source_size: int
    outcome: Outcome
    source_etag: str = ""
    source_version: str | None = None
    target_url: str | None = None
    target_key: str | None = None
    target_size: int | None = None
    target_etag: str | None = None
    crc64nvme: str | None = None
    md5: str | None = None
    source_checksum: str | None = None
    proof: str = "none"
    reason: str = ""
    attempts: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    duration_s: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    rows_rejected: int | None = None

    def asdict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SCHEMA.names}


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a ledger; memory stays flat. The file appears whole."""
    fresh = path.with_name(f".{path.name}.{clock.now_ms()}")
    rest = iter(rows)
    with pq.ParquetWriter(fresh, SCHEMA, compression="zstd") as writer:
        while batch := list(islice(rest, _BATCH_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
    fresh.replace(path)


def read(path: Path, *, outcome: str | None = None, limit: int | None = None) -> pa.Table:
    """Return the rows of a ledger, those of one outcome if it is given, at most `limit`; reads no more of the file than it needs."""
    found: list[pa.Table] = []
    left = limit
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            if outcome is not None:
                table = table.filter(pc.equal(table["outcome"], outcome))
            found.append(table if left is None else table.slice(0, left))
            if left is not None:
                left -= found[-1].num_rows
                if left <= 0:
                    break
    return pa.concat_tables(found) if found else SCHEMA.empty_table()
