"""Opens the catalog that a connection describes. What each kind needs is imported only when one is opened."""

from __future__ import annotations

import importlib

from portal.connections import CatalogConnection
from portal.errors import SettingError
from portal.lake import packages
from portal.lake.catalogs.base import Catalog
from portal.lake.catalogs.files import Files

_MODULES = {name: f"portal.lake.catalogs.{name}" for name in ("hive", "rest", "sql", "hadoop")}
"""By type of catalog; each module has `open_catalog(connection, files, create)`."""


def open_catalog(connection: CatalogConnection, files: Files, *, create: bool = False) -> Catalog:
    """Open a catalog. `create`: make the tables of a sql catalog when its database has none yet.

    Raises SettingError (packages or fields are missing), CatalogError, AccessDenied, Unreachable."""
    packages.need("pyiceberg")
    if connection.type != "hadoop" and not connection.uri:
        hint = "Set HIVE_METASTORE_URI=thrift://HOST:9083 in .env, or add a connection of kind catalog to connections.toml and name it."
        raise SettingError(f"The {connection.type} catalog has no uri.", hint=hint)
    catalog: Catalog = importlib.import_module(_MODULES[connection.type]).open_catalog(connection, files, create)
    return catalog
