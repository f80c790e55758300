"""Where rows go: files in a scratch folder, finished parts of which are handed to publishing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from portal.tabular.options import Output

CONTENT_TYPES: dict[Output, str] = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Part:
    """A finished file that nobody writes to any more."""

    path: Path
    """Where it is until it is published."""
    name: str
    """Its place in the data set, like `part-00000.parquet` or `day=2026-01-01/part-00000.parquet`."""
    rows: int
    size_bytes: int
    format: Output = "parquet"
    partition: Mapping[str, str | None] = field(default_factory=dict)
    """Columns that are not in the file but in its folder's name, with the text of their one value; None is 'no value'."""
    longest_row_bytes: int = 0
    """Of a text file."""

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.format]


class Sink(Protocol):
    """Takes record batches of exactly one schema, in order; for one thread."""

    schema: Any
    """pyarrow.Schema of the batches."""

    def write(self, batch: Any) -> None:
        """Take a record batch. Raises ConversionFailed (a value that the format cannot hold as it is), ValueError (another schema)."""
        ...

    def close(self) -> list[Part]:
        """Finish everything and return the parts in the order of their names: at least one, even of no rows, unless folders are named by
        values. Raises like `write`."""
        ...

    def abort(self) -> None:
        """Leave nothing behind. Never raises; may follow anything, `close` too."""
        ...


def refuse_other_schema(batch: Any, schema: Any) -> None:
    """Raises ValueError."""
    if not batch.schema.equals(schema):
        raise ValueError(f"the batch has another schema than the file: {batch.schema}")
