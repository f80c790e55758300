"""The units in which a table is brought over: its partitions, known by what their values mean; a table without partitions is one unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from portal.lake.hive.hive_type import HiveType
from portal.lake.hive.partitions import NOTHING

Key = tuple[str | None, ...]
"""A unit's values as text, one for each partition column; None where the rows have NULL. `()` is all of a table without partitions."""


@dataclass(frozen=True, slots=True)
class Files:
    """What lies in a unit's folders."""

    count: int
    bytes: int
    stamp: int
    """A sum, modulo 2**64, of hashes over path, size and time of change of each file: the same in any order."""

    def __add__(self, other: Files) -> Files:
        return Files(self.count + other.count, self.bytes + other.bytes, (self.stamp + other.stamp) % (1 << 64))


NO_FILES = Files(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Folder:
    """A partition as the metastore has it; several can mean the same unit, as p=7 and p=07 of a number do."""

    values: tuple[str | None, ...]
    location: str
    format: str


@dataclass(frozen=True, slots=True)
class Unit:
    key: Key
    folders: tuple[Folder, ...]
    files: Files = NO_FILES


@dataclass(frozen=True, slots=True)
class PartitionColumn:
    name: str
    kind: HiveType
    odd: frozenset[str] = frozenset()
    """Values that the metastore has otherwise than in their one text: it may not find their partitions."""

    @property
    def is_text(self) -> bool:
        return self.kind.name in ("string", "char", "varchar")

    def text(self, value: str | None) -> str | None:
        """Return what a partition's text means in a column of texts, as Spark reads it; None for NULL."""
        if value is None or value == NOTHING:
            return None
        return value.ljust(self.kind.numbers[0]) if self.kind.name == "char" else value

    def text_of(self, value: Any) -> str | None:
        """Return the one text for a value that Spark gave."""
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bytes | bytearray):
            return value.decode("utf-8", "surrogateescape")
        if isinstance(value, bool):
            return str(value).lower()
        return value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)

    def condition(self, text: str | None, spark_type: str | None = None) -> str:
        """Return what Spark selects the rows of a value by; `spark_type`: of the column, where the table is not Hive's.

        Where Spark leaves the reading to Hive's own classes it takes the name of NULL's folder for the value."""
        column = quoted(self.name)
        if text is None and self.is_text and spark_type is None:
            return f"({column} IS NULL OR {column} = {literal(NOTHING)})"
        if text is None:
            return f"{column} IS NULL"
        # Spark hands = on to the metastore, which compares texts and takes no text with both quotes; <=> it looks at itself.
        handed_on = spark_type is not None or not (text in self.odd or ("'" in text and '"' in text))
        value = literal(text) if self.is_text else f"CAST({literal(text)} AS {spark_type or self.kind})"
        return f"{column} {'=' if handed_on else '<=>'} {value}"


Meant = Callable[[PartitionColumn, Iterable[str]], Mapping[str, str | None]]
"""Returns for texts of partitions the one text of what each means in a column, None for NULL."""
_AT_ONCE = 10_000
"""Partitions whose texts are looked up by one query."""


def keyed(columns: Sequence[PartitionColumn], folders: Iterable[Folder], meant: Meant) -> dict[Key, Unit]:
    """Return the units of a table's partitions. Takes some 500 bytes of memory for a partition."""
    found: dict[Key, Unit] = {}
    for some in chunks(folders, _AT_ONCE):
        texts: list[Sequence[str | None]] = []
        for place, column in enumerate(columns):
            values = [folder.values[place] for folder in some]
            known = {} if column.is_text else meant(column, {value for value in values if value is not None})
            texts.append([column.text(value) if column.is_text or value is None else known[value] for value in values])
        for folder, key in zip(some, zip(*texts, strict=True), strict=True):
            before = found[key].folders if key in found else ()
            found[key] = Unit(key, (*before, folder))
    return found


def with_odd(columns: Sequence[PartitionColumn], units: Iterable[Unit]) -> tuple[PartitionColumn, ...]:
    """Return the columns with the values that some folder's partition has otherwise than in their one text."""
    odd: list[set[str]] = [set() for _ in columns]
    for unit in units:
        for folder in unit.folders:
            for values, text, value in zip(odd, unit.key, folder.values, strict=True):
                if text is not None and text != value:
                    values.add(text)
    return tuple(replace(column, odd=frozenset(values)) for column, values in zip(columns, odd, strict=True))


def order(key: Key) -> tuple[tuple[bool, str], ...]:
    """Sorts keys; NULL is last."""
    return tuple((text is None, text or "") for text in key)


def batches(units: Sequence[Unit], most: int, most_bytes: int) -> Iterator[list[Unit]]:
    """Cut units into batches of at most so many units and, but for single larger ones, bytes."""
    batch: list[Unit] = []
    size = 0
    for unit in units:
        if batch and (len(batch) == most or size + unit.files.bytes > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(unit)
        size += unit.files.bytes
    if batch:
        yield batch


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def condition(columns: Sequence[PartitionColumn], keys: Sequence[Key], types: Mapping[str, str] | None = None) -> str:
    """Return what Spark selects the rows of units by; TRUE for a table without partitions. `types`: Spark's, by column."""
    found = []
    for key in keys:
        parts = [column.condition(text, (types or {}).get(column.name)) for column, text in zip(columns, key, strict=True)]
        found.append(f"({' AND '.join(parts)})" if parts else "TRUE")
    return " OR ".join(found) if found else "FALSE"


def shown(columns: Sequence[PartitionColumn], key: Key) -> str:
    """Return a unit's name for people: day=2024-01-01/region=NULL."""
    return "/".join(f"{column.name}={'NULL' if text is None else text}" for column, text in zip(columns, key, strict=True)) or "the whole table"


def selected(columns: Iterable[str], rows: str, where: str = "", by: Sequence[str] = ()) -> str:
    """Return a query as Spark's SQL takes it; all that it is given is SQL. `rows`: a table's name, or a query in parentheses."""
    parts = ["SELECT", ", ".join(columns), "FROM", rows, *(("WHERE", where) if where else ()), *(("GROUP BY", ", ".join(by)) if by else ())]
    return " ".join(parts)


def quoted(name: str) -> str:
    """Return a name as Spark's SQL takes it."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Return a text as Spark's SQL takes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r") + "'"
