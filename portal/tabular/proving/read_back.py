"""Reads published parts from the target again and compares them with what was written: bytes, schema, rows, and a checksum per column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from portal.errors import ProofFailed, Unreachable
from portal.stores.base import Store
from portal.tabular.conversion.pipeline import in_order
from portal.tabular.options import Output
from portal.tabular.output.dictionaries import stored_schema
from portal.tabular.output.folders import values_of, with_folders, without
from portal.tabular.output.many import WORKERS, told, withdraw_all
from portal.tabular.output.publish import Published
from portal.tabular.proving.digest import Digest
from portal.tabular.proving.of_text import csv_batches, ndjson_batches
from portal.tabular.proving.order import Order
from portal.tabular.proving.window import PassingFile
from portal.tabular.rows import Check

_BATCH_ROWS = 65_536
_SMALL_BYTES, _SMALL_ROWS = 1 << 20, 65_536
"""Of parts of which several are held in memory, whole."""
_NAMES: dict[Output, str] = {"parquet": "Parquet", "csv": "CSV", "ndjson": "NDJSON"}


def read_back(
    published: Sequence[Published], written: Digest, store: Store, check: Check, *, order: Sequence[tuple[str, str]] = ()
) -> None:  # fmt: skip
    """Read every part from the target, in order, and compare all of them together with the digest of what was given to the sink.

    Arguments:
        order: the columns and directions that the rows of each part are sorted by.

    Raises:
        ProofFailed, Unreachable: something differs, or cannot be read; what arrived is removed from the target first, so that nobody
            takes it for good and the next try does not find it in its way.
    """
    found = written.fresh()
    try:
        _read(published, found, order, store, check)
        if difference := written.difference(found):
            raise ProofFailed(difference, hint="Run it again.")
    except (ProofFailed, Unreachable):
        withdraw_all(store, published)
        raise


def _read(published: Sequence[Published], found: Digest, order: Sequence[tuple[str, str]], store: Store, check: Check) -> None:
    """Read large parts one after the other, and several small ones at once: of those it is the store that is waited for."""

    def rows_of(each: Published) -> list[Any]:
        rows: list[Any] = []
        _read_part(each, found.schema, Order(order, each.object.key), rows.append, store, check)
        return rows

    for small, group in groupby(published, _is_small):
        together = list(group)
        if not small:
            for each in together:
                _read_part(each, found.schema, Order(order, each.object.key), found.update, store, check)
            continue
        with closing(in_order(together, rows_of, check=check, workers=min(WORKERS, len(together)))) as parts:
            for rows in told(parts, len(together), "read back"):
                for batch in rows:
                    found.update(batch)


def _is_small(each: Published) -> bool:
    return each.part.size_bytes <= _SMALL_BYTES and each.part.rows <= _SMALL_ROWS


def _read_part(each: Published, schema: Any, order: Order, take: Callable[[Any], None], store: Store, check: Check) -> None:
    key, count = each.object.key, 0
    problem: Exception | None = None
    with PassingFile(store, each.object, check) as file:
        try:
            for batch in _batches(file, each, schema):
                count += batch.num_rows
                take(batch)
                order.update(batch)
        except (pa.ArrowException, OSError) as error:
            problem = ProofFailed(f"{key} cannot be read as {_NAMES[each.part.format]}.")
            problem.__cause__ = error
        except ProofFailed as error:
            problem = error
        crc = file.drain()
    if crc != each.crc64:
        raise ProofFailed(f"{key} was read back with the checksum {crc}; {each.crc64} was written.", hint="Run it again.") from problem
    if problem:
        raise problem
    if count != each.part.rows:
        raise ProofFailed(f"{key} has {count} rows; {each.part.rows} were written.")


def _batches(file: PassingFile, each: Published, schema: Any) -> Iterator[Any]:
    """Yield a part's rows under the whole schema, with the columns that its folders stand for."""
    partition = values_of(each.object.key, tuple(each.part.partition))
    inner = without(schema, tuple(partition))
    if each.part.format == "parquet":
        found = _parquet_batches(file, inner)
    else:
        file.forget_as_read()
        read = csv_batches if each.part.format == "csv" else ndjson_batches
        found = read(pa.PythonFile(file, mode="r"), inner, each.part)
    for batch in found:
        if not batch.schema.equals(inner):
            raise ProofFailed(f"The target has another schema than was written: {batch.schema}.")
        yield with_folders(batch, partition, schema)


def _parquet_batches(file: PassingFile, schema: Any) -> Iterator[Any]:
    expected = stored_schema(schema)
    with pq.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=False) as parquet:
        if not parquet.schema_arrow.equals(expected):
            raise ProofFailed(f"The target has another schema than was written: {parquet.schema_arrow}.")
        for number in range(parquet.num_row_groups):
            file.release(_start(parquet.metadata.row_group(number)))
            for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[number]):
                yield batch if expected.equals(schema) else batch.cast(schema)


def _start(group: Any) -> int:
    """Return where a row group's first byte is."""
    columns = (group.column(place) for place in range(group.num_columns))
    starts: list[int] = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    return min(starts)
