"""Text files read back by Arrow's readers under the types that were written, apart from our own writers and readers, and summed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

from portal.tabular.options import Output
from portal.tabular.output.cells import flattened
from portal.tabular.output.csv_text import csv_column
from portal.tabular.output.sink import Part
from portal.tabular.output.text_file import text_schema
from portal.tabular.proving.digest import Digest

_BLOCK_BYTES = 4 << 20


class TextDigest:
    """A digest over the values that stand in a text file: structures in CSV are JSON text, say. See `Digest`."""

    def __init__(self, kind: Callable[[Any], Digest], schema: Any, format: Output) -> None:  # noqa: A002 - the word the options have
        self._kind, self._given, self._format = kind, schema, format
        self.schema = text_schema(schema, format)
        self._inner = kind(self.schema)

    @property
    def rows(self) -> int:
        return self._inner.rows

    def update(self, batch: Any) -> None:
        if not batch.schema.equals(self.schema):
            column = csv_column if self._format == "csv" else flattened
            pairs = zip(batch.schema.names, batch.columns, strict=True)
            batch = pa.RecordBatch.from_arrays([column(values, name) for name, values in pairs], schema=self.schema)
        elif any(pa.types.is_floating(item.type) for item in self.schema):
            pairs = zip(batch.schema.names, batch.columns, strict=True)
            batch = pa.RecordBatch.from_arrays([flattened(values, name) for name, values in pairs], schema=self.schema)
        self._inner.update(batch)

    def columns(self) -> dict[str, str]:
        return self._inner.columns()

    def nulls(self) -> dict[str, int]:
        return self._inner.nulls()

    def fresh(self) -> TextDigest:
        return TextDigest(self._kind, self._given, self._format)

    def difference(self, other: Digest) -> str:
        return self._inner.difference(other._inner if isinstance(other, TextDigest) else other)


def csv_batches(file: Any, schema: Any, part: Part) -> Iterator[Any]:
    """Yield the rows of a CSV file of ours as record batches of a schema. Raises pyarrow.ArrowException."""
    yield from pa_csv.open_csv(
        file,
        read_options=pa_csv.ReadOptions(block_size=_block_bytes(part), use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False, true_values=["true"],
            false_values=["false"],
        ),
    )  # fmt: skip


def ndjson_batches(file: Any, schema: Any, part: Part) -> Iterator[Any]:
    """Yield the rows of an NDJSON file of ours as record batches of a schema. Raises pyarrow.ArrowException."""
    if not part.rows:
        return
    types = pa.schema([(item.name, _json_type(item.type)) for item in schema])
    reader = pa_json.open_json(
        file, read_options=pa_json.ReadOptions(block_size=_block_bytes(part), use_threads=False),
        parse_options=pa_json.ParseOptions(explicit_schema=types, unexpected_field_behavior="error"),
    )  # fmt: skip
    for batch in reader:
        yield batch.cast(schema)


def _json_type(kind: Any) -> Any:
    """Arrow's reader of JSON knows no dates."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(item.name, _json_type(item.type)) for item in kind])
    if pa.types.is_list(kind):
        return pa.list_(_json_type(kind.value_type))
    return pa.string() if pa.types.is_date32(kind) else kind


def _block_bytes(part: Part) -> int:
    """A row longer than a block cannot be read."""
    return max(_BLOCK_BYTES, 2 * part.longest_row_bytes)
