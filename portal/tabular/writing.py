"""Writes Parquet strictly under a frozen schema, in row groups of bounded size, and sums each column on the way."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from portal.tabular.digest import ColumnDigest
from portal.tabular.options import Compression

_GROUP_BYTES = 128 << 20
"""A row group is written when it has this many bytes in memory, even if it has fewer rows than asked for."""


class ParquetFile:
    """A Parquet file being written. `rows` counts what was given to it; `columns` holds a checksum per column."""

    def __init__(self, path: Path, schema: Any, *, compression: Compression = "zstd", row_group_rows: int = 100_000) -> None:
        self.schema, self.rows = schema, 0
        self.columns = {name: ColumnDigest() for name in schema.names}
        self._group_rows = row_group_rows
        self._pending: list[Any] = []
        self._pending_rows = self._pending_bytes = 0
        self._writer = pq.ParquetWriter(path, schema, compression=compression, version="2.6")

    def write(self, batch: Any) -> None:
        """Take a record batch of exactly the frozen schema."""
        if not batch.schema.equals(self.schema):
            raise ValueError(f"the batch has another schema than the file: {batch.schema}")
        for name, values in zip(self.schema.names, batch.columns, strict=True):
            self.columns[name].update(values)
        self.rows += batch.num_rows
        while batch.num_rows:
            part = batch.slice(0, self._group_rows - self._pending_rows)
            self._pending.append(part)
            self._pending_rows += part.num_rows
            self._pending_bytes += part.nbytes
            batch = batch.slice(part.num_rows)
            if self._pending_rows >= self._group_rows or self._pending_bytes >= _GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        if self._pending:
            table = pa.Table.from_batches(self._pending, self.schema)
            self._writer.write_table(table, row_group_size=self._group_rows)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()
