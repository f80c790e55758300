"""The small interface that every catalog has. Tables are known by the place of their metadata file; reading that is others' work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from portal.lake.selection import chosen, is_pattern
from portal.lake.table_name import TableName, parts

Namespace = tuple[str, ...]


class Catalog(Protocol):
    """A catalog, opened. All methods may raise CatalogError, AccessDenied, Unreachable."""

    label: str
    """What it is and where, for people."""

    def namespaces(self) -> list[Namespace]:
        """Return every namespace, of all levels, in order."""
        ...

    def tables(self, namespace: Namespace) -> list[TableName]:
        """Return the Iceberg tables of one namespace, in order. Raises NotFound."""
        ...

    def metadata_location(self, name: TableName) -> str:
        """Return where a table's current metadata file is, as the catalog spells it. Raises NotFound (no such table), CatalogError (no Iceberg)."""
        ...

    def folder(self, name: TableName) -> str:
        """Return the URL of the only folder in which the catalog can hold this table, '' when any will do."""
        ...

    def create_namespace(self, namespace: Namespace) -> None:
        """No error when it is there already."""
        ...

    def register(self, name: TableName, metadata_location: str) -> str:
        """Make a new table known; returns where its metadata file is then. Raises AlreadyExists, NotFound (the namespace)."""
        ...

    def replace(self, name: TableName, was: str, becomes: str) -> str:
        """Make another metadata file the table's, provided that it still has the one it had; returns where it is then. Raises TableChanged."""
        ...

    def close(self) -> None: ...


def found(catalog: Catalog, patterns: Sequence[str]) -> tuple[list[TableName], list[str]]:
    """Return the tables of a catalog that any pattern means, sorted, and the patterns that mean none. Raises ValueError for what is no name.

    Namespaces that no pattern can mean are not asked for their tables: some catalogs have thousands."""
    wanted = [parts(pattern) for pattern in patterns]
    known: list[TableName] = []
    for namespace in catalog.namespaces():
        if any(_may_hold(pattern, levels, namespace) for pattern, levels in zip(patterns, wanted, strict=True)):
            known += catalog.tables(namespace)
    return chosen(patterns, known)


def _may_hold(pattern: str, levels: list[str], namespace: Namespace) -> bool:
    if len(levels) != len(namespace) + 1:
        return False
    return is_pattern(pattern) or all(one.lower() == other.lower() for one, other in zip(levels, namespace, strict=False))
