"""What a comparison of a migrated table with its source sees beyond rows: the newest fields of entries, and what deletes say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import DataFile, FileFormat

from portal.lake.iceberg.comparing_deletes import compare_deletes
from portal.lake.iceberg.refusals import TablesDiffer
from tests import iceberg_tables
from tests.iceberg_copies import Copying, file_io

_IDS = {
    "first_row_id": (142, "long"), "referenced_data_file": (143, "string"), "content_offset": (144, "long"), "content_size_in_bytes": (145, "long"),
}  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Any]:
    base = iceberg_tables.catalog(tmp_path, f"file://{tmp_path}/wh")
    yield iceberg_tables.table(base, "sales.orders", snapshots=1)
    base.engine.dispose()


def with_fields(table: Any, values: dict[str, Any]) -> None:
    """Write the table's one manifest as a writer of format 3 does, with these fields in its entries."""
    manifest, = table.current_snapshot().manifests(file_io())
    path = Path(manifest.manifest_path.removeprefix("file://"))
    with path.open("rb") as stream:
        reader = fastavro.reader(stream)
        schema, metadata, entries = json.loads(reader.metadata["avro.schema"]), dict(reader.metadata), list(reader)
    fields = next(one for one in schema["fields"] if one["name"] == "data_file")["type"]["fields"]
    known = {one["name"] for one in fields}
    for name, (number, kind) in _IDS.items():
        if name not in known:
            fields.append({"name": name, "type": ["null", kind], "default": None, "field-id": number})
    for entry in entries:
        entry["data_file"].update({**dict.fromkeys(_IDS), **values})
    kept = {key: value for key, value in metadata.items() if not key.startswith("avro.")}
    with path.open("wb") as sink:
        fastavro.writer(sink, schema, entries, metadata=kept)
    lists = Path(table.current_snapshot().manifest_list.removeprefix("file://"))
    with lists.open("rb") as stream:
        reader = fastavro.reader(stream)
        schema, metadata, rows = json.loads(reader.metadata["avro.schema"]), dict(reader.metadata), list(reader)
    with lists.open("wb") as sink:
        told = [{**row, "manifest_length": path.stat().st_size} for row in rows]
        fastavro.writer(sink, schema, told, metadata={key: value for key, value in metadata.items() if not key.startswith("avro.")})


@pytest.mark.parametrize("field", _IDS)
def test_the_newest_fields_of_entries_are_compared(tmp_path: Path, table: Any, field: str) -> None:
    file = f"{table.location()}/data/a.parquet"
    values: dict[str, Any] = {"first_row_id": 7, "referenced_data_file": file, "content_offset": 4, "content_size_in_bytes": 40}
    with_fields(table, values)
    copying = Copying(tmp_path, table.metadata_location)
    target = copying.run()
    copying.compare(rows=False)
    right = {**values, "referenced_data_file": copying.paths.written(file)}
    for wrong in (None, file if field == "referenced_data_file" else 3):
        with_fields(target, {**right, field: wrong})
        with pytest.raises(TablesDiffer, match=field):
            copying.compare(rows=False)
    copying.close()


def deletes(path: Path, rows: list[tuple[str, int]], kind: str) -> DataFile:
    if kind == "PARQUET":
        names, positions = zip(*rows, strict=True)
        pq.write_table(pa.table({"file_path": list(names), "pos": pa.array(positions, pa.int64())}), path, row_group_size=2)
    else:
        fields = [{"name": "file_path", "type": "string", "field-id": 2147483546}, {"name": "pos", "type": "long", "field-id": 2147483545}]
        with path.open("wb") as sink:
            fastavro.writer(sink, {"type": "record", "name": "r", "fields": fields}, [{"file_path": name, "pos": pos} for name, pos in rows])
    return DataFile.from_args(file_path=path.as_uri(), file_format=FileFormat[kind])


@pytest.mark.parametrize("kind", ["PARQUET", "AVRO"])
@pytest.mark.parametrize("wrong", [
    [("t/a", 1), ("t/a", 5)], [("t/a", 1), ("t/a", 5), ("t/b", 4)], [("t/a", 1), ("t/b", 5), ("t/b", 3)], [("t/a", 1), ("t/a", 5), ("s/b", 3)],
])  # fmt: skip
def test_what_deletes_say_is_compared(tmp_path: Path, kind: str, wrong: list[tuple[str, int]]) -> None:
    theirs = deletes(tmp_path / "source", [("s/a", 1), ("s/a", 5), ("s/b", 3)], kind)
    right = deletes(tmp_path / "right", [("t/a", 5), ("t/a", 1), ("t/b", 3)], kind)
    io = file_io()
    compare_deletes(theirs, io, right, io, lambda path: path.replace("s/", "t/"))
    with pytest.raises(TablesDiffer, match=r"deletes .* of .*, and should delete"):
        compare_deletes(theirs, io, deletes(tmp_path / "wrong", wrong, kind), io, lambda path: path.replace("s/", "t/"))
