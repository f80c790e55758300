"""Audit rows and seals as files, and where they go: Snowflake tables, or one file per day in a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from portal import audit, audit_row, seal
from portal.errors import NotFound, ProofFailed
from portal.settings import Settings
from portal.stores.base import Store
from portal.warehouse import Load
from portal.warehouse_names import TableName

Format = Literal["parquet", "csv"]

_SNOWFLAKE_TYPES = {"text": "varchar", "integer": "number(38,0)", "number": "float", "time": "timestamp_tz(3)"}
_SEAL_COLUMNS = {
    "sequence": "number(38,0)", "day": "varchar", "digest": "varchar", "previous": "varchar", "records": "number(38,0)", "signing_key": "varchar",
    "signature": "varchar",
}  # fmt: skip
_CONTENT_TYPES = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv; charset=utf-8"}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Selection:
    """Which rows: the jobs that finished in a period (both days included), or only some of them."""

    settings: Settings
    since: date
    until: date
    job_ids: tuple[str, ...] = ()

    def days(self) -> Iterator[tuple[date, Any]]:
        """Yield the days that have such rows, with the rows as an Arrow table. Raises PortalError."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for day, found in audit.days(self.settings, self.since, self.until):
            chosen = found.filter(pc.is_in(found["job_id"], pa.array(self.job_ids, pa.string()))) if self.job_ids else found
            if chosen.num_rows:
                yield day, chosen

    def count(self) -> int:
        return sum(found.num_rows for _, found in self.days())


_NOT_IN_TABLES = {"rows_filtered"}
"""Columns that tables of earlier versions have not: rows in - out - rejected tells it there."""


def rows_load(selection: Selection, table: TableName, file: Path) -> Load:
    """Write the rows to a Parquet file and return how they are merged: on the job's id, compared by the record's SHA-256."""
    from pyarrow import parquet

    with parquet.ParquetWriter(file, audit.schema(), compression="snappy") as writer:
        for _, found in selection.days():
            writer.write_table(found)
    columns = {column.name: _SNOWFLAKE_TYPES[column.type] for column in audit_row.COLUMNS if column.name not in _NOT_IN_TABLES}
    return Load(table, columns, ("job_id",), file, compare="record_sha256")


def seals_load(chain: list[seal.Seal], table: TableName, file: Path) -> Load:
    """Write the chain's seals to a Parquet file. The digest is part of the key: a seal that was made again stands beside the first one."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        {
            "sequence": item.sequence, "day": item.day, "digest": item.digest, "previous": item.previous, "records": len(item.records),
            "signing_key": item.key, "signature": item.signature,
        }
        for item in chain
    ]  # fmt: skip
    types = {"number(38,0)": pa.int64(), "varchar": pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in _SEAL_COLUMNS.items()])
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), file, compression="snappy")
    return Load(table, _SEAL_COLUMNS, ("sequence", "digest"), file)


@dataclass(frozen=True)
class Written:
    """One file in the store. `changed` is False when it was there already, the same byte for byte."""

    key: str
    rows: int
    size_bytes: int
    changed: bool


def write_days(selection: Selection, store: Store, prefix: str, shape: Format, folder: Path, tell: Callable[[int], None]) -> list[Written]:
    """Write one file per day below a prefix (chosen jobs: `chosen-…` files of their own), each read back afterwards.

    Args:
        folder: for the files on their way.
        tell: called with the number of rows written so far.

    Raises:
        ProofFailed: a file reads back as another one.
    """
    written: list[Written] = []
    for day, found in selection.days():
        name = f"day={day}" if not selection.job_ids else f"chosen-{_mark(selection.job_ids)}-day={day}"
        file = folder / f"{name}.{shape}"
        _write_table(found, file, shape)
        written.append(_put(store, f"{prefix}{file.name}", file, found.num_rows, _CONTENT_TYPES[shape]))
        file.unlink()
        tell(sum(item.rows for item in written))
    return written


def write_head(head: seal.Head, store: Store, prefix: str, folder: Path) -> Written:
    """Write the head of the chain under a name of its own, so that no later one takes its place."""
    file = folder / f"seal-{head.sequence:06d}-{head.digest[:12]}.json"
    file.write_text(json.dumps(asdict(head), indent=1) + "\n", "utf-8")
    return _put(store, f"{prefix}{file.name}", file, 0, "application/json")


def _mark(job_ids: tuple[str, ...]) -> str:
    return hashlib.sha256(" ".join(job_ids).encode()).hexdigest()[:12]


def _write_table(found: Any, file: Path, shape: Format) -> None:
    from pyarrow import csv, parquet

    if shape == "csv":
        csv.write_csv(found, file)
    else:
        parquet.write_table(found, file, compression="zstd")


def _put(store: Store, key: str, file: Path, rows: int, content_type: str) -> Written:
    size_bytes = file.stat().st_size
    if _holds(store, key, file):
        return Written(key, rows, size_bytes, changed=False)
    with file.open("rb") as source, store.open_write(key, overwrite=True, size_bytes=size_bytes, content_type=content_type) as target:
        while block := source.read(_BLOCK):
            target.write(block)
        target.commit()
    if not _holds(store, key, file):
        raise ProofFailed(f"{store.url.at(key)} does not read back as it was written.")
    return Written(key, rows, size_bytes, changed=True)


def _holds(store: Store, key: str, file: Path) -> bool:
    try:
        if store.stat(key).size_bytes != file.stat().st_size:
            return False
        with store.open_read(key) as there, file.open("rb") as here:
            while block := here.read(_BLOCK):
                if _exactly(there, len(block)) != block:
                    return False
        return True
    except NotFound:
        return False


def _exactly(reader: Any, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := reader.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
