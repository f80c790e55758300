"""One table, or many that become one: looked at together, and their schema decided on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.errors import ConversionFailed
from portal.tabular.columns.schema import Schema
from portal.tabular.conversion.opening import open_table
from portal.tabular.conversion.table import Readable
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Check, Chunk, Parsed
from portal.tabular.text.objects import Source


@dataclass(slots=True)
class Tables:
    """Tables of one schema. The first one's reader looks at the chunks of all: they must be read alike."""

    all: Sequence[Readable]

    @classmethod
    def opened(cls, sources: Sequence[Source], options: ConvertOptions, check: Check) -> Tables:
        """Raises as `open_table` does."""
        tables = []
        for source in sources:
            check()
            tables.append(open_table(source, options, check))
            if len(sources) > 1:
                tables[-1].forget()
        return cls(tables)

    @property
    def first(self) -> Readable:
        return self.all[0]

    @property
    def texts(self) -> bool | None:
        return {"csv": True, "json": False}.get(self.facts.get("format", ""))

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.first.facts

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(warning for table in self.all for warning in table.warnings))

    def samples(self) -> Iterator[Chunk]:
        for table in self.all:
            yield from table.samples()
            self._forget(table)

    def look(self, chunk: Chunk) -> None:
        self.first.look(chunk)

    def schema(self) -> Schema:
        return self.first.schema()

    def parsed_samples(self, schema: Schema) -> Iterator[Parsed]:
        for table in self.all:
            yield from table.parsed_samples(schema)
            self._forget(table)

    def _forget(self, table: Readable) -> None:
        """The samples of one file are not worth reading twice; those of a thousand are too much to hold."""
        if len(self.all) > 1:
            table.forget()

    def scan(self, schema: Schema) -> Iterator[Parsed]:
        for table in self.all:
            yield from table.scan(schema)


def refuse_unlike(tables: Sequence[Readable]) -> None:
    """Raises ConversionFailed, naming the first table that is not read as the others are."""
    first = _way(tables[0])
    for table in tables[1:]:
        for name, value in _way(table).items():
            if value != first.get(name):
                told = f"{table.name} cannot be in one data set with {tables[0].name}: {name} {value!r}, not {first.get(name)!r}."
                raise ConversionFailed(told, hint="Convert files of one kind together; set the option when it was found out wrongly.")


_ALIKE = ("format", "delimiter", "quote", "escape", "header", "names", "records")


def _way(table: Readable) -> Mapping[str, Any]:
    return {name: table.facts.get(name) for name in _ALIKE}
