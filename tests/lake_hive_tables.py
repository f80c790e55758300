"""Tables of Hive that need no Spark: files by pyarrow, made known by the metastore's own protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hive_metastore.ttypes import Database, FieldSchema, Partition, SerDeInfo, StorageDescriptor, Table
from pyiceberg.catalog.hive import _HiveClient

_PARQUET = "org.apache.hadoop.hive.ql.io.parquet."
_COLUMNS = (("id", "bigint"), ("name", "string"))


@contextmanager
def client(uri: str) -> Iterator[Any]:
    with _HiveClient(uri) as found:
        yield found


def database(uri: str, name: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    with client(uri) as hive:
        hive.create_database(Database(name=name, description="", locationUri=folder.as_uri(), parameters={}))


def table(uri: str, name: str, folder: Path, *, days: int = 0, rows: int = 10) -> None:
    """Make an external table of Parquet, by day when there are days, with so many rows in each."""
    keys = [FieldSchema("day", "string", "")] if days else []
    _create(uri, name, _descriptor(folder), keys, "EXTERNAL_TABLE", {"EXTERNAL": "TRUE"})
    if not days:
        write(folder / "part-0.parquet", 0, rows)
    for day in range(1, days + 1):
        partition(uri, name, folder, day, rows)


def partition(uri: str, name: str, folder: Path, day: int, rows: int = 10) -> None:
    """Add a day to a table."""
    database, own = name.split(".")
    value = f"2026-11-{day:02}"
    place = folder / f"day={value}"
    write(place / "part-0.parquet", day * 1000, rows)
    with client(uri) as hive:
        made = Partition([value], database, own, createTime=0, lastAccessTime=0, sd=_descriptor(place), parameters={})
        hive.add_partition(made)


def view(uri: str, name: str, query: str) -> None:
    _create(uri, name, _descriptor(None), [], "VIRTUAL_VIEW", {}, query)


def write(path: Path, first: int, rows: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = range(first, first + rows)
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "name": [f"name {number}" for number in ids]}), path)


def _descriptor(folder: Path | None) -> StorageDescriptor:
    """A location is a path of Hadoop's, in which nothing is escaped."""
    columns = [FieldSchema(name, kind, "") for name, kind in _COLUMNS]
    serde = SerDeInfo(name="", serializationLib=f"{_PARQUET}serde.ParquetHiveSerDe", parameters={})
    return StorageDescriptor(
        cols=columns, location=f"file://{folder}" if folder else None, inputFormat=f"{_PARQUET}MapredParquetInputFormat",
        outputFormat=f"{_PARQUET}MapredParquetOutputFormat", compressed=False, numBuckets=-1, serdeInfo=serde, bucketCols=[], sortCols=[],
        parameters={},
    )  # fmt: skip


def _create(uri: str, name: str, descriptor: Any, keys: list[Any], kind: str, parameters: dict[str, str], text: str | None = None) -> None:
    database, own = name.split(".")
    with client(uri) as hive:
        hive.create_table(Table(
            tableName=own, dbName=database, owner="etl", createTime=1, lastAccessTime=0, retention=0, sd=descriptor, partitionKeys=keys,
            parameters=parameters, tableType=kind, viewOriginalText=text, viewExpandedText=text,
        ))  # fmt: skip
