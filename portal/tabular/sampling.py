"""Random data sets, the same bytes for the same parameters: a time index and columns of normally distributed floats, made chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SampleFormat = Literal["csv", "ndjson", "parquet"]
INDEX = "timestamp"
_CHUNK_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What the data set is: `rows` moments evenly spread from `start` to before `end`, and `columns` floats each."""

    rows: int
    columns: int
    start: date
    end: date
    seed: int

    @property
    def names(self) -> list[str]:
        width = len(str(self.columns))
        return [INDEX, *(f"value_{number:0{width}}" for number in range(1, self.columns + 1))]

    @property
    def schema(self) -> Any:
        return pa.schema([(INDEX, pa.timestamp("us", tz="UTC")), *((name, pa.float64()) for name in self.names[1:])])

    def batches(self) -> Iterator[Any]:
        """Yield record batches of bounded size; each chunk has a generator of its own, seeded with (seed, chunk)."""
        chunk_rows = max(1, _CHUNK_VALUES // max(1, self.columns))
        for chunk, first in enumerate(range(0, self.rows, chunk_rows)):
            rows = min(chunk_rows, self.rows - first)
            random = np.random.Generator(np.random.PCG64([self.seed, chunk]))
            values = random.standard_normal((self.columns, rows))
            yield pa.RecordBatch.from_arrays([self._moments(first, rows), *map(pa.array, values)], schema=self.schema)

    def _moments(self, first: int, rows: int) -> Any:
        start, end = (int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000 for day in (self.start, self.end))
        step, rest = divmod(end - start, self.rows)
        place = np.arange(first, first + rows, dtype=np.int64)
        return pa.array(start + place * step + place * rest // self.rows, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def write(sample: Sample, kind: SampleFormat, sink: Any) -> Iterator[int]:
    """Write a data set to a binary file-like sink; yields the number of rows written so far after each chunk."""
    return _write_parquet(sample, sink) if kind == "parquet" else _write_text(sample, kind, sink)


def _write_parquet(sample: Sample, sink: Any) -> Iterator[int]:
    done = 0
    with pq.ParquetWriter(pa.PythonFile(sink, "w"), sample.schema, compression="zstd", use_dictionary=False) as writer:
        for batch in sample.batches():
            writer.write_batch(batch)
            done += batch.num_rows
            yield done


def _write_text(sample: Sample, kind: SampleFormat, sink: Any) -> Iterator[int]:
    if kind == "csv":
        sink.write((",".join(sample.names) + "\n").encode())
    done = 0
    for batch in sample.batches():
        texts = [_iso(batch.column(0)), *(pc.cast(column, pa.string()) for column in batch.columns[1:])]
        lines = pc.binary_join_element_wise(*_pieces(sample.names, texts, kind), "")
        sink.write(pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines), "")[0].as_buffer())
        done += batch.num_rows
        yield done


def _pieces(names: list[str], texts: list[Any], kind: SampleFormat) -> Iterator[Any]:
    for place, (name, text) in enumerate(zip(names, texts, strict=True)):
        if kind == "csv":
            yield from ([","] if place else []) + [text]
        else:
            quote = '"' if place == 0 else ""
            yield from (f'{", " if place else "{"}"{name}": {quote}', text, *([quote] if quote else []))
    yield "\n" if kind == "csv" else "}\n"


def _iso(moments: Any) -> Any:
    return pc.binary_replace_slice(pc.cast(moments, pa.string()), 10, 11, "T")
