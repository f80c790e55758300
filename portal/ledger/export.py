"""Rows of a ledger as CSV, JSON or Parquet, written as they are read: memory stays flat at any number of rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

SHAPES = ("csv", "json", "parquet")

_FORMULA = r"^([=+\-@\t\r])"
"""What a spreadsheet would run; see `portal.audit`. Whoever names an object chooses the text."""


def write(tables: Iterable[pa.Table], schema: pa.Schema, shape: str, file: IO[bytes]) -> int:
    """Write tables of one schema into a binary file, in one of SHAPES; return the number of rows.

    In CSV a text that a spreadsheet would run as a formula gets an apostrophe in front of it. JSON is one array, a row a line; moments are RFC 3339.
    """
    return {"csv": _csv, "json": _json, "parquet": _parquet}[shape](tables, schema, file)


def _parquet(tables: Iterable[pa.Table], schema: pa.Schema, file: IO[bytes]) -> int:
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            count += table.num_rows
    return count


def _csv(tables: Iterable[pa.Table], schema: pa.Schema, file: IO[bytes]) -> int:
    count = 0
    shown = _readable(schema.empty_table()).schema
    with pa_csv.CSVWriter(file, shown) as writer:
        for table in tables:
            readable = _readable(table)
            writer.write_table(pa.table([_inert(column) for column in readable.columns], schema=shown))
            count += table.num_rows
    return count


def _json(tables: Iterable[pa.Table], schema: pa.Schema, file: IO[bytes]) -> int:
    count = 0
    file.write(b"[")
    for row in _rows(tables):
        file.write((b",\n" if count else b"\n") + json.dumps(row, ensure_ascii=False).encode("utf-8"))
        count += 1
    file.write(b"\n]\n" if count else b"]\n")
    return count


def _rows(tables: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    for table in tables:
        for batch in _readable(table).to_batches(max_chunksize=5_000):
            yield from batch.to_pylist()


def _readable(table: pa.Table) -> pa.Table:
    """Return a table whose moments are texts."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            column = table.column(place).cast(pa.timestamp("ms", tz="UTC"))
            table = table.set_column(place, field.name, pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ"))
    return table


def _inert(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(column, _FORMULA, r"'\1") if pa.types.is_string(column.type) else column
