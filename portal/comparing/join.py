"""Two listings of any length side by side, whatever order their stores list in: sorted in runs on disk, then merged.

Stores do not list in one order (S3 by the bytes of the whole name, file systems and accounts with real folders folder by folder), so each
listing is sorted by name first. Memory stays flat: at most 100,000 rows of a listing are held at a time.
"""

from __future__ import annotations

import heapq
import marshal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROWS_IN_MEMORY = 100_000
_PIECE_ROWS = 200
"""Rows of a run that are read at a time."""

Row = tuple[Any, ...]
"""The name first; strings, numbers and None only."""


class SortedRows:
    """Rows that are sorted by their names. Scratch files lie beside `path` and go with the context."""

    def __init__(self, path: Path, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        self._path, self._limit = path, rows_in_memory
        self._held: list[Row] = []
        self._runs: list[Path] = []
        self.count = 0

    def add(self, rows: Iterable[Row]) -> None:
        before = len(self._held)
        self._held.extend(rows)
        self.count += len(self._held) - before
        if len(self._held) >= self._limit:
            self._spill()

    def _spill(self) -> None:
        self._held.sort(key=_name)
        run = self._path.with_name(f"{self._path.name}.{len(self._runs)}")
        self._runs.append(run)
        with run.open("wb") as file:
            for begin in range(0, len(self._held), _PIECE_ROWS):
                marshal.dump(self._held[begin : begin + _PIECE_ROWS], file)
        self._held.clear()

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows by name; those of one name in the order in which they were added."""
        self._held.sort(key=_name)
        if not self._runs:
            return iter(self._held)
        return heapq.merge(*map(_read, self._runs), self._held, key=_name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self._held.clear()
        for run in self._runs:
            run.unlink(missing_ok=True)


def _name(row: Row) -> str:
    name: str = row[0]
    return name


def _read(run: Path) -> Iterator[Row]:
    with run.open("rb") as file, suppress(EOFError):
        while True:
            yield from marshal.load(file)  # noqa: S302 - our own scratch file, written a moment ago


def joined(ones: Iterable[Row], others: Iterable[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield rows of one name side by side, None where one side has none; both come sorted. A name that one side has more than once stands
    beside the other's first row of that name each time."""
    right = iter(others)
    other = next(right, None)
    taken: Row | None = None
    for one in ones:
        while other is not None and other[0] < one[0]:
            yield None, other
            other = next(right, None)
        if other is not None and other[0] == one[0]:
            taken, other = other, next(right, None)
        yield one, taken if taken is not None and taken[0] == one[0] else None
    while other is not None:
        yield None, other
        other = next(right, None)
