"""A ledger as people look at it: counted, filtered, paged and grouped, however many rows it has.

Opening a ledger reads four short columns and the sizes once, and keeps for each row group of the file how many objects of each kind are in it. Counts
and groups then cost no reading, and a page reads only the row groups that it is taken from. Only a search for a text reads names and reasons, row
group after row group, as far as the page needs. Nothing here holds more than a part of one row group in memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from portal.comparing.report import TABLE_FILE
from portal.errors import NotFound, PortalError
from portal.ledger.kinds import ALL, SIZES, TEXTS, Chosen, Kind, Kinds, Sums, filtered, mask_of, merged, sums_of
from portal.ledger.ledger import LEDGER_FILE

_BATCH_ROWS = 50_000
_MOST_KEPT_COUNTS = 100_000
_OTHER_NAMES = {"class": "outcome", "level": "proof"}
"""What a comparison calls what a ledger calls by the names on the right."""


class Page(NamedTuple):
    """Some rows of those that fit. `total` is how many fit, None when not everything was searched."""

    rows: pa.Table
    total: int | None
    more: bool


class Group(NamedTuple):
    """Objects that ended the same way for the same cause, and the first of them."""

    outcome: str
    cause: str
    sums: Sums
    example: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the example is called at the source, or at the target if only that has it."""
        return self.example.get("source_key") or self.example.get("target_key") or ""


def path_in(folder: Path) -> Path | None:
    """Return the ledger in a job's folder, or the comparison of one that only compared; None when there is neither."""
    return next((path for name in (LEDGER_FILE, TABLE_FILE) if (path := folder / name).is_file()), None)


def view(path: Path) -> View:
    """Open a ledger, or return it as it was opened before if the file is still the same.

    Raises:
        NotFound: there is no such file.
        PortalError: it is no ledger, or damaged.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise NotFound(f"There is no ledger {path}.", hint="It is written when a job that handles objects one by one has ended.") from None
    return _opened(path, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=16)
def _opened(path: Path, *identity: int) -> View:
    return View(path)


class View:
    """An open ledger, made by `view`. Many threads may use it. What reads the file raises PortalError when it is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _explained(path), pq.ParquetFile(path) as file:
            self._metadata, self._names = file.metadata, file.schema_arrow.names
            self.schema = _renamed(file.schema_arrow.empty_table()).schema
        if missing := {"source_key", "outcome"}.difference(self.schema.names):
            raise PortalError(f"{path} is no ledger: it has no column {', '.join(sorted(missing))}.")
        sizes = [self._metadata.row_group(number).num_rows for number in range(self._metadata.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]
        self._groups = tuple(merged(sums_of(rows, start) for start, rows in self._read(number, self._short)) for number in range(len(sizes)))
        self._total = merged(self._groups)
        self._found: dict[tuple[int, Chosen], int] = {}
        self._examples: dict[int, Mapping[str, Any]] = {}

    @property
    def rows(self) -> int:
        return int(self._starts[-1])

    def kinds(self, chosen: Chosen = ALL) -> Kinds:
        """Return the sums of the rows that fit, by kind."""
        if not chosen.text:
            return {kind: sums for kind, sums in self._total.items() if chosen.takes(kind)}
        columns = (*self._short, *TEXTS)
        read = (part for number in self._with_kind(chosen) for part in self._read(number, columns))
        return merged(sums_of(rows, start, mask_of(rows, chosen)) for start, rows in read)

    def counts(self, name: str, chosen: Chosen = ALL) -> dict[str, Sums]:
        """Return the sums of the rows that fit by one field of Kind, most objects first."""
        sums = merged({Kind(getattr(kind, name)): found} for kind, found in self.kinds(chosen).items())
        return {kind.outcome: found for kind, found in sorted(sums.items(), key=lambda item: -item[1].objects)}

    def groups(self, chosen: Chosen = ALL) -> list[Group]:
        """Return the rows that fit by outcome and cause, what failed first, then the largest."""
        sums = merged({Kind(kind.outcome, cause=kind.cause): found} for kind, found in self.kinds(chosen).items())
        ordered = sorted(sums.items(), key=lambda item: (item[0].outcome != "failed", -item[1].objects))
        return [Group(kind.outcome, kind.cause, found, self._example(found.first)) for kind, found in ordered]

    def page(self, chosen: Chosen, offset: int, limit: int) -> Page:
        """Return `limit` of the rows that fit, from the `offset`-th (counted from 0)."""
        found = list(self.batches(chosen, offset, limit + 1))
        rows = pa.concat_tables(found) if found else self.schema.empty_table()
        more = rows.num_rows > limit
        total = None if more or not rows.num_rows else offset + rows.num_rows
        if not chosen.text:
            total = sum(sums.objects for sums in self.kinds(chosen).values())
        return Page(rows.slice(0, limit), total, more)

    def batches(self, chosen: Chosen = ALL, offset: int = 0, limit: int | None = None) -> Iterator[pa.Table]:
        """Yield the rows that fit in the ledger's order, in tables of at most 50,000 rows, each with all columns."""
        seen, end = 0, None if limit is None else offset + limit
        for number in self._with_kind(chosen):
            if end is not None and seen >= end:
                return
            count = self._count(number, chosen)
            if count and seen + count > offset:
                fitting = (filtered(rows, chosen) for _, rows in self._read(number, self.schema.names, decoded=True))
                yield from _cut(fitting, offset - seen, None if end is None else end - seen)
            seen += count

    @property
    def _short(self) -> tuple[str, ...]:
        return (*Kind._fields, *SIZES)

    def _with_kind(self, chosen: Chosen) -> Iterator[int]:
        """Yield the row groups that hold a row of the kinds that are meant."""
        return (number for number, kinds in enumerate(self._groups) if any(map(chosen.takes, kinds)))

    def _count(self, number: int, chosen: Chosen) -> int:
        if not chosen.text:
            return sum(sums.objects for kind, sums in self._groups[number].items() if chosen.takes(kind))
        known = self._found.get((number, chosen))
        if known is None:
            if len(self._found) >= _MOST_KEPT_COUNTS:
                self._found.clear()
            known = sum(int(filtered(rows, chosen).num_rows) for _, rows in self._read(number, (*Kind._fields, *TEXTS)))
            self._found[number, chosen] = known
        return known

    def _example(self, first: int) -> Mapping[str, Any]:
        if first not in self._examples:
            number = bisect_right(self._starts, first) - 1
            for start, rows in self._read(number, TEXTS):
                if first < start + rows.num_rows:
                    self._examples[first] = rows.slice(first - start, 1).to_pylist()[0]
                    break
        return self._examples[first]

    def _read(self, number: int, columns: Iterable[str], *, decoded: bool = False) -> Iterator[tuple[int, pa.Table]]:
        """Yield a row group part by part, each with the number of its first row; the columns of Kind as dictionaries unless `decoded`."""
        start = self._starts[number]
        wanted = set(columns)
        there = [name for name in self._names if _OTHER_NAMES.get(name, name) in wanted]
        coded = [] if decoded else [name for name in there if _OTHER_NAMES.get(name, name) in Kind._fields]
        with _explained(self._path), pq.ParquetFile(self._path, metadata=self._metadata, read_dictionary=coded) as file:
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[number], columns=there):
                yield start, _renamed(pa.Table.from_batches([batch]))
                start += batch.num_rows


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        hint = "`python -m portal check --deep` tells whether it was changed after the job ended; the job's log and record are apart from it."
        raise PortalError(f"The ledger {path} cannot be read.", hint=hint) from error


def _renamed(table: pa.Table) -> pa.Table:
    return table.rename_columns([_OTHER_NAMES.get(name, name) for name in table.column_names])


def _cut(tables: Iterable[pa.Table], start: int, end: int | None) -> Iterator[pa.Table]:
    """Yield the rows from `start` to `end` (None: all) of tables in a row."""
    seen = 0
    for table in tables:
        low, high = max(0, start - seen), table.num_rows if end is None else min(table.num_rows, end - seen)
        if high > low:
            yield table.slice(low, high - low)
        seen += table.num_rows
        if end is not None and seen >= end:
            return
