"""Audit rows day by day: each day's records are compacted to one Parquet file beside them, and only new records are read again.

`archive/YYYY/MM/DD.audit.parquet` is derived: it may be deleted at any time, and is made again when the set of the day's records changed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from portal import audit_row, seal_tombstones
from portal.durable import sync_folder
from portal.jobs import ID_PATTERN

_SIZE, _MTIME = "_record_size", "_record_mtime_ns"
_VERSION_KEY = b"portal.audit.version"
_REWRITE_AFTER = 200
"""New records that today's file is written again for; a closed day's is written for any."""


@dataclass(frozen=True, slots=True)
class Record:
    """One archive record, as a listing of its day shows it."""

    job_id: str
    folder: str
    size_bytes: int
    mtime_ns: int

    def read(self) -> bytes:
        """Return the record's bytes. Raises OSError."""
        return Path(self.folder, f"{self.job_id}.json").read_bytes()


def days(archive: Path, since: date | None = None, until: date | None = None) -> list[date]:
    """Return the days of a period (both ends included) that have a folder of records, in order."""
    found: list[date] = []
    for year in _numbered(archive, 4):
        if (since and year < since.year) or (until and year > until.year):
            continue
        for month in _numbered(archive / f"{year:04d}", 2):
            found.extend(_days_of(archive, year, month))
    return sorted(day for day in found if (since is None or day >= since) and (until is None or day <= until))


def _days_of(archive: Path, year: int, month: int) -> Iterator[date]:
    folder = archive / f"{year:04d}" / f"{month:02d}"
    retained = [int(path.name[:2]) for path in folder.glob("[0-9][0-9].retained.json")]
    for day in sorted({*_numbered(folder, 2), *retained}):
        with suppress(ValueError):
            yield date(year, month, day)


def _numbered(folder: Path, digits: int) -> list[int]:
    try:
        with os.scandir(folder) as entries:
            return sorted(int(entry.name) for entry in entries if len(entry.name) == digits and entry.name.isdecimal() and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def folder(archive: Path, day: date) -> Path:
    return archive / f"{day:%Y}" / f"{day:%m}" / f"{day:%d}"


def records(archive: Path, day: date) -> list[Record]:
    """Return a day's records, sorted by id."""
    found: list[Record] = []
    place = str(folder(archive, day))
    with suppress(FileNotFoundError), os.scandir(place) as entries:
        for entry in entries:
            job_id, dot, kind = entry.name.partition(".")
            if dot and kind == "json" and ID_PATTERN.fullmatch(job_id) and not entry.is_dir():
                with suppress(FileNotFoundError):
                    known = entry.stat()
                    found.append(Record(job_id, place, known.st_size, known.st_mtime_ns))
    return sorted(found, key=lambda record: record.job_id)


def schema() -> Any:
    """Return the Arrow schema of the rows."""
    import pyarrow as pa

    types = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "time": pa.timestamp("ms", tz="UTC")}
    return pa.schema([(column.name, types[column.type]) for column in audit_row.COLUMNS])


def table(archive: Path, day: date, *, today: date | None = None) -> Any:
    """Return a day's rows as an Arrow table, one row per record, in order of id; compacts them when that is worth it.

    Raises:
        OSError: a record is there and cannot be read (its permissions).
    """
    if (tombstone := seal_tombstones.read(archive, day)) and tombstone.rows:
        return _retained(archive, day)
    listed = records(archive, day)
    cached = _read(_compacted(archive, day))
    if cached is not None and _is_of(cached, listed):
        return cached.drop_columns([_SIZE, _MTIME])
    known = {} if cached is None else _positions(cached)
    fresh = [record for record in listed if _identity(record) not in known]
    whole = _merged(cached, [known[_identity(record)] for record in listed if _identity(record) in known], fresh)
    if day < (today or datetime.now(UTC).date()) or len(fresh) >= _REWRITE_AFTER:
        _write(_compacted(archive, day), whole)
    return whole.drop_columns([_SIZE, _MTIME])


def _retained(archive: Path, day: date) -> Any:
    """The rows of a day whose records are gone, at least in part; what an older version of the portal did not know about them is empty."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(_compacted(archive, day)) as file:
            found = file.read(use_threads=False)
    except (OSError, pa.ArrowInvalid):  # `audit verify` tells that it is missing
        return schema().empty_table()
    columns = [
        found.column(item.name).cast(item.type) if item.name in found.column_names else pa.nulls(found.num_rows, item.type) for item in schema()
    ]  # fmt: skip
    return pa.table(columns, schema=schema())


def keep_rows(archive: Path, day: date) -> str | None:
    """Make a closed day's rows complete and durable, because its records are to be removed; returns their SHA-256, None when it cannot be done."""
    table(archive, day)
    path = _compacted(archive, day)
    cached = _read(path)
    if cached is None or not _is_of(cached, records(archive, day)) or misstated(archive, day):
        return None
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return rows_digest(archive, day)


def rows_digest(archive: Path, day: date) -> str | None:
    """Return the SHA-256 of a day's compaction, None when there is none."""
    try:
        return hashlib.sha256(_compacted(archive, day).read_bytes()).hexdigest()
    except OSError:
        return None


def misstated(archive: Path, day: date) -> list[str]:
    """Return the ids of the records that a day's compaction tells otherwise than they do. Nobody but a forger writes such a one.

    Raises:
        OSError: a record is there and cannot be read.
    """
    cached = _read(_compacted(archive, day))
    known = {} if cached is None else _positions(cached)
    kept = [record for record in records(archive, day) if _identity(record) in known]
    told = cached.take([known[_identity(record)] for record in kept]).to_pylist() if kept else []
    meant = _merged(None, [], kept).to_pylist() if kept else []
    return [row["job_id"] for row, other in zip(meant, told, strict=True) if row != other]


def _is_of(cached: Any, listed: list[Record]) -> bool:
    """Whether a compaction holds exactly these records; both are in order of id."""
    import pyarrow as pa

    columns = {
        "job_id": pa.array([record.job_id for record in listed], pa.string()),
        _SIZE: pa.array([record.size_bytes for record in listed], pa.int64()),
        _MTIME: pa.array([record.mtime_ns for record in listed], pa.int64()),
    }
    return all(cached.column(name).equals(pa.chunked_array([values])) for name, values in columns.items())


def _identity(record: Record) -> tuple[str, int, int]:
    return record.job_id, record.size_bytes, record.mtime_ns


def _positions(cached: Any) -> dict[tuple[str, int, int], int]:
    columns = (cached.column(name).to_pylist() for name in ("job_id", _SIZE, _MTIME))
    return {identity: position for position, identity in enumerate(zip(*columns, strict=True))}


def _merged(cached: Any, kept: list[int], fresh: Iterable[Record]) -> Any:
    import pyarrow as pa

    rows = [audit_row.row(record.read(), record.job_id) | {_SIZE: record.size_bytes, _MTIME: record.mtime_ns} for record in fresh]
    new = pa.Table.from_pylist(rows, schema=_stored_schema())
    whole = new if cached is None else pa.concat_tables([cached.take(pa.array(kept, pa.int64())), new])
    return whole.sort_by("job_id")


def _compacted(archive: Path, day: date) -> Path:
    place = folder(archive, day)
    return place.with_name(f"{place.name}.audit.parquet")


def _stored_schema() -> Any:
    import pyarrow as pa

    marked = schema().append(pa.field(_SIZE, pa.int64())).append(pa.field(_MTIME, pa.int64()))
    return marked.with_metadata({_VERSION_KEY: str(audit_row.VERSION)})


def _read(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            found = file.read(use_threads=False)
    except (OSError, pa.ArrowInvalid):  # not there, cut off by a crash, not Parquet: it is only derived
        return None
    wanted = _stored_schema()
    current = (found.schema.metadata or {}).get(_VERSION_KEY) == wanted.metadata[_VERSION_KEY] and found.schema.equals(wanted)
    return found.replace_schema_metadata(wanted.metadata) if current else None


def _write(path: Path, whole: Any) -> None:
    from pyarrow import parquet

    fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    with suppress(OSError):  # a reader without the right to write still gets its rows
        try:
            parquet.write_table(whole, fresh, compression="zstd")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
