"""One CSV or NDJSON file. It is not compressed: whoever reads text files can read it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.options import Output
from portal.tabular.output import csv_text, json_text
from portal.tabular.output.cells import text_type
from portal.tabular.output.sink import Part, refuse_other_schema
from portal.tabular.proving.values import text_bytes

_BATCH_BYTES = 8 << 20


class TextFile:
    """A text file being written; see `Sink`. Raises ConversionFailed for a type that has no texts."""

    def __init__(self, path: Path, schema: Any, format: Output, *, name: str) -> None:  # noqa: A002 - the word the options have
        self.schema, self._path, self._format, self._name = schema, path, format, name
        for item in schema:
            text_type(item.type, item.name)
        self._rows = self._longest = 0
        self._lines = csv_text.lines if format == "csv" else json_text.lines
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._bytes = self._file.write(csv_text.header(schema) if format == "csv" else b"")

    def write(self, batch: Any) -> None:
        refuse_other_schema(batch, self.schema)
        rows = max(1, int(batch.num_rows * _BATCH_BYTES / max(_BATCH_BYTES, batch.nbytes)))
        for start in range(0, batch.num_rows, rows):
            self._write(self._lines_of(batch.slice(start, rows)))

    def _lines_of(self, batch: Any) -> Any:
        try:
            return self._lines(batch)
        except pa.ArrowCapacityError as error:
            told = f"One of the rows {self._rows + 1} to {self._rows + batch.num_rows} would be longer than 2 GiB as {self._format.upper()}."
            raise ConversionFailed(told, hint="Leave its column out, or write Parquet.") from error

    def _write(self, lines: Any) -> None:
        ends, data = text_bytes(lines)
        self._bytes += self._file.write(data[ends[0] : ends[-1]])
        self._rows += len(lines)
        self._longest = max(self._longest, int(pc.max(pc.binary_length(lines)).as_py()))

    @property
    def pending_bytes(self) -> int:
        return 0

    @property
    def likely_bytes(self) -> float:
        return self._bytes

    def flush(self) -> None: ...

    def close(self) -> list[Part]:
        self._file.close()
        return [Part(self._path, self._name, self._rows, self._path.stat().st_size, self._format, longest_row_bytes=self._longest)]

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
            self._path.unlink()


def text_schema(schema: Any, format: Output) -> Any:  # noqa: A002
    """Return the schema of what stands in a text file. Raises ConversionFailed for a type that has no texts."""
    flat = [(item.name, text_type(item.type, item.name)) for item in schema]
    return pa.schema([(name, csv_text.csv_type(kind) if format == "csv" else kind) for name, kind in flat])
