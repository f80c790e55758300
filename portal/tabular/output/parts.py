"""Rows spread over files: another file when one is large enough, and a folder per value of the columns that partition."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.output.folders import folder_name, refuse_changed, texts, without
from portal.tabular.output.sink import Part, Sink, refuse_other_schema

MOST_OPEN = 64
"""Files that are written to at once; a folder that comes back later gets another file."""
PENDING_BYTES = 128 << 20
"""Rows of all open files that are in memory; beyond, that with the most is written out."""
MOST_FOLDERS = 10_000


class File(Sink, Protocol):
    """A sink of one file that tells how large it is."""

    @property
    def pending_bytes(self) -> int:
        """Bytes in memory that the file does not have yet."""
        ...

    @property
    def likely_bytes(self) -> float:
        """How large the file would be if it ended here."""
        ...

    def flush(self) -> None:
        """Write what is pending."""
        ...


MakeFile = Callable[[str], File]
"""Opens the file of a name, like `day=2026-01-01/part-00000.parquet`."""


class SplitSink:
    """Begins another file when one has about so many bytes. See `Sink`. `folder`: what the names begin with, '' or ending in '/'."""

    def __init__(self, make: MakeFile, schema: Any, suffix: str, split_bytes: int, *, folder: str = "", first: int = 0) -> None:
        self.schema, self._make, self._suffix, self._folder = schema, make, suffix, folder
        self._split_bytes, self._number = split_bytes, first
        self._file: File | None = None
        self._parts: list[Part] = []

    def write(self, batch: Any) -> None:
        refuse_other_schema(batch, self.schema)
        rows = self._rows_at_once(batch)
        for start in range(0, batch.num_rows, rows):
            file = self._file = self._file or self._opened()
            file.write(batch.slice(start, rows))
            if self._split_bytes and file.likely_bytes >= self._split_bytes:
                file.flush()
                if file.likely_bytes >= self._split_bytes * 0.9:
                    self._finish()

    def _rows_at_once(self, batch: Any) -> int:
        """Pieces of an eighth of a file, so that no batch makes a file much too large."""
        rows: int = max(1, batch.num_rows)
        share = self._split_bytes / 8 / max(1, batch.nbytes) if self._split_bytes else 1
        return max(1, min(rows, int(rows * share)))

    def _opened(self) -> File:
        self._number += 1
        return self._make(f"{self._folder}part-{self._number - 1:05}{self._suffix}")

    def _finish(self) -> None:
        if self._file:
            self._parts += self._file.close()
            self._file = None

    @property
    def pending_bytes(self) -> int:
        return self._file.pending_bytes if self._file else 0

    @property
    def number(self) -> int:
        """Of the next file."""
        return self._number

    def flush(self) -> None:
        if self._file:
            self._file.flush()

    def close(self) -> list[Part]:
        if not self._file and not self._parts:
            self._file = self._opened()
        self._finish()
        return self._parts

    def abort(self) -> None:
        if self._file:
            self._file.abort()
        for part in self._parts:
            part.path.unlink(missing_ok=True)


class PartitionedSink:
    """A folder per value of some columns, which are left out of the files. See `Sink`."""

    def __init__(self, make: MakeFile, schema: Any, columns: tuple[str, ...], suffix: str, split_bytes: int) -> None:
        self.schema, self._make, self._columns, self._suffix, self._split_bytes = schema, make, columns, suffix, split_bytes
        self._inner = without(schema, columns)
        self._open: OrderedDict[str, SplitSink] = OrderedDict()
        self._folders: dict[str, Mapping[str, str | None]] = {}
        self._next: dict[str, int] = {}
        self._parts: list[Part] = []

    def write(self, batch: Any) -> None:
        refuse_other_schema(batch, self.schema)
        if not batch.num_rows:
            return
        rest = batch.select(self._inner.names)
        for values, places in grouped([texts(batch.column(name)) for name in self._columns]):
            rows = rest if len(places) == batch.num_rows else rest.take(pa.array(places))
            self._sink_of(dict(zip(self._columns, values, strict=True))).write(rows)
        self._bound()

    def _sink_of(self, values: Mapping[str, str | None]) -> SplitSink:
        folder = "".join(f"{folder_name(column, text)}/" for column, text in values.items())
        if folder not in self._folders and len(self._folders) >= MOST_FOLDERS:
            hint = "Make folders of columns with few values."
            raise ConversionFailed(f"More than {MOST_FOLDERS} folders would be made of {', '.join(self._columns)}.", hint=hint)
        if folder not in self._folders:
            self._folders[folder] = values
            for column, text in values.items():
                refuse_changed(column, text, self.schema.field(column).type)
        if folder not in self._open:
            first = self._next.get(folder, 0)
            split = SplitSink(self._make, self._inner, self._suffix, self._split_bytes, folder=folder, first=first)
            self._open[folder] = split
        self._open.move_to_end(folder)
        return self._open[folder]

    def _bound(self) -> None:
        while len(self._open) > MOST_OPEN:
            self._finish(next(iter(self._open)))
        while sum(sink.pending_bytes for sink in self._open.values()) > PENDING_BYTES:
            max(self._open.values(), key=lambda sink: sink.pending_bytes).flush()

    def _finish(self, folder: str) -> None:
        sink = self._open.pop(folder)
        self._parts += [replace(part, partition=self._folders[folder]) for part in sink.close()]
        self._next[folder] = sink.number

    def close(self) -> list[Part]:
        while self._open:
            self._finish(next(iter(self._open)))
        return sorted(self._parts, key=lambda part: part.name)

    def abort(self) -> None:
        for sink in self._open.values():
            sink.abort()
        for part in self._parts:
            part.path.unlink(missing_ok=True)


def grouped(columns: list[Any]) -> Iterator[tuple[list[str | None], npt.NDArray[np.int64]]]:
    """Yield each combination of texts in some columns with the rows that have it, in their order."""
    encoded = [column.dictionary_encode(null_encoding="encode") for column in columns]
    codes = np.zeros(len(columns[0]), np.int64)
    for each in encoded:
        codes = np.unique(codes * len(each.dictionary) + each.indices.to_numpy(zero_copy_only=False), return_inverse=True)[1]
    places = np.argsort(codes, kind="stable")
    borders = np.flatnonzero(np.diff(codes[places], prepend=-1, append=-1))
    for start, end in pairwise(borders.tolist()):
        row = int(places[start])
        yield [column[row].as_py() for column in columns], places[start:end]
