"""Which columns of a Parquet file get a dictionary, and what its columns are called inside the file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_LOOKED_AT_ROWS = 20_000
_MOST_DISTINCT = 0.35
"""With more distinct values than this share of the rows looked at, a dictionary costs time and grows the file."""


@lru_cache(maxsize=16)
def stored_schema(schema: Any) -> Any:
    """Return the schema that a Parquet file of this schema is read back with: seconds are stored as milliseconds, for one."""
    return _empty_file(schema).schema_arrow


@lru_cache(maxsize=16)
def leaf_paths(schema: Any) -> tuple[str, ...]:
    """Return the paths of the values that Parquet stores, in its order: `a`, `b.list.element`, `c.x`."""
    found = _empty_file(schema).metadata.schema
    return tuple(found.column(place).path for place in range(len(found)))


def _empty_file(schema: Any) -> Any:
    stream = pa.BufferOutputStream()
    pq.ParquetWriter(stream, schema, version="2.6").close()
    return pq.ParquetFile(pa.BufferReader(stream.getvalue()))


def with_dictionary(table: Any) -> list[str]:
    """Return the paths of the values in which few are distinct, judged by the first rows of a table."""
    first = table.slice(0, _LOOKED_AT_ROWS).combine_chunks()
    leaves = [leaf for column in first.columns for leaf in _leaves(_whole(column))]
    return [path for path, leaf in zip(leaf_paths(table.schema), leaves, strict=True) if _repeats(leaf)]


def _whole(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _leaves(values: Any) -> Iterator[Any]:
    """Yield the arrays of values without structure, in the order of Parquet's columns."""
    kind = values.type
    if pa.types.is_struct(kind):
        for child in values.flatten():
            yield from _leaves(child)
    elif pa.types.is_map(kind):
        yield from _leaves(values.keys)
        yield from _leaves(values.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(values.flatten())
    else:
        yield values


def _repeats(values: Any) -> bool:
    if pa.types.is_boolean(values.type) or pa.types.is_null(values.type):
        return False
    there: int = len(values) - values.null_count
    distinct: int = pc.count_distinct(values).as_py()
    return distinct <= max(1, int(there * _MOST_DISTINCT))
