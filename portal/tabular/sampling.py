"""Random data sets, the same bytes for the same parameters, made chunk by chunk: a time index and floats, or columns of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from portal.tabular import sampling_output
from portal.tabular.sampling_kinds import Chunk, Column, moments

SampleFormat = Literal["csv", "ndjson", "parquet"]
INDEX = "timestamp"
_CHUNK_VALUES = 1_000_000
_CHUNK_BYTES = 8 * _CHUNK_VALUES


@dataclass(frozen=True, slots=True)
class Sample:
    """What the data set is: `rows` moments evenly spread from `start` to before `end`, and `columns` floats each; or the columns in `kinds`."""

    rows: int
    columns: int
    start: date
    end: date
    seed: int
    kinds: tuple[Column, ...] = ()

    @property
    def names(self) -> list[str]:
        if self.kinds:
            return [column.name for column in self.kinds]
        width = len(str(self.columns))
        return [INDEX, *(f"value_{number:0{width}}" for number in range(1, self.columns + 1))]

    @property
    def schema(self) -> Any:
        if self.kinds:
            return pa.schema([(column.name, column.type) for column in self.kinds])
        return pa.schema([(INDEX, pa.timestamp("us", tz="UTC")), *((name, pa.float64()) for name in self.names[1:])])

    def row_bytes(self, kind: SampleFormat) -> int:
        """About the most that a row takes in a format, to plan by."""
        values = sum(max(column.width, 24) + 3 for column in self.kinds) if self.kinds else 28 + 21 * self.columns
        return values + sum(len(name) + 6 for name in self.names) if kind == "ndjson" else values

    def batches(self) -> Iterator[Any]:
        """Yield record batches of bounded size; what is random in each depends on (seed, chunk) and, of `kinds`, on the column's place."""
        chunk_rows = max(1, 2 * _CHUNK_BYTES // self.row_bytes("ndjson") if self.kinds else _CHUNK_VALUES // self.columns)
        for number, first in enumerate(range(0, self.rows, chunk_rows)):
            chunk = Chunk(first, min(chunk_rows, self.rows - first), self.rows, self.start, self.end)
            arrays = self._kinds(number, chunk) if self.kinds else self._floats(number, chunk)
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _floats(self, number: int, chunk: Chunk) -> list[Any]:
        random = np.random.Generator(np.random.PCG64([self.seed, number]))
        return [moments(random, chunk), *map(pa.array, random.standard_normal((self.columns, chunk.height)))]

    def _kinds(self, number: int, chunk: Chunk) -> list[Any]:
        """Each column has a generator of its own: one more column changes none of the others before it."""
        return [
            column.values(np.random.Generator(np.random.PCG64([self.seed, number, place])), chunk) for place, column in enumerate(self.kinds, 1)
        ]


def write(sample: Sample, kind: SampleFormat, sink: Any) -> Iterator[int]:
    """Write a data set to a binary file-like sink; yields the number of rows written so far after each chunk."""
    return sampling_output.write(sample.batches(), sample.schema, kind, sink)
