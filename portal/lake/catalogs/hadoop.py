"""A catalog that is nothing but folders: `warehouse/namespace/table/metadata/vN.metadata.json`, and a hint which N is the latest.

Who writes the next vN first has committed: the file must not be there yet. S3, ADLS and local disks all refuse a second one."""

from __future__ import annotations

import gzip
import re

from portal.connections import CatalogConnection
from portal.errors import AlreadyExists, CatalogError, NotFound, TableChanged
from portal.lake.catalogs.base import Namespace
from portal.lake.catalogs.files import Files
from portal.lake.iceberg.paths import identity, read_path
from portal.lake.iceberg.reading import parsed
from portal.lake.table_name import STAGING, TableName, joined

_VERSION = re.compile(r"v(\d+)(?:\.gz)?\.metadata\.json(?:\.gz)?")
_HINT = "version-hint.text"


def open_catalog(connection: CatalogConnection, files: Files, create: bool) -> HadoopTables:
    return HadoopTables(connection.warehouse, files, connection.label)


class HadoopTables:
    """See `base.Catalog`."""

    def __init__(self, warehouse: str, files: Files, label: str) -> None:
        self._warehouse, self._files, self.label = warehouse.rstrip("/"), files, label

    def namespaces(self) -> list[Namespace]:
        return sorted(self._namespaces(()))

    def _namespaces(self, parent: Namespace) -> list[Namespace]:
        found: list[Namespace] = []
        folders = self._folders(parent)
        being_made = {name.rpartition(STAGING)[0] for name in folders}  # a table whose first files are there, and nothing else yet
        for name in folders:
            each = (*parent, name)
            if name not in being_made and not self._is_table(each):
                found += [each, *self._namespaces(each)]
        return found

    def tables(self, namespace: Namespace) -> list[TableName]:
        return sorted(TableName(namespace, name) for name in self._folders(namespace) if self._is_table((*namespace, name)))

    def _folders(self, parent: Namespace) -> list[str]:
        try:
            folders, _ = self._files.below(self._url(parent))
        except NotFound as error:
            raise NotFound(f"There is no namespace {joined(parent) or self._warehouse} in the catalog {self.label}.") from error
        return [name for name in folders if not name.startswith((".", "_"))]

    def _is_table(self, levels: Namespace) -> bool:
        return bool(self._versions(levels))

    def _versions(self, levels: Namespace) -> dict[int, str]:
        """Return the metadata files of a table by their numbers."""
        try:
            _, files = self._files.below(f"{self._url(levels)}/metadata")
        except NotFound:
            return {}
        names = [info.key.rpartition("/")[2] for info in files]
        return {int(match[1]): name for name in names if (match := _VERSION.fullmatch(name))}

    def metadata_location(self, name: TableName) -> str:
        """The latest number counts: the hint may be old, for it is written after the commit."""
        versions = self._versions(name.identifier)
        if not versions:
            raise NotFound(f"There is no table {name} in the catalog {self.label}.")
        return f"{self._url(name.identifier)}/metadata/{versions[max(versions)]}"

    def folder(self, name: TableName) -> str:
        return self._url(name.identifier)

    def create_namespace(self, namespace: Namespace) -> None:
        return  # a folder is there when something is in it

    def register(self, name: TableName, metadata_location: str) -> str:
        if self._versions(name.identifier):
            raise AlreadyExists(f"There is a table {name} in the catalog {self.label} already.")
        return self._commit(name, 1, metadata_location)

    def replace(self, name: TableName, was: str, becomes: str) -> str:
        current = self.metadata_location(name)
        if not _same(current, was):
            raise TableChanged(f"{name} was changed in the catalog {self.label} meanwhile.", hint="Run it again.")
        # Not one more than what is there by now: the next after the one that was meant is free, or another has committed.
        return self._commit(name, _number(current) + 1, becomes)

    def _commit(self, name: TableName, number: int, metadata_location: str) -> str:
        data = self._files.read(metadata_location)
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        self._refuse_elsewhere(name, data)
        place = f"{self._url(name.identifier)}/metadata"
        try:
            self._files.write(f"{place}/v{number}.metadata.json", data)
        except AlreadyExists as error:
            raise TableChanged(f"{name} was changed in the catalog {self.label} meanwhile.", hint="Run it again.") from error
        self._files.write(f"{place}/{_HINT}", str(number).encode(), overwrite=True)
        return f"{place}/v{number}.metadata.json"

    def _refuse_elsewhere(self, name: TableName, data: bytes) -> None:
        location = str(parsed(data, str(name))["location"]).rstrip("/")
        if not _same(location, self.folder(name)):
            raise CatalogError(f"{name} lies in {location}, and the catalog {self.label} can hold it only in {self.folder(name)}.")

    def _url(self, levels: Namespace) -> str:
        return "/".join([self._warehouse, *levels])

    def close(self) -> None:
        pass


def _number(location: str) -> int:
    match = _VERSION.fullmatch(location.rpartition("/")[2])
    return int(match[1]) if match else 0


def _same(one: str, other: str) -> bool:
    return identity(read_path(one)) == identity(read_path(other))
