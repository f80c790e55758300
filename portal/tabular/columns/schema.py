"""The frozen schema of a conversion: its columns in order, each with its type and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from portal.tabular.column_types import ColumnType


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a schema."""

    name: str
    type: ColumnType
    note: str = ""
    """Why the type is what it is, and what a reader should know."""
    asked: bool = False
    """The type was set by the user or a given schema, not inferred."""


@dataclass(frozen=True, slots=True)
class Schema:
    """All columns of a table."""

    columns: tuple[Column, ...]
    warnings: tuple[str, ...] = ()

    @property
    def arrow(self) -> pa.Schema:
        return pa.schema([pa.field(column.name, column.type.arrow) for column in self.columns])
