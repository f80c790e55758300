"""The small interface that every catalog has. Tables are known by the place of their metadata file; reading that is others' work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from portal.errors import CatalogError
from portal.lake.selection import chosen, is_pattern
from portal.lake.table_name import TableName, parts

Namespace = tuple[str, ...]
_MOST_LEVELS, _MOST_NAMESPACES = 20, 100_000
"""Beyond them is no catalog that anybody keeps, but a server that answers without end."""


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


def every_namespace(below: Callable[[Namespace], Iterable[Sequence[str]]]) -> list[Namespace]:
    """Return the namespaces of all levels, in order, where `below` tells those in one. What it repeats or tells of another one is left out.

    Raises CatalogError when there is no end to them."""
    known: set[Namespace] = set()
    waiting: list[Namespace] = [()]
    while waiting:
        parent = waiting.pop()
        fresh = {tuple(name) for name in below(parent)} - known
        children = [name for name in fresh if len(name) > len(parent) and name[: len(parent)] == parent]
        if any(len(name) > _MOST_LEVELS for name in children):
            raise CatalogError(f"The catalog has namespaces of more than {_MOST_LEVELS} levels: there may be no end to them.")
        known.update(children)
        if len(known) > _MOST_NAMESPACES:
            raise CatalogError(f"The catalog has more than {_MOST_NAMESPACES:,} namespaces: there may be no end to them.")
        waiting += children
    return sorted(known)


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
