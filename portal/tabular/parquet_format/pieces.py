"""Batches of a Parquet file in pieces of bounded size: a page of some kilobytes can stand for gigabytes of equal texts.

Columns of texts that a file keeps as a dictionary are read as such, and become plain texts piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed

_HINT = "Raise max_record_bytes if it is meant; the value is held in memory several times."

_PAGE_HEAD_BYTES = 16 << 10
"""A page holds statistics beside its values: the least and the greatest, where these are short."""


def row_bytes(groups: list[Any]) -> float:
    """Return what a row takes in the file's pages, unpacked, where that is most."""
    return max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=0.0)


def dictionaries(groups: list[Any], arrow: Any) -> list[str]:
    """Return the columns of texts or bytes, none within another, that have a dictionary in one row group at least."""
    found = set()
    for group in groups:
        chunks = (group.column(place) for place in range(group.num_columns))
        found |= {chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page}
    return [field.name for field in arrow if field.name in found and _is_bytes(field.type)]


def refuse_long(groups: list[Any], limit: int) -> None:
    """Raises ConversionFailed for values that are longer than `limit` bytes on average: one page of them may be too much to unpack."""
    for group in groups:
        for place in range(group.num_columns):
            chunk = group.column(place)
            if (size := chunk.total_uncompressed_size / max(1, chunk.num_values)) > limit + _PAGE_HEAD_BYTES:
                told = f"The values of {chunk.path_in_schema!r} have {size:,.0f} bytes on average, more than the {limit:,} that are read."
                raise ConversionFailed(told, hint=_HINT)


def pieces(batch: Any, first: int, arrow: Any, most: int, limit: int) -> Iterator[Any]:
    """Yield a batch in pieces of about `most` bytes of text, with the types of `arrow` in place of dictionaries.

    Arguments:
        first: number of the batch's first row in the file, from 0.
        limit: bytes of the longest value that is taken. Raises ConversionFailed for a longer one.
    """
    sizes = np.zeros(batch.num_rows, np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        lengths = _lengths(column)
        if len(lengths) and (longest := int(lengths.argmax())) >= 0 and lengths[longest] > limit:
            told = f"Row {first + longest + 1}: the value of {name!r} has {lengths[longest]:,} bytes, more than the {limit:,} that are read."
            raise ConversionFailed(told, hint=_HINT)
        if len(lengths):
            sizes += lengths
    ends = np.cumsum(sizes)
    start = 0
    while start < batch.num_rows or not batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, "right")))
        yield _plain(batch.slice(start, stop - start), arrow)
        start = stop


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


def _lengths(column: Any) -> Any:
    """Return the length of each text, 0 for none; nothing for columns of other types."""
    if pa.types.is_dictionary(column.type) and _is_bytes(column.type.value_type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
    elif _is_bytes(column.type):
        lengths = pc.binary_length(column)
    else:
        return ()
    return pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _plain(batch: Any, arrow: Any) -> Any:
    fields = [arrow.field(name) for name in batch.schema.names]
    arrays = [column.dictionary_decode() if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(field.type) else column
              for field, column in zip(fields, batch.columns, strict=True)]  # fmt: skip
    return pa.RecordBatch.from_arrays([array.cast(field.type) for array, field in zip(arrays, fields, strict=True)], schema=pa.schema(fields))
