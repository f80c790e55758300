"""Iceberg tables for the tests, made by pyiceberg itself, with its own files and its own credentials: nothing of ours is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.types import StringType

from portal.lake.table_name import TableName
from tests import servers
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server

REST_TOKEN = "a-rest-t0ken"
REST_CLIENT = "box:a-rest-s3cret"
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("day", pa.date32())])


class Trap(PyArrowFileIO):
    """What a table of somebody else's might have itself read with."""

    made = 0

    def __init__(self, properties: Any = None) -> None:
        Trap.made += 1
        super().__init__(properties or {})


def catalog(root: Path, warehouse: str, **properties: str) -> SqlCatalog:
    """Open pyiceberg's catalog in `root`/catalog.db."""
    root.mkdir(parents=True, exist_ok=True)
    return SqlCatalog("default", uri=f"sqlite:///{root / 'catalog.db'}", warehouse=warehouse, **properties)


def s3_properties(server: Server) -> dict[str, str]:
    return {"s3.endpoint": server.url, "s3.access-key-id": "testing", "s3.secret-access-key": "testing-secret", "s3.region": "us-east-1"}


def adls_properties(server: Server) -> dict[str, str]:
    """pyiceberg's own files over the box's client: nothing of the portal's is in them."""
    return {"py-io-impl": "embedded.adls_io.BoxIO", "box.adls-endpoint": f"{server.url}/{ADLS_ACCOUNT}", "box.adls-key": ADLS_KEY}


def string_type() -> StringType:
    return StringType()


def name_of(text: str) -> TableName:
    return TableName.parse(text)


def rows(first: int, count: int) -> pa.Table:
    """So many rows with ids from `first`."""
    ids = range(first, first + count)
    days = pa.array([n % 20_000 for n in ids], pa.int32()).cast(pa.date32())
    return pa.Table.from_arrays([pa.array(ids, pa.int64()), pa.array([f"name {n}" for n in ids]), days], schema=SCHEMA)


def table(base: SqlCatalog, name: str, *, snapshots: int = 2, per_snapshot: int = 10, **options: Any) -> Any:
    """Make `namespace.table` with so many snapshots."""
    base.create_namespace_if_not_exists(name.rpartition(".")[0])
    made = base.create_table(name, schema=SCHEMA, **options)
    for number in range(snapshots):
        made.append(rows(number * per_snapshot, per_snapshot))
    return made


@contextmanager
def rest_server(root: Path, adls: Server | None = None) -> Iterator[Server]:
    """A REST catalog that asks for REST_TOKEN."""
    given = ["--root", str(root), "--token", REST_TOKEN, "--client", REST_CLIENT]
    if adls:
        given += ["--adls", f"{adls.url}/{ADLS_ACCOUNT}", "--adls-key", ADLS_KEY]
    server = servers.start("embedded.iceberg_rest", *given)
    try:
        yield server
    finally:
        servers.stop(server)


def two_catalogs(home: Path, warehouse: str) -> None:
    """Name the catalogs in the folders `old` and `lake` of a home as connections."""
    for name, more in (("old", ""), ("lake", f'warehouse = "{warehouse}"')):
        connections(home, f'[{name}]\nkind = "catalog"\ntype = "sql"\nuri = "sqlite:///{home}/{name}/catalog.db"\n{more}')


def connections(home: Path, text: str) -> None:
    """Add connections to the home's connections.toml."""
    with (home / "connections.toml").open("a") as file:
        file.write(f"{text}\n")
