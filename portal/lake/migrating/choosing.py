"""Which tables of a catalog a job takes, and what each is called at the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from portal.errors import BadParameters
from portal.lake.catalogs.base import Catalog, found
from portal.lake.selection import is_pattern
from portal.lake.table_name import TableName, joined, parts
from portal.planning import names
from portal.stores.url import StoreURL


@dataclass(frozen=True)
class Place:
    """Where tables go."""

    catalog: Catalog
    target: StoreURL | None
    """The folder that namespaces and tables get folders in; None: the catalog's warehouse."""
    warehouse: str
    namespace: str
    """Of all tables, {db} being that of each at its source; '' just that."""

    def name(self, source: TableName) -> TableName:
        if not self.namespace:
            return source
        own = ".".join(source.namespace)
        levels = [source.namespace if level == "{db}" else (level.replace("{db}", own),) for level in parts(self.namespace)]
        return replace(source, namespace=tuple(chain.from_iterable(levels)))

    def folder(self, name: TableName) -> StoreURL:
        """Return the folder of a table at the target. Raises BadParameters when it cannot have one there."""
        if own := self.catalog.folder(name):
            return self._only(name, own)
        base = self.target or (StoreURL.parse(self.warehouse) if self.warehouse else None)
        if base is None:
            raise BadParameters("Nobody says where the tables go.", hint="Name a target, or give the target catalog's connection a warehouse.")
        key = names.as_folder(base.key) + "/".join(_folder_name(level, name) for level in name.identifier)
        if why := names.refusal(base.scheme, key):
            raise BadParameters(f"{name} can have no folder {base.at(key)}: {why}", hint="Choose another target_namespace, or rename the table.")
        return base.at(key)

    def _only(self, name: TableName, own: str) -> StoreURL:
        """A catalog that is folders holds a table in one place alone."""
        place = StoreURL.parse(own)
        if self.target and not str(place).startswith(str(self.target).rstrip("/") + "/"):
            hint = "Leave target out, or name the catalog's warehouse."
            raise BadParameters(f"The catalog {self.catalog.label} can hold {name} only in {own}, which is not below {self.target}.", hint=hint)
        return place


def _folder_name(level: str, name: TableName) -> str:
    if "/" in level or level in (".", ".."):
        raise BadParameters(f"{name} can have no folder: {level!r} is no name of one.", hint="Rename the table at the source.")
    return level


def chosen(catalog: Catalog, wanted: Sequence[str]) -> tuple[list[TableName], list[str]]:
    """Return the tables that names and patterns mean, sorted, and the patterns that mean none. A name is taken for a table without looking.

    Raises BadParameters for what is no name."""
    try:
        plain = {TableName.parse(text) for text in wanted if not is_pattern(text)}
        patterns = [text for text in wanted if is_pattern(text)]
        matched, missing = found(catalog, patterns) if patterns else ([], [])
    except ValueError as error:
        raise BadParameters(str(error)) from error
    return sorted(plain | set(matched)), missing


def clashes(sources: Sequence[TableName], place: Place) -> dict[TableName, str]:
    """Return of each table that cannot be taken why: another one before it is called the same at the target, or has a folder around its own."""
    names = {source: tuple(level.lower() for level in place.name(source).identifier) for source in sources}
    taken: dict[tuple[str, ...], TableName] = {}
    for source, name in names.items():
        taken.setdefault(name, source)
    found: dict[TableName, str] = {}
    for source, name in names.items():
        if taken[name] != source:
            same = f"{taken[name]} would be called {joined(name)} in the target catalog, too"
            found[source] = f"{same}: give each a target_namespace in a job of its own"
        elif outer := next((taken[name[:levels]] for levels in range(1, len(name)) if name[:levels] in taken), None):
            found[source] = f"its folder would lie in that of {outer}, which has the name of its namespace: give it a target_namespace of its own"
    return found
