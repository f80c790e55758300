"""Reads published parts from the target again and compares them with what was written: bytes, schema, rows, and a checksum per column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from portal.errors import ProofFailed, Unreachable
from portal.stores.base import Store
from portal.tabular.options import Output
from portal.tabular.output.dictionaries import stored_schema
from portal.tabular.output.folders import values_of, with_folders, without
from portal.tabular.output.publish import Published, withdraw
from portal.tabular.proving.digest import Digest
from portal.tabular.proving.of_text import csv_batches, ndjson_batches
from portal.tabular.proving.order import Order
from portal.tabular.proving.window import PassingFile
from portal.tabular.rows import Check

_BATCH_ROWS = 65_536
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
        for each in published:
            _read_part(each, found, Order(order, each.object.key), store, check)
        if difference := written.difference(found):
            raise ProofFailed(difference, hint="Run it again.")
    except (ProofFailed, Unreachable):
        for each in published:
            withdraw(store, each)
        raise


def _read_part(each: Published, found: Digest, order: Order, store: Store, check: Check) -> None:
    key, before = each.object.key, found.rows
    problem: Exception | None = None
    with PassingFile(store, each.object, check) as file:
        try:
            for batch in _batches(file, each, found.schema):
                found.update(batch)
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
    if found.rows - before != each.part.rows:
        raise ProofFailed(f"{key} has {found.rows - before} rows; {each.part.rows} were written.")


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
