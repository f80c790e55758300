"""Iceberg tables of a Hive Metastore: a table's parameters say where its metadata is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from hive_metastore.ttypes import EnvironmentContext, InvalidObjectException, MetaException, UnlockRequest
from pyiceberg.catalog.hive import HiveCatalog, _HiveClient
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from thrift.transport import TSocket, TTransport

from portal.connections import CatalogConnection
from portal.errors import CatalogError, NotFound, TableChanged, Unreachable
from portal.lake.catalogs.base import Namespace
from portal.lake.catalogs.file_io import PortalIO
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.troubles import told, translated
from portal.lake.table_name import TableName

_TIMEOUT_S = 60.0
_CONNECT_S = 10.0
_LOCATION, _PREVIOUS, _TYPE = "metadata_location", "previous_metadata_location", "table_type"
_AT_A_TIME = 200


def open_catalog(connection: CatalogConnection, files: Files, create: bool) -> HiveTables:
    uri = _answering(connection.uris, connection.label)
    properties: dict[str, Any] = {**connection.properties, "uri": uri, "hive.kerberos-authentication": str(connection.kerberos).lower(),
                                  "hive.kerberos-service-name": connection.kerberos_service}  # fmt: skip
    if connection.user:
        properties["ugi"] = connection.user
    with translated("Opening it", connection.label):
        return HiveTables(_Metastore(files, properties), connection.label)


def _answering(uris: list[str], label: str) -> str:
    """Return the first address at which somebody listens. Raises Unreachable."""
    problem: OSError | None = None
    for uri in uris:
        place = urlsplit(uri)
        try:
            with socket.create_connection((place.hostname or "", place.port or 9083), _CONNECT_S):
                return uri
        except OSError as error:
            problem = error
    hint = "Check the uri of the catalog's connection, and that the metastore runs."
    raise Unreachable(f"The metastore {label} does not answer: {problem}", hint=hint) from problem


class _Client(_HiveClient):
    """pyiceberg's, which would wait for ever for a metastore that hangs."""

    def _init_thrift_transport(self) -> Any:
        place = urlsplit(self._uri)
        plain = TSocket.TSocket(place.hostname, place.port or 9083)
        plain.setTimeout(_TIMEOUT_S * 1000)
        if not self._kerberos_auth:
            return TTransport.TBufferedTransport(plain)
        return TTransport.TSaslClientTransport(plain, host=place.hostname, service=self._kerberos_service_name)


class _Metastore(HiveCatalog):
    def __init__(self, files: Files, properties: dict[str, Any]) -> None:
        super().__init__("hive", **properties)
        self._files = files

    @staticmethod
    def _create_hive_client(properties: dict[str, str]) -> _HiveClient:
        kerberos = properties["hive.kerberos-authentication"] == "true"
        return _Client(properties["uri"], properties.get("ugi"), kerberos, properties["hive.kerberos-service-name"])

    def _load_file_io(self, properties: Any = None, location: str | None = None) -> PortalIO:
        return PortalIO(self._files)

    def client(self) -> _HiveClient:
        """A connection of its own: pyiceberg's is for one thread."""
        return self._create_hive_client(self.properties)


class HiveTables:
    """See `base.Catalog`."""

    def __init__(self, inner: _Metastore, label: str) -> None:
        self._inner, self.label = inner, label

    def namespaces(self) -> list[Namespace]:
        with self._asking("Listing databases") as client:
            return sorted((str(name),) for name in client.get_all_databases())

    def tables(self, namespace: Namespace) -> list[TableName]:
        database = _database(namespace)
        with self._asking(f"Listing the tables of {database}") as client:
            names = sorted(client.get_all_tables(database))
            found: list[TableName] = []
            for start in range(0, len(names), _AT_A_TIME):
                some = client.get_table_objects_by_name(database, names[start : start + _AT_A_TIME])
                found += [TableName((database,), table.tableName) for table in some if _is_iceberg(table)]
        return sorted(found)

    def metadata_location(self, name: TableName) -> str:
        with self._asking(f"Looking up {name}") as client:
            return self._location(client, name)

    def _location(self, client: Any, name: TableName) -> str:
        try:
            table = self._inner._get_hive_table(client, _database(name.namespace), name.table)
        except NoSuchTableError:
            raise NotFound(f"There is no table {name} in the catalog {self.label}.") from None
        if not _is_iceberg(table) or not table.parameters.get(_LOCATION):
            raise CatalogError(f"{name} is a Hive table and no Iceberg table.", hint="Bring it over with ingest_hive first.")
        return str(table.parameters[_LOCATION])

    def folder(self, name: TableName) -> str:
        return ""

    def create_namespace(self, namespace: Namespace) -> None:
        with translated(f"Creating the database {_database(namespace)}", self.label):
            try:
                self._inner.create_namespace(namespace)
            except NamespaceAlreadyExistsError:
                return

    def register(self, name: TableName, metadata_location: str) -> str:
        with self._folders_reached(name), translated(f"Registering {name}", self.label):
            try:
                self._inner.register_table(name.identifier, metadata_location)
            except InvalidObjectException as error:
                raise NotFound(f"There is no database {_database(name.namespace)} in the catalog {self.label}.") from error
        return metadata_location

    def replace(self, name: TableName, was: str, becomes: str) -> str:
        metadata = FromInputFile.table_metadata(PortalIO(self._inner._files).new_input(becomes))
        database = _database(name.namespace)
        with self._folders_reached(name), self._asking(f"Committing to {name}") as client:
            lock = client.lock(self._inner._create_lock_request(database, name.table))
            try:  # Iceberg's own rule: who changes where a table's metadata is holds the metastore's lock of that table
                self._inner._wait_for_lock(database, name.table, lock.lockid, client)
                if self._location(client, name) != was:
                    raise TableChanged(f"{name} was changed in the catalog {self.label} meanwhile.", hint="Run it again.")
                self._point(client, name, was, becomes, metadata)
            finally:
                client.unlock(UnlockRequest(lockid=lock.lockid))
        return becomes

    def _point(self, client: Any, name: TableName, was: str, becomes: str, metadata: TableMetadata) -> None:
        database = _database(name.namespace)
        table = client.get_table(database, name.table)
        told_by_table = {key: str(value) for key, value in metadata.properties.items()}
        table.parameters = {**table.parameters, **told_by_table, _TYPE: "ICEBERG", "EXTERNAL": "TRUE", _LOCATION: becomes, _PREVIOUS: was}
        staged = Table(name.identifier, metadata, becomes, PortalIO(self._inner._files), self._inner)
        table.sd = self._inner._convert_iceberg_into_hive(staged).sd
        context = EnvironmentContext(properties={"DO_NOT_UPDATE_STATS": "true"})
        client.alter_table_with_environment_context(database, name.table, table, context)

    @contextmanager
    def _asking(self, what: str) -> Iterator[Any]:
        with translated(what, self.label), self._inner.client() as client:
            yield client

    @contextmanager
    def _folders_reached(self, name: TableName) -> Iterator[None]:
        """A metastore looks at a table's folder itself, and many know no abfss://."""
        try:
            yield
        except CatalogError as error:
            if isinstance(error.__cause__, MetaException) and "FileSystem" in str(error.__cause__.message):
                said = told(error.__cause__)
                hint = "Give the metastore the libraries and keys of that store (hadoop-azure), or register in a sql or rest catalog instead."
                raise CatalogError(f"The metastore {self.label} cannot look at the folder of {name}: {said}", hint=hint) from None
            raise

    def close(self) -> None:
        pass  # each question has a connection of its own


def _is_iceberg(table: Any) -> bool:
    return str((table.parameters or {}).get(_TYPE, "")).lower() == "iceberg"


def _database(namespace: Namespace) -> str:
    if len(namespace) != 1:
        raise NotFound(f"A metastore has no namespaces of several levels: {'.'.join(namespace)}.")
    return namespace[0]
