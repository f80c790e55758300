"""What the tests of ingest_hive share: a database of Hive, its tables, the engine run in this process on the tests' own Spark, and three readers."""

from __future__ import annotations

import hashlib
import importlib
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from hive_metastore.ttypes import AlreadyExistsException, Partition
from pyiceberg.table import StaticTable

from portal import settings
from portal.context import JobContext
from portal.engine import execute
from portal.redact import Redactor
from tests import lake_hive_tables
from tests.lake import Metastore, lake_variables
from tests.transferring import Ran

Row = dict[str, Any]

SOCKETS_OF_PYSPARK = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""pyspark leaves the sockets that it fetches results through to the collector."""


@dataclass
class Hive:
    """A database and a portal home that leads to its metastore."""

    spark: Any
    metastore: Metastore
    db: str
    home: Path
    runs: list[Ran] = field(default_factory=list)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.spark.sql(text.replace("{db}", self.db)).collect()]

    def context(self, **options: Any) -> JobContext:
        name = options.pop("job_id", f"run{len(self.runs)}")
        folder = self.home / "logs" / name
        folder.mkdir(exist_ok=True)
        return JobContext(name, folder, settings.load(self.home), **options)

    def ingest(self, *tables: str, job: JobContext | None = None, **params: Any) -> Ran:
        """Run the engine for tables of the database."""
        module = importlib.import_module("engines.ingest_hive")
        job = job or self.context()
        given = {"tables": [f"{self.db}.{table}" for table in tables], **params}
        code = execute(module.Params, module.run, given, job, Redactor())
        self.runs.append(Ran(code, json.loads((job.folder / f"result-{job.attempt}.json").read_text()), job))
        return self.runs[-1]

    def one(self, table: str, **params: Any) -> Row:
        """Ingest one table, and return what came of it."""
        return outcomes(self.ingest(table, **params))[table]

    def rows(self, name: str) -> list[Row]:
        """The rows of a table as Spark reads them, sorted."""
        self.spark.catalog.clearCache()
        self.sql(f"refresh table {name}")
        return ordered([plain(row) for row in self.spark.table(name.replace("{db}", self.db)).collect()])

    def tables(self) -> list[str]:
        """The names of the targets that the metastore knows."""
        with lake_hive_tables.client(self.metastore.uri) as client:
            return sorted(client.get_all_tables(f"{self.db}_iceberg"))

    def target(self, table: str) -> StaticTable:
        """A target as readers see it now."""
        with lake_hive_tables.client(self.metastore.uri) as client:
            return StaticTable.from_metadata(client.get_table(f"{self.db}_iceberg", table).parameters["metadata_location"])

    def arrived(self, table: str) -> list[Row]:
        """The rows of a target as pyiceberg reads them, sorted; what Spark reads costs a hundred times as much."""
        return by_pyiceberg(self.target(table).metadata_location)

    def refs(self, table: str) -> list[str]:
        return sorted(self.target(table).metadata.refs)

    def location(self, table: str) -> Path:
        with lake_hive_tables.client(self.metastore.uri) as client:
            return Path(unquote(urlsplit(client.get_table(self.db, table).sd.location).path))

    def add_partition(self, table: str, values: list[str], folder: Path, *ids: int) -> None:
        """Have the metastore know a partition with these very texts, of a Parquet file of ids in a folder of its own."""
        if ids:
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), folder / f"{ids[0]}.parquet")
        with lake_hive_tables.client(self.metastore.uri) as client:
            storage = client.get_table(self.db, table).sd
            storage.location = f"file://{folder}"
            client.add_partition(Partition(values, self.db, table, createTime=0, lastAccessTime=0, sd=storage, parameters={}))

    def insert(self, table: str, rows: dict[str, list[Any]], *values: str) -> None:
        """Write rows into a table, or into the partition of values, as an insert does: a file more, and a partition when there is none."""
        with lake_hive_tables.client(self.metastore.uri) as client:
            found = client.get_table(self.db, table)
            storage = found.sd
            place = "".join(f"/{key.name}={value}" for key, value in zip(found.partitionKeys, values, strict=True))
            folder = Path(unquote(urlsplit(storage.location).path) + place)
            folder.mkdir(parents=True, exist_ok=True)
            write = orc.write_table if "orc" in storage.inputFormat else pq.write_table
            write(pa.table(rows), folder / uuid.uuid4().hex)
            if values:
                storage.location = f"file://{folder}"  # a path of Hadoop's, in which nothing is escaped
                with suppress(AlreadyExistsException):
                    client.add_partition(Partition([*values], self.db, table, createTime=0, lastAccessTime=0, sd=storage, parameters={}))

    def drop_partition(self, table: str, *values: str) -> None:
        with lake_hive_tables.client(self.metastore.uri) as client:
            client.drop_partition(self.db, table, [*values], True)

    def fingerprint(self, table: str) -> dict[str, tuple[float, str]]:
        """Every file of a table's folder with its time of change and a checksum."""
        root = self.location(table)
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        return {str(path.relative_to(root)): (path.stat().st_mtime, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


@pytest.fixture
def hive(spark: Any, metastore: Metastore, database: str, home: Path, tmp_path: Path) -> Hive:
    with (home / ".env").open("a") as env:
        env.writelines(f"{name}={value}\n" for name, value in lake_variables(metastore).items())
        env.write(f"PORTAL_LOCAL_ROOTS={home / 'data'}:{metastore.warehouse}:{tmp_path}\n")
    # For three rows, having Java compile each query costs more than all else; and a second task more than the rows.
    few = {"codegen.wholeStage": "false", "codegen.factoryMode": "NO_CODEGEN", "shuffle.partitions": "1", "leafNodeDefaultParallelism": "1"}
    for name, value in {**few, "ui.explainMode": "simple"}.items():
        spark.conf.set(f"spark.sql.{name}", value)
    return Hive(spark, metastore, database, home)


@pytest.fixture
def in_new_york() -> Iterator[None]:
    """This process is not in UTC."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def outcomes(ran: Ran) -> dict[str, Row]:
    """What came of each table, by its name without the database."""
    return {item["table"].rpartition(".")[2]: item for item in ran.result["report"]["tables"]}


def plain(value: Any) -> Any:
    """A value as all readers agree on: rows and structs are dicts, maps lists of pairs in order."""
    if hasattr(value, "asDict"):
        return {name: plain(item) for name, item in value.asDict().items()}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return bytes(value) if isinstance(value, bytearray) else value


def mapped(row: Row, *names: str) -> Row:
    """A row with some columns that hold maps as pairs in order, whichever way a reader gives them."""
    return {name: _pairs(value) if name in names and value is not None else value for name, value in row.items()}


def _pairs(value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else value
    return sorted([key, item] for key, item in pairs)


def ordered(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


def by_pyiceberg(metadata_location: str) -> list[Row]:
    return ordered([plain(row) for row in StaticTable.from_metadata(metadata_location).scan().to_arrow().to_pylist()])


def by_duckdb(metadata_location: str) -> list[Row]:
    """The table's data files, which pyiceberg names, read by DuckDB."""
    tasks = StaticTable.from_metadata(metadata_location).scan().plan_files()
    files = [urlsplit(task.file.file_path).path for task in tasks]
    with duckdb.connect() as connection:
        found = connection.execute("select * from read_parquet(?, hive_partitioning = false)", [files])
        names = [column[0] for column in found.description]
        return ordered([plain(dict(zip(names, row, strict=True))) for row in found.fetchall()])
