"""Equality deletes, which pyiceberg neither writes nor reads: written as Flink's upserts do, and applied by DuckDB over the files alone."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import OutputFile
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, AssertRefSnapshotId, SetSnapshotRefUpdate
from pyiceberg.typedef import Record

from tests.iceberg_tables import rows

_POSITIONS = (2147483546, 2147483545)


class _Deletes(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


def upsert(table: Table, first: int, count: int) -> None:
    """Commit rows with ids from `first` as Flink does: a file of rows, an equality delete of their ids, which takes away those that were there
    before, and a position delete, here of the file's last row. The table is one on this machine, without partitions."""
    folder = Path(table.location().removeprefix("file://")) / "data"
    name, snapshot_id, current = uuid.uuid4().hex, uuid.uuid4().int >> 66, table.current_snapshot()
    fresh = rows(first, count).set_column(1, "name", pa.array([f"{name} {n}" for n in range(count)]))
    data = _file(folder / f"{name}.parquet", _with_ids(fresh, 1, 2, 3), DataFileContent.DATA)
    equal = _file(folder / f"{name}-eq.parquet", _with_ids(fresh.select(["id"]), 1), DataFileContent.EQUALITY_DELETES, equality_ids=[1])
    last = pa.table({"file_path": [data.file_path], "pos": pa.array([count - 1], pa.int64())})
    positions = _file(folder / f"{name}-pos.parquet", _with_ids(last, *_POSITIONS), DataFileContent.POSITION_DELETES)
    manifests = [_manifest(table, ManifestWriterV2, snapshot_id, data), _manifest(table, _Deletes, snapshot_id, equal, positions)]
    sequence = table.metadata.last_sequence_number + 1
    listed = f"{table.location()}/metadata/snap-{snapshot_id}-{name}.avro"
    with write_manifest_list(2, table.io.new_output(listed), snapshot_id, current and current.snapshot_id, sequence, "deflate") as writer:
        writer.add_manifests([*manifests, *(current.manifests(table.io) if current else [])])
    summary = Summary(Operation.OVERWRITE, **{"total-records": "0", "total-equality-deletes": str(count), "total-position-deletes": "1"})
    snapshot = Snapshot(snapshot_id=snapshot_id, parent_snapshot_id=current and current.snapshot_id, sequence_number=sequence,
                        timestamp_ms=time.time_ns() // 1_000_000, manifest_list=listed, summary=summary, schema_id=0)  # fmt: skip
    main = SetSnapshotRefUpdate(ref_name="main", type=SnapshotRefType.BRANCH, snapshot_id=snapshot_id)
    begins = AssertRefSnapshotId(ref="main", snapshot_id=current and current.snapshot_id)
    table.catalog.commit_table(table, (begins,), (AddSnapshotUpdate(snapshot=snapshot), main))
    table.refresh()


def _with_ids(table: pa.Table, *ids: int) -> pa.Table:
    fields = [field.with_metadata({"PARQUET:field_id": str(number)}) for field, number in zip(table.schema, ids, strict=True)]
    return table.cast(pa.schema(fields))


def _file(path: Path, table: pa.Table, content: DataFileContent, **fields: Any) -> DataFile:
    pq.write_table(table, path)
    return DataFile.from_args(
        2, content=content, file_path=path.as_uri(), file_format=FileFormat.PARQUET, partition=Record(), record_count=len(table),
        file_size_in_bytes=path.stat().st_size, **fields,
    )  # fmt: skip


def _manifest(table: Table, writer: type[ManifestWriterV2], snapshot_id: int, *files: DataFile) -> ManifestFile:
    output: OutputFile = table.io.new_output(f"{table.location()}/metadata/{uuid.uuid4()}-m0.avro")
    with writer(table.spec(), table.schema(), output, snapshot_id, "deflate") as manifest:
        for file in files:
            manifest.add(ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=snapshot_id, data_file=file))
    _with_ints(Path(output.location.removeprefix("file://")))
    return manifest.to_manifest_file()


def _with_ints(path: Path) -> None:
    """The format has the ids of equality deletes as ints, and Java takes nothing else; pyiceberg writes longs."""
    with path.open("rb") as stream:
        reader = fastavro.reader(stream)
        schema, metadata, entries = json.loads(reader.metadata["avro.schema"]), dict(reader.metadata), list(reader)
    fields = next(one for one in schema["fields"] if one["name"] == "data_file")["type"]["fields"]
    ids = next(one for one in fields if one["name"] == "equality_ids")
    next(kind for kind in ids["type"] if isinstance(kind, dict))["items"] = "int"
    with path.open("wb") as sink:
        fastavro.writer(sink, schema, entries, metadata={name: value for name, value in metadata.items() if not name.startswith("avro.")})


def applied(table: Table, snapshot_id: int) -> list[tuple[Any, ...]]:
    """The rows of a snapshot in the order of their ids, all deletes applied: an equality delete takes rows of older commits, a position delete also
    those of its own."""
    snapshot = table.snapshot_by_id(snapshot_id)
    assert snapshot
    entries = [entry for manifest in snapshot.manifests(table.io) for entry in manifest.fetch_manifest_entry(table.io)]
    found: list[tuple[Any, ...]] = []
    for entry in (one for one in entries if one.data_file.content == DataFileContent.DATA):
        path, number = entry.data_file.file_path, entry.sequence_number or 0
        equal = _paths(entries, DataFileContent.EQUALITY_DELETES, number + 1)
        positions = _paths(entries, DataFileContent.POSITION_DELETES, number)
        where = "true"
        if equal:
            where += f" and id not in (select id from read_parquet({equal}))"
        if positions:
            where += f" and file_row_number not in (select pos from read_parquet({positions}) where file_path = '{path}')"
        source = f"read_parquet('{path.removeprefix('file://')}', file_row_number = true)"
        found += duckdb.sql(f"select id, name, day from {source} where {where}").fetchall()
    return sorted(found)


def _paths(entries: list[ManifestEntry], content: DataFileContent, begin: int) -> list[str]:
    files = [one.data_file.file_path for one in entries if one.data_file.content == content and (one.sequence_number or 0) >= begin]
    return [path.removeprefix("file://") for path in files]
