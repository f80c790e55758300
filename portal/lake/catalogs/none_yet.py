"""A catalog that is not there yet: what a dry run looks at where the run itself would make one."""

from __future__ import annotations

from portal.errors import CatalogError, NotFound
from portal.lake.catalogs.base import Namespace
from portal.lake.table_name import TableName


class NoneYet:
    """See `base.Catalog`: it holds nothing and takes nothing."""

    def __init__(self, label: str) -> None:
        self.label = label

    def namespaces(self) -> list[Namespace]:
        return []

    def tables(self, namespace: Namespace) -> list[TableName]:
        raise NotFound(f"There is no catalog {self.label} yet.")

    def metadata_location(self, name: TableName) -> str:
        raise NotFound(f"There is no catalog {self.label} yet.")

    def folder(self, name: TableName) -> str:
        return ""

    def create_namespace(self, namespace: Namespace) -> None:
        raise CatalogError(f"There is no catalog {self.label} yet.")

    def register(self, name: TableName, metadata_location: str) -> str:
        raise CatalogError(f"There is no catalog {self.label} yet.")

    def replace(self, name: TableName, was: str, becomes: str) -> str:
        raise CatalogError(f"There is no catalog {self.label} yet.")

    def close(self) -> None:
        pass
