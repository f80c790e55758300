"""What a person chooses tables from: the databases of a catalog, the tables in one, and where else each of them is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from portal.connections import CatalogConnection, Connections, SnowflakeConnection
from portal.errors import CatalogError, NotFound, PortalError, SettingError, explain
from portal.lake import packages
from portal.lake.catalogs.base import Catalog
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.opening import open_catalog
from portal.lake.hive.metastore import Metastore
from portal.lake.hive.table import HiveTable
from portal.lake.iceberg.reading import parsed
from portal.lake.lag import behind, snapshot
from portal.lake.registering.sql_text import text
from portal.lake.table_name import TableName, joined, parts
from portal.warehouse import Warehouse
from portal.warehouse_names import identifier

_AT_A_TIME = 8
_SNOWFLAKE_S = 20
_MOST_SHOWN = 10_000
_MOST_BYTES = 64 << 20
"""A metadata file that is larger is left to the engines."""
HIVE = "hive"


@dataclass(frozen=True)
class Listed:
    """A table as its catalog lists it."""

    name: TableName
    what: str
    """Kind, format and partition columns in words."""
    is_iceberg: bool = False
    on_files: bool = False
    """A table of Hive's own on files, which can become an Iceberg table."""


@dataclass(frozen=True)
class There:
    """A table in another catalog: its current snapshot, and how many snapshots it is behind its source (None: the two have gone apart)."""

    snapshot_id: str = ""
    behind: int | None = None
    compared: bool = False
    """False while `behind` tells nothing: there is no source to compare with."""
    problem: str = ""
    """Why its metadata cannot be read."""


def databases(connections: Connections, catalog: str) -> list[str]:
    """Return the namespaces of a catalog, dotted. Raises SettingError, CatalogError, AccessDenied, Unreachable."""
    with _opened(connections, catalog) as (found, _):
        return [joined(namespace) for namespace in found.namespaces()]


def names(connections: Connections, catalog: str, database: str) -> list[TableName]:
    """Return what a namespace holds, sorted, of a metastore everything; none when there is no such namespace. Raises what `databases` raises."""
    connection: CatalogConnection = connections.get("catalog", catalog)
    if connection.type != HIVE:
        return iceberg_tables(connections, catalog, database)
    packages.need("pyiceberg")
    own = parts(database)[0]
    try:
        with Metastore.of(connection) as metastore:
            return [TableName((own,), table) for table in metastore.table_names(own)]
    except NotFound:
        return []


def described(connections: Connections, catalog: str, wanted: Sequence[TableName]) -> list[Listed]:
    """Tell what tables are, in the order asked for; one that was dropped meanwhile is left out. Raises what `databases` raises."""
    connection: CatalogConnection = connections.get("catalog", catalog)
    if connection.type != HIVE:
        return [Listed(name, "Iceberg", is_iceberg=True) for name in wanted]
    packages.need("pyiceberg")
    with Metastore.of(connection) as metastore:
        found = {table.name: _of_hive(table) for table in metastore.tables(wanted)}
    return [found[name] for name in wanted if name in found]


def iceberg_tables(connections: Connections, catalog: str, namespace: str) -> list[TableName]:
    """Return the Iceberg tables of a namespace; none when there is no such namespace. Raises what `databases` raises."""
    with _opened(connections, catalog) as (found, _):
        try:
            return found.tables(tuple(parts(namespace)))
        except NotFound:
            return []


def _of_hive(table: HiveTable) -> Listed:
    words = ["external" if table.kind == "external" else "", table.format or "unknown format"] if table.on_files else [table.kind]
    keys = ", ".join(key.name for key in table.partition_keys)
    told = " ".join(word for word in words if word) + (f" by {keys}" if keys and table.on_files else "")
    return Listed(table.name, told + (", transactional" if table.transactional else ""), table.kind == "iceberg", table.on_files)


@contextmanager
def _opened(connections: Connections, name: str) -> Iterator[tuple[Catalog, Files]]:
    connection: CatalogConnection = connections.get("catalog", name)
    files = Files.of(connection, connections.get)
    try:
        catalog = open_catalog(connection, files)
        try:
            yield catalog, files
        finally:
            catalog.close()
    finally:
        files.close()


def where(connections: Connections, source: str, target: str, pairs: Mapping[TableName, TableName]) -> dict[TableName, There]:
    """Tell of each table of a source catalog how its copy in a target catalog is doing.

    Args:
        source, target: names of the two connections.
        pairs: name in the target by name in the source; only those whose copy is there are in the answer.

    Raises: what `databases` raises. One table that cannot be read is told of in its own answer.
    """
    with _opened(connections, source) as (ours, our_files), _opened(connections, target) as (theirs, their_files):
        known = _present(theirs, list(pairs.values()))
        present = [(name, copy) for name, copy in pairs.items() if copy in known]

        def one(pair: tuple[TableName, TableName]) -> There:
            return _compared(ours, our_files, theirs, their_files, *pair)

        with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="lag") as pool:
            return dict(zip((name for name, _ in present), pool.map(one, present), strict=True))


def _present(catalog: Catalog, names: Sequence[TableName]) -> set[TableName]:
    found: set[TableName] = set()
    for namespace in {name.namespace for name in names}:
        try:
            found |= set(catalog.tables(namespace))
        except NotFound:
            continue
    return found


def _compared(ours: Catalog, our_files: Files, theirs: Catalog, their_files: Files, name: TableName, copy: TableName) -> There:
    try:
        target = _metadata(theirs, their_files, copy)
    except PortalError as problem:
        return There(problem=explain(problem).partition("\n")[0])
    try:
        source = _metadata(ours, our_files, name)
    except NotFound:
        return There(snapshot(target))
    except PortalError as problem:
        return There(snapshot(target), problem=explain(problem).partition("\n")[0])
    return There(snapshot(target), behind(source, target), compared=True)


def _metadata(catalog: Catalog, files: Files, name: TableName) -> Mapping[str, Any]:
    location = catalog.metadata_location(name)
    if (size := files.stat(location).size_bytes) > _MOST_BYTES:
        raise CatalogError(f"The metadata of {name} has {size >> 20:,} MiB, too much to look at here.")
    return parsed(files.read(location), location)


def registered(connections: Connections, connection: str, database: str, schema: str) -> set[str]:
    """Return the names of the Iceberg and external tables of a schema in Snowflake.

    Raises SettingError, AccessDenied, WarehouseError, Unreachable.
    """
    account: SnowflakeConnection = connections.get("snowflake", connection)
    if not account.account:
        raise SettingError("Snowflake is not configured.", hint="Set SNOWFLAKE_ACCOUNT and the credentials, or name a connection of kind snowflake.")
    place = f"{identifier(database or account.database)}.{identifier(schema or account.schema_name)}"
    found: set[str] = set()
    with Warehouse.connect(account, network_timeout_s=_SNOWFLAKE_S) as warehouse:
        for kind in ("ICEBERG", "EXTERNAL"):
            found |= _shown(warehouse, kind, place)
    return found


def _shown(warehouse: Warehouse, kind: str, place: str) -> set[str]:
    """Names of tables, page by page: Snowflake shows 10,000 rows at most, in the order of their names, and says nothing of the others."""
    found: set[str] = set()
    after = ""
    while True:
        sql = f"SHOW {kind} TABLES IN SCHEMA {place} LIMIT {_MOST_SHOWN}{after}"
        answer = warehouse.query(sql, what=f"List the {kind.lower()} tables of {place}")
        names = [str(row[1]) for row in answer.rows]
        if len(names) < _MOST_SHOWN or found.issuperset(names):
            return found.union(names)
        found.update(names)
        after = f" FROM {text(names[-1])}"
