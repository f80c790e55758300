"""Sorting more rows than fit in memory: sorted runs on the disk, merged block by block.

Each row gets its number as the last key, so that rows of equal keys keep their order. 'No value' comes last, NaN before it, either way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.columns.type_names import named
from portal.tabular.output.sink import Part, Sink, refuse_other_schema

RUN_BYTES = 64 << 20
"""Rows are sorted and put on the disk when they have so many bytes in memory."""
_BLOCK_BYTES = 512 << 10
"""Of a run, read at once: all runs together stay below 100 MiB up to 20 GB of rows."""
_NUMBER = "\0row"
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class SortedSink:
    """Sorts what is written, then writes it to another sink. See `Sink`. `keys`: columns, '-' before a name for descending."""

    def __init__(self, inner: Sink, folder: Path, schema: Any, keys: Sequence[str]) -> None:
        self.schema, self._inner, self._folder = schema, inner, folder
        self._order = [*order_of(schema, keys), (_NUMBER, "ascending")]
        self._numbered = schema.append(pa.field(_NUMBER, pa.int64()))
        self._pending: list[Any] = []
        self._pending_bytes = self._rows = self._rows_at_once = 0
        self._runs: list[Path] = []

    def write(self, batch: Any) -> None:
        refuse_other_schema(batch, self.schema)
        if batch.num_rows == 0:
            return
        numbers = pa.array(np.arange(self._rows, self._rows + batch.num_rows))
        self._rows += batch.num_rows
        self._pending.append(pa.RecordBatch.from_arrays([*batch.columns, numbers], schema=self._numbered))
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= RUN_BYTES:
            self._spill()

    def _sorted(self) -> Any:
        table = pa.Table.from_batches(self._pending, self._numbered)
        self._rows_at_once = max(1, _BLOCK_BYTES * max(1, table.num_rows) // max(1, self._pending_bytes))
        self._pending, self._pending_bytes = [], 0
        return sort(table, self._order)

    def _spill(self) -> None:
        path = self._folder / f"run-{len(self._runs):05}.arrow"
        self._runs.append(path)
        table = self._sorted()
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, self._numbered, options=_OPTIONS) as writer:
            writer.write_table(table, max_chunksize=self._rows_at_once)

    def close(self) -> list[Part]:
        if self._runs and self._pending:
            self._spill()
        for table in merged([_Run(path) for path in self._runs], self._order) if self._runs else [self._sorted()]:
            for batch in table.select(self.schema.names).to_batches():
                self._inner.write(batch)
        self._remove_runs()
        return self._inner.close()

    def abort(self) -> None:
        self._pending = []
        self._remove_runs()
        self._inner.abort()

    def _remove_runs(self) -> None:
        for path in self._runs:
            with contextlib.suppress(OSError):
                path.unlink()


def order_of(schema: Any, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Return (column, direction) of each key. Raises ConversionFailed when a column is not there or has no order."""
    found: dict[str, str] = {}
    for key in keys:
        name, way = _key(schema, key)
        found.setdefault(name, way)
    return list(found.items())


def _key(schema: Any, key: str) -> tuple[str, str]:
    name, way = (key, "ascending") if key in schema.names else (key.removeprefix("-"), "descending")
    if name not in schema.names:
        raise ConversionFailed(f"There is no column {name!r} to sort by.", hint=f"Columns: {', '.join(schema.names[:30])}.")
    if pa.types.is_nested(schema.field(name).type):
        raise ConversionFailed(f"Column {name!r} is {named(schema.field(name).type)}: such values have no order.", hint="Sort by other columns.")
    return name, way


def _nulls_last(order: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
    return [(name, way, "at_end") for name, way in order]


def sort(table: Any, order: Sequence[tuple[str, str]]) -> Any:
    places = pc.sort_indices(table.select([name for name, _ in order]), sort_keys=_nulls_last(order))
    return table.take(places)


class _Run:
    """A sorted run, a block at a time."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "rb")
        self._reader = pa.ipc.open_file(self._file)
        self._next = 0
        self.block = self._read()

    def _read(self) -> Any:
        block = pa.Table.from_batches([self._reader.get_batch(self._next)], self._reader.schema)
        self._next += 1
        return block

    @property
    def more(self) -> bool:
        return self._next < int(self._reader.num_record_batches)

    def drop(self, count: int) -> bool:
        """Let go so many rows of the block, read the next when it is used up; False when nothing is left."""
        self.block = self.block.slice(count)
        if self.block.num_rows or not self.more:
            return bool(self.block.num_rows) or self._close()
        self.block = self._read()
        return True

    def _close(self) -> bool:
        self._file.close()
        return False


def merged(runs: list[_Run], order: Sequence[tuple[str, str]]) -> Iterator[Any]:
    """Yield tables that follow one another in order: each holds what no later block of any run can come before."""
    while runs:
        touched, sure = _sure(runs, order)
        yield sort(pa.concat_tables([run.block.slice(0, count) for run, count in zip(touched, sure, strict=True)]), order)
        over = {id(run) for run, count in zip(touched, sure, strict=True) if not run.drop(count)}
        runs = [run for run in runs if id(run) not in over]


def _sure(runs: list[_Run], order: Sequence[tuple[str, str]]) -> tuple[list[_Run], list[int]]:
    """Return the runs whose blocks begin before the first end of a block that more follows, and how many of their rows do not come after it."""
    names = [name for name, _ in order]
    ends = [run.block.select(names).slice(run.block.num_rows - 1) for run in runs if run.more]
    if not ends:
        return runs, [run.block.num_rows for run in runs]
    limit = sort(pa.concat_tables(ends), order).slice(0, 1)
    begins = _up_to([run.block.select(names).slice(0, 1) for run in runs], limit, order)
    touched = [run for run, early in zip(runs, begins, strict=True) if early]
    return touched, [_count(run.block.select(names), limit, order) for run in touched]


def _up_to(rows: list[Any], limit: Any, order: Sequence[tuple[str, str]]) -> list[bool]:
    """Tell of each row whether it does not come after a row."""
    places = pc.sort_indices(pa.concat_tables([*rows, limit]), sort_keys=_nulls_last(order)).to_pylist()
    early = set(places[: places.index(len(rows))])
    return [place in early for place in range(len(rows))]


def _count(block: Any, limit: Any, order: Sequence[tuple[str, str]]) -> int:
    """Return how many rows of a sorted block do not come after a row, by halving."""
    low, high = 0, block.num_rows
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _up_to([block.slice(middle, 1)], limit, order)[0] else (low, middle)
    return low
