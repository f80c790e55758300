"""What the demo of the lakehouse proves, found out without any code of the portal: rows counted by pyarrow, pyiceberg and Snowflake's connector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.dataset
import pyarrow.orc
import pyarrow.parquet
import snowflake.connector
from hive_metastore.ttypes import Partition
from pyiceberg.catalog.hive import HiveCatalog, _HiveClient
from pyiceberg.catalog.sql import SqlCatalog

from embedded.adls_io import ENDPOINT, KEY

_AVRO, _ORC, _PARQUET = "avro", "orc", "parquet"


def counted(env: Mapping[str, str], home: Path, database: str, tables: Sequence[str]) -> dict[str, tuple[int | None, ...]]:
    """Return the rows of each table in Hive, in Iceberg, on Azure and in Snowflake; None where there is no such table.

    Args:
        env: the box's variables.
        home: of the portal, with the catalog of the tables on Azure.
    """
    box = {"py-io-impl": "embedded.adls_io.BoxIO", ENDPOINT: env["AZURE_STORAGE_ENDPOINT"], KEY: env["AZURE_STORAGE_KEY"]}
    iceberg = HiveCatalog("hive", uri=env["HIVE_METASTORE_URI"])
    azure = SqlCatalog("default", uri=f"sqlite:///{home}/azure.db", **box)
    registered = _in_snowflake(env, tables)
    try:
        return {
            name: (
                _in_hive(env, database, name), _in_iceberg(iceberg, f"{database}_iceberg.{name}"), _in_iceberg(azure, f"{database}_iceberg.{name}"),
                registered[name],
            )
            for name in tables
        }  # fmt: skip
    finally:
        azure.engine.dispose()


def _in_hive(env: Mapping[str, str], database: str, name: str) -> int:
    """Count the rows of the files in the folders that Hive names, each as its format wants it."""
    with _client(env) as client:
        table = client.get_table(database, name)
        parts = client.get_partitions(database, name, -1) if table.partitionKeys else []
    kind = table.sd.inputFormat.lower()
    folders = [Path(urlsplit(place.sd.location).path) for place in parts] or [Path(urlsplit(table.sd.location).path)]
    files = [file for folder in folders for file in sorted(folder.iterdir()) if not file.name.startswith((".", "_"))]
    return sum(_rows(file, kind) for file in files)


def _rows(file: Path, kind: str) -> int:
    if _PARQUET in kind:
        return int(pyarrow.parquet.read_metadata(file).num_rows)
    if _ORC in kind:
        return int(pyarrow.orc.ORCFile(file).nrows)
    if _AVRO in kind:
        import fastavro

        with file.open("rb") as stream:
            return sum(1 for _ in fastavro.reader(stream))
    return file.read_bytes().count(b"\n")


def _in_iceberg(catalog: Any, name: str) -> int | None:
    if not catalog.table_exists(name):
        return None
    return int(sum(len(batch) for batch in catalog.load_table(name).scan().to_arrow_batch_reader()))


def _in_snowflake(env: Mapping[str, str], tables: Sequence[str]) -> dict[str, int | None]:
    connection = snowflake.connector.connect(
        account=env["SNOWFLAKE_ACCOUNT"], user=env["SNOWFLAKE_USER"], password=env["SNOWFLAKE_PASSWORD"], host=env["SNOWFLAKE_HOST"],
        port=int(env["SNOWFLAKE_PORT"]), protocol=env["SNOWFLAKE_PROTOCOL"], database=env["SNOWFLAKE_DATABASE"], schema="LAKE",
        session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
    )  # fmt: skip
    found: dict[str, int | None] = {}
    with connection, connection.cursor() as cursor:
        for name in tables:
            try:
                row: Any = cursor.execute(f'select count(*) from "{name.upper()}"').fetchone()  # noqa: S608 - our own names
            except snowflake.connector.errors.ProgrammingError:
                found[name] = None
            else:
                found[name] = int(row[0])
    return found


def add_month(env: Mapping[str, str], database: str, name: str, month: int) -> int:
    """Give a table by month another month, as somebody's load at night would: a file of its first month again; returns its rows."""
    with _client(env) as client:
        first = client.get_partition_by_name(database, name, "month=1")
        source = Path(urlsplit(first.sd.location).path)
        folder = source.with_name(f"month={month}")
        folder.mkdir()
        rows: pa.Table = pyarrow.dataset.dataset([str(file) for file in source.glob("part-*")]).to_table()
        pyarrow.parquet.write_table(rows, folder / "part-00000.parquet", use_deprecated_int96_timestamps=True)
        first.sd.location = first.sd.location.replace("month=1", f"month={month}")
        added = Partition(values=[str(month)], dbName=database, tableName=name, sd=first.sd, parameters={}, createTime=0, lastAccessTime=0)
        client.add_partition(added)
    return int(rows.num_rows)


def _client(env: Mapping[str, str]) -> _HiveClient:
    return _HiveClient(env["HIVE_METASTORE_URI"])
