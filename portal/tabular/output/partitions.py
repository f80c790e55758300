"""Rows spread over a folder per value of some columns, one file each, whatever their number and the order they come in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.conversion.pipeline import threads
from portal.tabular.output.folders import folder_name, refuse_changed, texts, without
from portal.tabular.output.many import in_threads
from portal.tabular.output.parts import MakeFile, SplitSink
from portal.tabular.output.sink import Part, refuse_other_schema
from portal.tabular.output.spool import Spool
from portal.tabular.rows import Check

MOST_OPEN = 64
"""Files that are written to at once; with more folders, rows wait on the disk until all of a folder are known."""
PENDING_BYTES = 128 << 20
"""Rows of all open files that are in memory; beyond, that with the most is written out."""
ROUND_BYTES = 32 << 20
"""Rows that are put in the order of their folders at a time, where these are many."""
MOST_FOLDERS = 10_000
_WRITERS = 4
"""Files that are finished at the same time: each may hold a row group."""


class PartitionedSink:
    """A folder per value of some columns, which are left out of the files. See `Sink`.

    Arguments:
        spool: file for rows that wait; made when it is needed.
        clustered: the rows of a folder come one after the other, so that a file is finished when those of another folder come.
        check: called while many files are finished; what it raises ends that.
    """

    def __init__(
        self, make: MakeFile, schema: Any, columns: tuple[str, ...], suffix: str, split_bytes: int, *, spool: Path, clustered: bool, check: Check
    ) -> None:  # fmt: skip
        self.schema, self._make, self._columns, self._suffix, self._split_bytes = schema, make, columns, suffix, split_bytes
        self._inner = without(schema, columns)
        self._spool_path, self._clustered, self._check = spool, clustered, check
        self._open: dict[str, SplitSink] = {}
        self._folders: dict[str, Mapping[str, str | None]] = {}
        self._next: dict[str, int] = {}
        self._parts: list[Part] = []
        self._spool: Spool | None = None
        self._waiting: list[Any] = []
        self._waiting_bytes = 0

    def write(self, batch: Any) -> None:
        refuse_other_schema(batch, self.schema)
        if not batch.num_rows:
            return
        found = None if self._spool else self._grouped(batch)
        if found is None or (len(self._folders) > MOST_OPEN and not self._clustered):
            self._wait(batch)
            return
        rest = batch.select(self._inner.names)
        for folder, places in found:
            self._sink_of(folder).write(rest if len(places) == batch.num_rows else rest.take(pa.array(places)))
        self._bound()

    def _grouped(self, batch: Any) -> list[tuple[str, npt.NDArray[np.int64]]]:
        """Return the folders of a batch, in the order of their first rows, each with its rows."""
        groups = sorted(grouped([texts(batch.column(name)) for name in self._columns]), key=lambda group: int(group[1][0]))
        return [(self._folder_of(values), places) for values, places in groups]

    def _folder_of(self, texts: list[str | None]) -> str:
        values = dict(zip(self._columns, texts, strict=True))
        folder = "".join(f"{folder_name(column, text)}/" for column, text in values.items())
        if folder not in self._folders:
            if len(self._folders) >= MOST_FOLDERS:
                hint = "Make folders of columns with few values."
                raise ConversionFailed(f"More than {MOST_FOLDERS} folders would be made of {', '.join(self._columns)}.", hint=hint)
            for column, text in values.items():
                refuse_changed(column, text, self.schema.field(column).type)
            self._folders[folder] = values
        return folder

    def _sink_of(self, folder: str) -> SplitSink:
        if folder not in self._open:
            for other in list(self._open) if self._clustered else ():
                self._finish(other)
            first = self._next.get(folder, 0)
            self._open[folder] = SplitSink(self._make, self._inner, self._suffix, self._split_bytes, folder=folder, first=first)
        return self._open[folder]

    def _bound(self) -> None:
        while sum(sink.pending_bytes for sink in self._open.values()) > PENDING_BYTES:
            max(self._open.values(), key=lambda sink: sink.pending_bytes).flush()

    def _wait(self, batch: Any) -> None:
        self._spool = self._spool or Spool(self._spool_path, self._inner)
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= ROUND_BYTES:
            for folder, rows in self._round():
                self._spool.add(folder, rows)

    def _round(self) -> Iterator[tuple[str, Any]]:
        """Yield the rows that wait, folder by folder. Taken out of a batch folder by folder, a few rows each time, they would fill the memory."""
        if not self._waiting:
            return
        batch = pa.Table.from_batches(self._waiting, self.schema).combine_chunks().to_batches()[0]
        self._waiting, self._waiting_bytes = [], 0
        groups = self._grouped(batch)
        ordered = batch.select(self._inner.names).take(pa.array(np.concatenate([places for _, places in groups])))
        start = 0
        for folder, places in groups:
            yield folder, ordered.slice(start, len(places))
            start += len(places)

    def _finish(self, folder: str) -> None:
        sink = self._open[folder]
        self._parts.extend(replace(part, partition=self._folders[folder]) for part in sink.close())
        self._next[folder] = sink.number
        del self._open[folder]

    def close(self) -> list[Part]:
        if self._spool:
            self._finish_waiting(self._spool)
        while self._open:
            self._finish(next(iter(self._open)))
        return sorted(self._parts, key=lambda part: part.name)

    def _finish_waiting(self, spool: Spool) -> None:
        last = dict(self._round())
        spool.flush()

        def finish(folder: str) -> None:
            sink = self._sink_of(folder)
            for rows in spool.batches(folder):
                self._check()
                sink.write(rows)
            if folder in last:
                sink.write(last[folder])
            self._finish(folder)

        in_threads(finish, list(self._folders), self._check, telling="wrote", workers=min(_WRITERS, threads()))
        spool.remove()

    def abort(self) -> None:
        self._waiting = []
        if self._spool:
            self._spool.remove()
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
