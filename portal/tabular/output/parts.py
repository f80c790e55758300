"""Rows spread over files: another one when one is large enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from portal.tabular.output.sink import Part, Sink, refuse_other_schema


class File(Sink, Protocol):
    """A sink of one file that tells how large it is."""

    @property
    def pending_bytes(self) -> int:
        """Bytes in memory that the file does not have yet."""
        ...

    @property
    def likely_bytes(self) -> float:
        """How large the file would be if it ended here."""
        ...

    def flush(self) -> None:
        """Write what is pending."""
        ...


MakeFile = Callable[[str], File]
"""Opens the file of a name, like `day=2026-01-01/part-00000.parquet`."""


class SplitSink:
    """Begins another file when one has about so many bytes. See `Sink`. `folder`: what the names begin with, '' or ending in '/'."""

    def __init__(self, make: MakeFile, schema: Any, suffix: str, split_bytes: int, *, folder: str = "", first: int = 0) -> None:
        self.schema, self._make, self._suffix, self._folder = schema, make, suffix, folder
        self._split_bytes, self._number = split_bytes, first
        self._file: File | None = None
        self._parts: list[Part] = []

    def write(self, batch: Any) -> None:
        refuse_other_schema(batch, self.schema)
        rows = self._rows_at_once(batch)
        for start in range(0, batch.num_rows, rows):
            file = self._file = self._file or self._opened()
            file.write(batch.slice(start, rows))
            if self._split_bytes and file.likely_bytes >= self._split_bytes:
                file.flush()
                if file.likely_bytes >= self._split_bytes * 0.9:
                    self._finish()

    def _rows_at_once(self, batch: Any) -> int:
        """Pieces of an eighth of a file, so that no batch makes a file much too large."""
        rows: int = max(1, batch.num_rows)
        share = self._split_bytes / 8 / max(1, batch.nbytes) if self._split_bytes else 1
        return max(1, min(rows, int(rows * share)))

    def _opened(self) -> File:
        self._number += 1
        return self._make(f"{self._folder}part-{self._number - 1:05}{self._suffix}")

    def _finish(self) -> None:
        if self._file:
            self._parts += self._file.close()
            self._file = None

    @property
    def pending_bytes(self) -> int:
        return self._file.pending_bytes if self._file else 0

    @property
    def number(self) -> int:
        """Of the next file."""
        return self._number

    def flush(self) -> None:
        if self._file:
            self._file.flush()

    def close(self) -> list[Part]:
        if not self._file and not self._parts:
            self._file = self._opened()
        self._finish()
        return self._parts

    def abort(self) -> None:
        if self._file:
            self._file.abort()
        for part in self._parts:
            part.path.unlink(missing_ok=True)
