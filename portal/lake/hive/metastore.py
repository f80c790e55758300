"""Asks a Hive Metastore what there is: databases, tables, partitions. It only reads."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Self

from portal.connections_catalogs import CatalogConnection
from portal.errors import NotFound, PortalError, SettingError
from portal.lake.hive import reading
from portal.lake.hive.table import HivePartition, HiveTable
from portal.lake.hive.wire import ANSWER_S, Wire, is_broken, is_lacking, translated
from portal.lake.selection import chosen, matches
from portal.lake.table_name import TableName, parts

_FIRST_PART = re.compile(r"`(?:[^`]|``)+`|[^.`\s]+")
_TABLES_AT_A_TIME = 50
_PARTITIONS_AT_A_TIME = 500
"""Each comes with all columns of its own."""


class Metastore:
    """A metastore, for one thread. It connects when it is first asked, and again when a connection broke.

    Every method raises Unreachable (no address answers), AccessDenied, NotFound, CatalogError, or SettingError (packages are missing).
    """

    def __init__(
        self, uris: Sequence[str], *, user: str = "", kerberos: bool = False, service: str = "hive", answer_s: float = ANSWER_S
    ) -> None:  # fmt: skip
        self._uris = list(uris)
        self._open: Callable[[str], Wire] = partial(Wire, user=user, kerberos=kerberos, service=service, answer_s=answer_s)
        self._wire: Wire | None = None

    @classmethod
    def of(cls, connection: CatalogConnection) -> Self:
        """Raises SettingError when the connection leads to no metastore."""
        if connection.type != "hive" or not connection.uris:
            leads = f"it leads to a catalog of type {connection.type}" if connection.type != "hive" else "its uri is empty"
            hint = "Set HIVE_METASTORE_URI, or the uri of a catalog connection of type hive: thrift://HOST:9083."
            raise SettingError(f"The connection names no Hive Metastore: {leads}.", hint=hint)
        user = connection.user or connection.properties.get("ugi", "").partition(":")[0]
        return cls(connection.uris, user=user, kerberos=connection.kerberos, service=connection.kerberos_service)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def databases(self) -> list[str]:
        """Names of all databases, sorted."""
        return sorted(self._ask("list the databases", lambda wire: wire.client.get_all_databases()))

    def table_names(self, database: str) -> list[str]:
        """Names of everything that a database holds, views too, sorted."""
        found = self._ask(f"list the tables of {database}", lambda wire: wire.client.get_all_tables(database))
        return sorted(found)

    def find(self, patterns: Sequence[str]) -> tuple[list[TableName], list[str]]:
        """Return the tables that any of the names and patterns means, sorted, and those of them that mean none. Raises ValueError."""
        wanted = []
        for database in self.databases():
            inside = [pattern for pattern in patterns if _may_mean(pattern, database)]
            if not inside:
                continue
            with suppress(NotFound):  # it was dropped meanwhile
                wanted += chosen(inside, (TableName((database,), table) for table in self.table_names(database)))[0]
        return chosen(patterns, wanted)

    def table(self, name: TableName) -> HiveTable:
        """Return what is known of a table. Raises NotFound."""
        database, table = _two(name)

        def ask(wire: Wire) -> Any:
            return _newer(wire.client, database, table) or wire.client.get_table(database, table)

        return reading.table(self._ask(f"tell of the table {name}", ask))

    def tables(self, names: Sequence[TableName]) -> Iterator[HiveTable]:
        """Yield what is known of tables, fifty asked for at a time; one that was dropped meanwhile, its database too, is left out."""
        for each in _by_database(names):
            database = each[0].namespace[0]
            wanted = [name.table for name in each]
            found: list[Any] = []
            with suppress(NotFound):
                found = self._ask(f"tell of tables of {database}", partial(_objects, database, wanted))
            yield from sorted((reading.table(item) for item in found), key=lambda table: table.name)

    def partition_names(self, table: HiveTable) -> Iterator[str]:
        """Yield the names of a table's partitions in the metastore's order; they are kept in a temporary file, not in memory."""
        if not table.partition_keys:
            return
        database, name = _two(table.name)
        with tempfile.TemporaryFile() as kept:

            def ask(wire: Wire) -> None:
                kept.seek(0)
                kept.truncate()
                # No name holds a line feed: Hive escapes those.
                kept.writelines(text.encode() + b"\n" for text in wire.strings("get_partition_names", database, name, -1))

            self._ask(f"list the partitions of {table.name}", ask)
            kept.seek(0)
            for line in kept:
                yield line[:-1].decode()

    def partitions(self, table: HiveTable) -> Iterator[HivePartition]:
        """Yield a table's partitions with where and how each is kept, asked for by the hundreds; one that is dropped meanwhile is left out."""
        names = self.partition_names(table)
        while page := list(islice(names, _PARTITIONS_AT_A_TIME)):
            yield from self.partitions_named(table, page)

    def partitions_named(self, table: HiveTable, names: Sequence[str]) -> list[HivePartition]:
        """Return those of some partitions that there are, in the order of the names."""
        database, own = _two(table.name)
        found = self._ask(
            f"tell of partitions of {table.name}", lambda wire: wire.client.get_partitions_by_names(database, own, list(names))
        )  # fmt: skip
        place = {name: number for number, name in enumerate(names)}
        known = [reading.partition(item, table) for item in found]
        return sorted(known, key=lambda item: place.get(item.name, len(place)))

    def _ask(self, what: str, ask: Callable[[Wire], Any]) -> Any:
        """Ask the address that answered before, and, when it does not any more, all of them once."""
        problem: Exception | None = None
        for uri in [*([""] if self._wire else []), *self._uris]:
            try:
                return self._asked(uri, ask)
            except Exception as error:
                if not is_broken(error):
                    raise _told(error, what) from error
                problem = problem or (error if uri else None)
        raise _told(problem or OSError("it has no address"), what) from problem

    def _asked(self, uri: str, ask: Callable[[Wire], Any]) -> Any:
        """Ask an address, or with '' the one that is connected. After any trouble, what is left of an answer is thrown away with the wire."""
        try:
            self._wire = wire = self._wire if self._wire and not uri else self._open(uri)
            return ask(wire)
        except BaseException:
            self.close()
            raise


def _told(error: Exception, what: str) -> Exception:
    return error if isinstance(error, PortalError | ValueError) else translated(error, what)


def _two(name: TableName) -> tuple[str, str]:
    if len(name.namespace) != 1:
        raise NotFound(f"Hive has no table {name}: its names are database.table.")
    return name.namespace[0], name.table


def _may_mean(pattern: str, database: str) -> bool:
    """Tell whether a name or pattern of tables may mean some of a database. Raises ValueError."""
    if len(parts(pattern)) != 2:
        return False
    found = _FIRST_PART.match(pattern)
    return found is not None and matches(f"{found[0]}.x", TableName((database,), "x"))


def _by_database(names: Sequence[TableName]) -> Iterator[list[TableName]]:
    ordered = sorted(names)
    start = 0
    for place in range(1, len(ordered) + 1):
        if place == len(ordered) or place - start == _TABLES_AT_A_TIME or ordered[place].namespace != ordered[start].namespace:
            _two(ordered[start])
            yield ordered[start:place]
            start = place


def _newer(client: Any, database: str, table: str) -> Any:
    """Ask as Hive 3 and 4 want it, who do not tell of some tables otherwise; None where the metastore is older."""
    from hive_metastore.ttypes import ClientCapabilities, ClientCapability, GetTableRequest

    capabilities = ClientCapabilities([ClientCapability.INSERT_ONLY_TABLES])
    try:
        return client.get_table_req(GetTableRequest(dbName=database, tblName=table, capabilities=capabilities)).table
    except Exception as error:
        if is_lacking(error):
            return None
        raise


def _objects(database: str, tables: list[str], wire: Wire) -> Any:
    from hive_metastore.ttypes import ClientCapabilities, ClientCapability, GetTablesRequest

    capabilities = ClientCapabilities([ClientCapability.INSERT_ONLY_TABLES])
    try:
        return wire.client.get_table_objects_by_name_req(GetTablesRequest(dbName=database, tblNames=tables, capabilities=capabilities)).tables
    except Exception as error:
        if is_lacking(error):
            return wire.client.get_table_objects_by_name(database, tables)
        raise
