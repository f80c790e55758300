"""Tables of every type for the tests of what writes and compares them, and writing, publishing and reading back in one go."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from portal.tabular.options import ConvertOptions
from portal.tabular.output.folders import values_of, with_folders
from portal.tabular.output.opening import digest_for, open_sink
from portal.tabular.output.publish import Published, publish_one
from portal.tabular.output.sink import Part
from portal.tabular.proving.read_back import read_back
from tests.tabular import key_of, local_store

_LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_UTC = datetime.UTC
FLAT: dict[Any, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1), pa.int8(): st.integers(-128, 127), pa.float64(): st.floats(), pa.bool_(): st.booleans(),
    pa.string(): _LETTERS, pa.date32(): st.dates(), pa.timestamp("us"): st.datetimes(), pa.decimal128(20, 5): st.decimals(
        allow_nan=False, allow_infinity=False, places=5, min_value=-(10**14), max_value=10**14),
    pa.timestamp("us", "UTC"): st.datetimes(timezones=st.just(_UTC)), pa.timestamp("ms"): st.datetimes().map(lambda t: t.replace(microsecond=0)),
    pa.timestamp("s"): st.datetimes().map(lambda t: t.replace(microsecond=0)),
}  # fmt: skip
NESTED: dict[Any, st.SearchStrategy[Any]] = {
    pa.list_(pa.int64()): st.lists(st.none() | st.integers(-5, 5), max_size=4), pa.large_string(): _LETTERS, pa.binary(): st.binary(max_size=9),
    pa.struct([("x", pa.string()), ("y", pa.list_(pa.bool_()))]): st.fixed_dictionaries(
        {"x": st.none() | _LETTERS, "y": st.none() | st.lists(st.none() | st.booleans(), max_size=3)}),
    pa.map_(pa.string(), pa.int8()): st.lists(st.tuples(_LETTERS, st.integers(-9, 9)), max_size=3),
}  # fmt: skip

TEXTUAL = {kind: values for kind, values in {**FLAT, **NESTED}.items() if kind != pa.binary()}
"""What text files hold too."""


@st.composite
def tables(draw: Any, types: dict[Any, Any] | None = None, *, min_rows: int = 0, max_rows: int = 40, min_columns: int = 1) -> pa.Table:
    """A table of one to four columns named a, b, …; few distinct values in some, so that rows share keys."""
    known = types or {**FLAT, **NESTED}
    kinds = draw(st.lists(st.sampled_from(list(known)), min_size=min_columns, max_size=4))
    rows = draw(st.integers(min_rows, max_rows))
    columns = []
    for kind in kinds:
        pool = draw(st.lists(st.none() | known[kind], min_size=1, max_size=max(1, rows)))
        values = [pool[place % len(pool)] for place in draw(st.permutations(range(rows)))]
        columns.append(pa.array(values, kind))
    return pa.Table.from_arrays(columns, names=list("abcd")[: len(kinds)])


def batches(table: pa.Table, cuts: Sequence[int]) -> list[pa.RecordBatch]:
    """The table in batches that end at some rows, empty ones among them."""
    borders = sorted({0, table.num_rows, *(cut % (table.num_rows + 1) for cut in cuts)})
    pieces = [table.slice(start, end - start).combine_chunks() for start, end in pairwise(borders)]
    empty = pa.RecordBatch.from_pylist([], schema=table.schema)
    return [empty, *(batch for piece in pieces for batch in piece.to_batches())]


def written(table: pa.Table, folder: Path, options: ConvertOptions, cuts: Sequence[int] = ()) -> tuple[list[Part], Any]:
    """Write a table as the options want it; returns the parts and the digest of what was given to the sink."""
    folder.mkdir(exist_ok=True, parents=True)
    sink, digest = open_sink(folder, table.schema, options), digest_for(table.schema, options)
    try:
        for batch in batches(table, cuts):
            digest.update(batch)
            sink.write(batch)
        return sink.close(), digest
    except BaseException:
        sink.abort()
        raise


def published(parts: Sequence[Part], target: Path) -> list[Published]:
    store = local_store(target)
    return [publish_one(part, store, key_of(target / part.name), overwrite=True, metadata={}, check=lambda: None) for part in parts]


def proven(table: pa.Table, folder: Path, options: ConvertOptions, cuts: Sequence[int] = ()) -> list[Published]:
    """Write, publish and read back."""
    parts, digest = written(table, folder / "scratch", options, cuts)
    done = published(parts, folder / "target")
    read_back(done, digest, local_store(folder / "target"), lambda: None)
    return done


def read(done: Sequence[Published], schema: pa.Schema) -> pa.Table:
    """All parts in their order as pyarrow reads them, with the columns of their folders."""
    found = []
    for each in done:
        values = values_of(each.object.key, tuple(each.part.partition))
        for batch in pq.ParquetFile(Path("/") / each.object.key).iter_batches():
            inner = pa.schema([item for item in schema if item.name not in values])
            found.append(with_folders(batch.cast(inner), values, schema))
    return pa.Table.from_batches(found, schema)


def exact(table: pa.Table) -> list[tuple[str, ...]]:
    """Rows as texts that tell -0.0 from 0.0 and NaN from nothing."""
    return [tuple(_exact(value) for value in row.values()) for row in table.to_pylist()]


def _exact(value: Any) -> str:
    if isinstance(value, float):
        return np.float64(value).tobytes().hex() if value == value else "nan"
    return f"{value.normalize()}" if isinstance(value, decimal.Decimal) else repr(value)
