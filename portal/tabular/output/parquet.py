"""One Parquet file: row groups of bounded size, a dictionary only where it pays, bloom filters and the order of rows where asked for.

Format: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from portal.errors import ConversionFailed
from portal.tabular.columns.type_names import named
from portal.tabular.options import ConvertOptions
from portal.tabular.output.dictionaries import leaf_paths, with_dictionary
from portal.tabular.output.sink import Part, refuse_other_schema

GROUP_BYTES = 64 << 20
"""A row group is written when it has this many bytes in memory, even if it has fewer rows than asked for."""
_FALSE_POSITIVES = 0.01
"""Of a bloom filter."""


class ParquetFile:
    """A Parquet file being written; see `Sink`. `order`: column and direction of what the rows are sorted by already."""

    def __init__(
        self, path: Path, schema: Any, options: ConvertOptions, *, name: str = "part-00000.parquet", order: Sequence[tuple[str, str]] = ()
    ) -> None:  # fmt: skip
        self.schema, self.rows = schema, 0
        self._path, self._name, self._options, self._order = path, name, options, order
        self._pending: list[Any] = []
        self._pending_rows = self._pending_bytes = 0
        self._writer: Any = None
        self._written_bytes = 0
        self._ratio = 1.0

    def write(self, batch: Any) -> None:
        refuse_other_schema(batch, self.schema)
        most = max(1, int(batch.num_rows * GROUP_BYTES / max(1, batch.nbytes)))
        while batch.num_rows:
            part = batch.slice(0, min(most, self._options.row_group_rows - self._pending_rows))
            self._pending.append(part)
            self._pending_rows += part.num_rows
            self._pending_bytes += part.nbytes
            batch = batch.slice(part.num_rows)
            if self._pending_rows >= self._options.row_group_rows or self._pending_bytes >= GROUP_BYTES:
                self.flush()

    @property
    def pending_bytes(self) -> int:
        """Bytes in memory that the file does not have yet."""
        return self._pending_bytes

    @property
    def likely_bytes(self) -> float:
        """How large the file would be if it ended here, judged by how much its row groups shrank so far."""
        return self._written_bytes + self._pending_bytes * self._ratio

    def flush(self) -> None:
        """Write what is pending as a row group."""
        if not self._pending:
            return
        table = pa.Table.from_batches(self._pending, self.schema)
        self._writer = self._writer or self._opened(table)
        self._writer.write_table(table, row_group_size=self._options.row_group_rows)
        before, self._written_bytes = self._written_bytes, self._path.stat().st_size
        self._ratio = (self._written_bytes - before) / max(1, self._pending_bytes)
        self.rows += self._pending_rows
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def _opened(self, table: Any) -> Any:
        options = self._options
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return pq.ParquetWriter(
            self._path, self.schema, version="2.6", compression=options.compression, compression_level=options.compression_level,
            use_dictionary=with_dictionary(table), write_statistics=options.statistics, bloom_filter_options=bloom_filters(self.schema, options),
            sorting_columns=pq.SortingColumn.from_ordering(self.schema, self._order, null_placement="at_end") if self._order else None,
        )  # fmt: skip

    def close(self) -> list[Part]:
        self.flush()
        self._writer = self._writer or self._opened(self.schema.empty_table())
        self._writer.close()
        return [Part(self._path, self._name, self.rows, self._path.stat().st_size)]

    def abort(self) -> None:
        self._pending = []
        with contextlib.suppress(Exception):
            if self._writer is not None:
                self._writer.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def bloom_filters(schema: Any, options: ConvertOptions) -> dict[str, Any] | None:
    """Return what pyarrow wants to know of the bloom filters asked for. Raises ConversionFailed for columns that cannot have one."""
    paths = leaf_paths(schema) if options.bloom_filters else ()
    for name in options.bloom_filters:
        if name not in schema.names:
            raise ConversionFailed(f"There is no column {name!r} for a bloom filter.", hint=f"Columns: {', '.join(schema.names[:30])}.")
        if name not in paths or pa.types.is_boolean(schema.field(name).type):
            raise ConversionFailed(f"Column {name!r} is {named(schema.field(name).type)}: Parquet has no bloom filter for it.", hint="Leave it out.")
    each = {"ndv": options.row_group_rows, "fpp": _FALSE_POSITIVES}
    return {name: dict(each) for name in options.bloom_filters} or None
