"""An Iceberg catalog in a database: the tables that pyiceberg and Java's JdbcCatalog keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog as IcebergCatalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import TableAlreadyExistsError
from sqlalchemy import create_engine, inspect, select, text, update
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session

from portal.connections import CatalogConnection
from portal.errors import AlreadyExists, NotFound, SettingError, TableChanged
from portal.lake.catalogs.file_io import PortalIO
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.listed import Listed
from portal.lake.catalogs.troubles import translated
from portal.lake.table_name import TableName

_USUAL_NAME = "default"


def open_catalog(connection: CatalogConnection, files: Files, create: bool) -> SqlTables:
    label = connection.label
    url = _url(connection)
    if url.get_backend_name() == "sqlite" and not create and url.database and not Path(url.database).is_file():
        raise NotFound(f"There is no catalog at {connection.uri}: no such file.", hint="Check the uri of the catalog's connection.")
    with translated("Opening it", label):
        engine = create_engine(url, pool_pre_ping=True)
        try:
            names = _catalog_names(engine)
        finally:
            engine.dispose()
    if names is None and not create:
        raise NotFound(f"The database {connection.uri} holds no Iceberg catalog.", hint="Check the uri of the catalog's connection.")
    name = connection.properties.get("catalog-name") or (names[0] if names and len(names) == 1 else _USUAL_NAME)
    properties: dict[str, Any] = {**connection.properties, "uri": url.render_as_string(hide_password=False), "pool_pre_ping": "true"}
    if connection.warehouse:
        properties["warehouse"] = connection.warehouse
    with translated("Opening it", label):
        return SqlTables(_Tables(name, files, properties), label)


def _url(connection: CatalogConnection) -> URL:
    try:
        url = make_url(connection.uri)
        found = url.set(username=connection.user or None, password=connection.password.get_secret_value() or None)
        found.get_dialect().import_dbapi()
        return found
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        hint = "Write sqlite:////absolute/path.db or postgresql+psycopg2://HOST:5432/DATABASE, and install that database's driver."
        why = f": {error}" if isinstance(error, ImportError) else ""
        raise SettingError(f"The uri {connection.uri!r} leads to no database that can be used here{why}.", hint=hint) from error


def _catalog_names(engine: Engine) -> list[str] | None:
    """Return the names of the catalogs in a database; None when it has no table for them."""
    if not inspect(engine).has_table("iceberg_tables"):
        return None
    with engine.connect() as base:
        found = {str(name) for (name,) in base.execute(text("SELECT DISTINCT catalog_name FROM iceberg_tables"))}
        if inspect(engine).has_table("iceberg_namespace_properties"):
            found |= {str(name) for (name,) in base.execute(text("SELECT DISTINCT catalog_name FROM iceberg_namespace_properties"))}
    return sorted(found)


class _Tables(SqlCatalog):
    """pyiceberg's, with our files: neither the catalog nor a table's own properties choose what they are read with."""

    def __init__(self, name: str, files: Files, properties: dict[str, Any]) -> None:
        super().__init__(name, **properties)
        self._files = files

    def _load_file_io(self, properties: Any = None, location: str | None = None) -> PortalIO:
        return PortalIO(self._files)

    def load_table(self, identifier: Any) -> Any:
        return None  # what registers a table reads it again, with a reader of pyiceberg's own choice; nobody here asks for it


class SqlTables(Listed[_Tables]):
    """See `base.Catalog`."""

    def metadata_location(self, name: TableName) -> str:
        with translated(f"Looking up {name}", self.label), Session(self._inner.engine) as session:
            found = session.scalar(select(IcebergTables.metadata_location).where(*self._row(name)))
        if not found:
            raise NotFound(f"There is no table {name} in the catalog {self.label}.")
        return found

    def _row(self, name: TableName) -> tuple[Any, ...]:
        kind = self._inner._iceberg_type_filter()
        where = (
            IcebergTables.catalog_name == self._inner.name,
            IcebergTables.table_namespace == IcebergCatalog.namespace_to_string(name.namespace),
            IcebergTables.table_name == name.table,
        )
        return where if kind is None else (*where, kind)

    def register(self, name: TableName, metadata_location: str) -> str:
        with translated(f"Registering {name}", self.label):
            try:
                self._inner.register_table(name.identifier, metadata_location)
            except TableAlreadyExistsError:  # its cause is the database's own words
                hint = "Run it again: it looks at what is there now."
                raise AlreadyExists(f"{name} was registered in the catalog {self.label} by somebody else meanwhile.", hint=hint) from None
        return metadata_location

    def replace(self, name: TableName, was: str, becomes: str) -> str:
        change = (
            update(IcebergTables).where(*self._row(name), IcebergTables.metadata_location == was)
            .values(metadata_location=becomes, previous_metadata_location=was)
        )  # fmt: skip
        with translated(f"Committing to {name}", self.label), Session(self._inner.engine) as session:
            done = session.connection().execute(change).rowcount
            session.commit()
        if done != 1:
            raise TableChanged(f"{name} was changed or dropped in the catalog {self.label} meanwhile.", hint="Run it again.")
        return becomes

    def close(self) -> None:
        self._inner.engine.dispose()
