"""What the catalogs that pyiceberg lists have in common."""

from __future__ import annotations

from typing import Generic, TypeVar

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError

from portal.lake.catalogs.base import Namespace, every_namespace
from portal.lake.catalogs.troubles import translated
from portal.lake.table_name import TableName, joined

Inner = TypeVar("Inner", bound=Catalog)


class Listed(Generic[Inner]):
    """The part of `base.Catalog` that is the same in REST and in a database."""

    def __init__(self, inner: Inner, label: str) -> None:
        self._inner, self.label = inner, label

    def namespaces(self) -> list[Namespace]:
        with translated("Listing namespaces", self.label):
            return every_namespace(self._inner.list_namespaces)

    def tables(self, namespace: Namespace) -> list[TableName]:
        with translated(f"Listing the tables of {joined(namespace)}", self.label):
            return sorted(TableName(tuple(name[:-1]), name[-1]) for name in self._inner.list_tables(namespace))

    def folder(self, name: TableName) -> str:
        return ""

    def create_namespace(self, namespace: Namespace) -> None:
        with translated(f"Creating the namespace {joined(namespace)}", self.label):
            try:
                self._inner.create_namespace(namespace)
            except NamespaceAlreadyExistsError:
                return
