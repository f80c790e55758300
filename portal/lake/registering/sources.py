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
from portal.lake.registering import limits
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
    def sequence(self) -> int:
        """Grows with each commit; 0 in Iceberg's first format, which has none."""
        return int(self.metadata.get("last-sequence-number") or 0)

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


def log(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield the metadata files that a table had before."""
    yield from (str(entry["metadata-file"]) for entry in metadata.get("metadata-log") or ())
