"""Moments as old writers (Hive, Impala, Spark before 3) stored them: in 96 bits, finer than microseconds and wider than nanoseconds.

Arrow reads them in one unit, without a word where that unit cuts nanoseconds off or wraps far years round. Read in two units, they tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_REACH_US = 2**63 // 1000 - 1
"""Microseconds from 1970 that nanoseconds reach: from 1677 to 2262."""


def columns_of(metadata: Any) -> tuple[str, ...]:
    """Return the paths of the columns that are stored so, by a pyarrow.parquet.FileMetaData."""
    columns = (metadata.schema.column(place) for place in range(metadata.num_columns))
    return tuple(column.path for column in columns if column.physical_type == "INT96")


def other_unit(unit: str) -> str:
    return "ns" if unit == "us" else "us"


def within(names: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Return the columns that are stored so, or hold such moments in structs, lists or maps, by the paths of `columns_of`."""
    return [name for name in names if any(path == name or path.startswith(f"{name}.") for path in paths)]


def changed(values: Any, other: Any) -> list[int]:
    """Return the rows where a reading in one unit is not the moment that is stored, by the reading in the other unit."""
    if values.type == other.type:
        return []
    if pa.types.is_timestamp(values.type):
        return _changed(values, other)
    rows, mine, others = _inside(values), _parts(values), _parts(other)
    found = {place for one, two in zip(mine, others, strict=True) for place in changed(one, two)}
    return sorted(found if rows is None else set(rows.take(pa.array(sorted(found), pa.int64())).to_pylist()))


def _inside(values: Any) -> Any:
    """Return the row of every element of lists or maps; None for structs, whose parts are as many as they are."""
    return None if pa.types.is_struct(values.type) else pc.list_parent_indices(_as_list(values))


def _parts(values: Any) -> list[Any]:
    return values.flatten() if pa.types.is_struct(values.type) else [pc.list_flatten(_as_list(values))]


def _as_list(values: Any) -> Any:
    if not pa.types.is_map(values.type):
        return values
    return pa.ListArray.from_arrays(values.offsets, pa.StructArray.from_arrays([values.keys, values.items], ["key", "value"]))


def _changed(values: Any, other: Any) -> list[int]:
    fine = values.type.unit == "ns"
    us, ns = (pc.cast(array, pa.int64()) for array in ((other, values) if fine else (values, other)))
    reached = pc.less_equal(pc.abs(us), _REACH_US)
    wrong = pc.invert(reached) if fine else pc.not_equal(pc.multiply(pc.if_else(reached, us, 0), 1000), pc.if_else(reached, ns, 0))
    return list(pc.indices_nonzero(pc.fill_null(wrong, False)).to_pylist())


def reason(unit: str) -> str:
    if unit == "ns":
        return "the moment lies beyond what nanoseconds reach (1677 to 2262): take timestamp(us)"
    return "the moment has nanoseconds: take timestamp(ns)"


def in_pieces(batches: Iterator[Any], rows: Sequence[int] | Iterator[int]) -> Iterator[Any]:
    """Cut what batches hold, one after the other, into tables of so many rows each."""
    held = None
    for count in rows:
        while held is None or held.num_rows < count:
            more = pa.Table.from_batches([next(batches)])
            held = more if held is None else pa.concat_tables([held, more])
        yield held.slice(0, count).combine_chunks()
        held = held.slice(count)
