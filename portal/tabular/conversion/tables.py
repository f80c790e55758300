"""One table, or many that become one: looked at together, and their schema decided on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from portal.errors import ConversionFailed
from portal.tabular.columns.schema import Schema
from portal.tabular.conversion.opening import open_table
from portal.tabular.conversion.pipeline import in_order
from portal.tabular.conversion.table import Readable
from portal.tabular.options import ConvertOptions
from portal.tabular.parquet_format.table import ParquetTable
from portal.tabular.rows import Check, Chunk, Parsed
from portal.tabular.text.objects import Source

_ALIKE = ("format", "delimiter", "quote", "escape", "header", "names", "records")
_OPENERS = 8
"""Files of a data set that are looked at at the same time: mostly it is the store that is waited for."""


@dataclass(slots=True)
class Tables:
    """Tables of one schema. The first one's reader looks at the chunks of all: they must be read alike.

    They are opened when their samples are asked for first: what is read then tells how they are read and what they hold.
    """

    sources: Sequence[Source]
    options: ConvertOptions
    check: Check
    all: list[Readable] = field(default_factory=list)
    """Those that are open."""

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
        """Yield the samples of all. Raises as `open_table` does, and ConversionFailed for a table that is not read as the others are."""
        for table in list(self.all) or self._opened():
            yield from table.samples()
            if len(self.sources) > 1:  # those of a thousand files are too much to hold
                table.forget()

    def _opened(self) -> Iterator[Readable]:
        if len(self.sources) == 1:
            self.all.append(open_table(self.sources[0], self.options, self.check))
            yield self.first
            return
        with closing(in_order(self.sources, self._open, check=self.check, workers=_OPENERS)) as tables:
            for table in tables:
                self.all.append(table)
                refuse_unlike(self.first, table)
                yield table

    def _open(self, source: Source) -> Readable:
        return open_table(source, self.options, self.check)

    def look(self, chunk: Chunk) -> None:
        self.first.look(chunk)

    def schema(self) -> Schema:
        first, *others = self.all
        if isinstance(first, ParquetTable):
            return first.schema_with([table for table in others if isinstance(table, ParquetTable)])
        return first.schema()

    def scan(self, schema: Schema) -> Iterator[Parsed]:
        for table in self.all:
            yield from table.scan(schema)


def refuse_unlike(first: Readable, other: Readable) -> None:
    """Raises ConversionFailed when two tables are not read alike."""
    for name in _ALIKE:
        value, wanted = other.facts.get(name), first.facts.get(name)
        if value != wanted:
            told = f"{other.name} cannot be in one data set with {first.name}: {name} {value!r}, not {wanted!r}."
            raise ConversionFailed(told, hint="Convert files of one kind together; set the option when it was found out wrongly.")
