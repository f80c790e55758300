"""Which tables are to be registered, and what their metadata files say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.errors import NotFound, PortalError
from portal.lake.catalogs.base import Catalog, found
from portal.lake.catalogs.files import Files
from portal.lake.iceberg.paths import read_path
from portal.lake.iceberg.reading import read_metadata
from portal.lake.registering import limits, places
from portal.lake.registering.places import Place
from portal.lake.selection import is_pattern
from portal.lake.table_name import TableName
from portal.stores.url import StoreURL


@dataclass(frozen=True)
class Table:
    """An Iceberg table by its current metadata file."""

    name: TableName
    location: str
    """Of the metadata file, as it is written where it was found."""
    metadata: Mapping[str, Any]

    @property
    def url(self) -> StoreURL:
        return read_path(self.location)

    @property
    def uuid(self) -> str:
        return str(self.metadata.get("table-uuid", ""))

    @property
    def snapshot_id(self) -> str:
        snapshot = limits.snapshot(self.metadata)
        return str(snapshot["snapshot-id"]) if snapshot else ""


def listed(catalog: Catalog, patterns: Sequence[str]) -> tuple[list[TableName], list[str]]:
    """Return the tables that names and patterns mean, and the patterns that mean none. A name is itself, whether the catalog has it or not."""
    exact = [TableName.parse(text) for text in patterns if not is_pattern(text)]
    wild = [text for text in patterns if is_pattern(text)]
    names, unmatched = found(catalog, wild) if wild else ([], [])
    return sorted({*exact, *names}), unmatched


def read(files: Files, name: TableName, location: str) -> Table:
    """Raises NotFound, TableBroken, TableRefused, AccessDenied, Unreachable."""
    return Table(name, location, read_metadata(files, location))


def earlier(files: Files, url: StoreURL) -> Mapping[str, Any] | None:
    """Return the metadata that Snowflake has of a table, None when its file is gone or cannot be read."""
    try:
        return read_metadata(files, str(url))
    except NotFound:
        return None
    except PortalError as error:
        if error.retryable:
            raise
        return None


def is_newer(known: Mapping[str, Any], location: str, table: Table) -> bool:
    """Tell whether metadata that Snowflake has of a table, from the file at `location`, is a later state than `table`.

    What each lists as the files before it says so surely. Those lists are cut off at some length, so then the number of commits counts, and for
    equal ones (format 1 has none, and a change of the schema alone is none) the clock of who wrote them.
    """
    if logged(known, Place.of(table.url)):
        return True
    if logged(table.metadata, places.told(location)):
        return False
    return _age(known) > _age(table.metadata)


def _age(metadata: Mapping[str, Any]) -> tuple[int, int]:
    return int(metadata.get("last-sequence-number") or 0), int(metadata["last-updated-ms"])


def logged(metadata: Mapping[str, Any], file: Place | None) -> bool:
    """Tell whether a metadata file is one that a table had before."""
    return file is not None and any(Place.of_file(path) == file for path in _log(metadata))


def _log(metadata: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(entry["metadata-file"]) for entry in metadata.get("metadata-log") or ())
