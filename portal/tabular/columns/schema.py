"""The frozen schema of a conversion: its columns in order, each with its type and the reason for it; and the document that keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.columns import column_types, type_names
from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.deciding import Guess
from portal.tabular.columns.holding import holds
from portal.tabular.options import ConvertOptions

_DOCUMENT = "portal-schema-1"
ASKED_NOTE = "type as asked for"


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

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @classmethod
    def from_arrow(cls, schema: pa.Schema) -> Schema:
        """Return the schema of an existing Parquet file, as asked for. Types that store the same values are one (see `column_types.of_arrow`)."""
        return cls(tuple(Column(field.name, column_types.of_arrow(field.type), ASKED_NOTE, True) for field in schema))

    def to_json(self) -> str:
        """Return the document that stands beside a result: `from_json` gives the schema back."""
        columns = [
            {"name": column.name, "type": type_names.name_of(column.type), "note": column.note, "asked": column.asked} for column in self.columns
        ]
        return json.dumps({"format": _DOCUMENT, "columns": columns, "warnings": list(self.warnings)}, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Return the schema of a document. A column needs a `name` and a `type`; without `asked` it is as asked for. Raises ConversionFailed."""
        try:
            document = json.loads(text)
            rows, warnings = document["columns"], tuple(str(warning) for warning in document.get("warnings", ()))
            pairs = [(str(row["name"]), str(row["type"]), row) for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            other = "it is no JSON" if isinstance(error, ValueError) else "it has another form"
            wrong = f"{error} is missing" if isinstance(error, KeyError) else other
            raise ConversionFailed(
                f"The schema cannot be read: {wrong}.", hint='It is JSON like {"columns": [{"name": "a", "type": "int64"}]}.'
            ) from None
        _refuse_twice([name for name, _, _ in pairs])
        columns = [
            Column(name, type_names.parse(kind, name), str(row.get("note", ASKED_NOTE)), row.get("asked") is not False) for name, kind, row in pairs
        ]
        return cls(tuple(columns), warnings)

    def fitted(self, names: Sequence[str]) -> Schema:
        """Return the schema with its columns in the order of a source's names. Raises ConversionFailed unless the names are the same."""
        mine = {column.name: column for column in self.columns}
        if missing := [name for name in mine if name not in names]:
            raise ConversionFailed(f"The schema has the column {missing[0]!r}, the source does not.", hint=f"Columns: {', '.join(names[:30])}.")
        if strange := [name for name in names if name not in mine]:
            raise ConversionFailed(f"The source has the column {strange[0]!r}, the schema does not.", hint=f"Columns: {', '.join([*mine][:30])}.")
        return replace(self, columns=tuple(mine[name] for name in names))

    def holds(self, other: Schema, *, texts: bool | None = None) -> bool:
        """Tell whether every record that fits another schema of the same source surely fits this one.

        Arguments:
            texts: True when all values are texts in the source (CSV), False when they have types there (JSON), None when nobody knows: what
                holds of both is told then.
        """
        return holds([(c.name, c.type, c.asked) for c in self.columns], [(c.name, c.type, c.asked) for c in other.columns], texts)


def asked_columns(options: ConvertOptions, names: Sequence[str]) -> dict[str, Column]:
    """Return the columns whose types are set by the options: by a schema document all, else those of `types`. Raises ConversionFailed for
    names that the source does not have, and types that nobody knows."""
    if options.schema_document:
        return {column.name: column for column in Schema.from_json(options.schema_document).fitted(names).columns}
    if strange := [column for column in options.types if column not in names]:
        raise ConversionFailed(f"There is no column {strange[0]!r} to give a type to.", hint=f"Columns: {', '.join(names[:30])}.")
    return {column: Column(column, type_names.parse(name, column), ASKED_NOTE, True) for column, name in options.types.items()}


def schema_of(names: Iterable[str], asked: Mapping[str, Column], guesses: Mapping[str, Guess], warnings: Sequence[str] = ()) -> Schema:
    """Put a schema together: what was asked for, and guesses for the other columns; what changes or loses a meaning is a warning too."""
    columns = tuple(asked.get(name) or Column(name, guesses[name].type, guesses[name].note) for name in names)
    return Schema(columns, (*warnings, *(f"Column {c.name!r}: {c.note}." for c in columns if _is_warning(c.note))))


def _is_warning(note: str) -> bool:
    return any(words in note for words in ("kept as text", "rounded", "set date_order"))


def _refuse_twice(names: list[str]) -> None:
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            raise ConversionFailed(f"The schema has the column {name!r} twice.", hint="Leave one out.")
        seen.add(name)
