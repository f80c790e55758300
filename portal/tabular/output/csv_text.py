"""Rows as CSV (RFC 4180, UTF-8): texts always in quotes, so that an empty one is told from no value, which is nothing at all; structures as JSON."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.output.cells import cells, flattened, replaced
from portal.tabular.output.json_text import json_texts


def csv_type(kind: Any) -> Any:
    """Return the type that a flattened column has in CSV."""
    return pa.string() if pa.types.is_nested(kind) else kind


def csv_column(values: Any, column: str) -> Any:
    """Return a column as what stands in the file: structures are JSON text. Raises ConversionFailed."""
    flat = flattened(values, column)
    return json_texts(flat, column) if pa.types.is_nested(flat.type) else flat


def header(schema: Any) -> bytes:
    return (",".join('"' + name.replace('"', '""') + '"' for name in schema.names) + "\r\n").encode()


def lines(batch: Any) -> Any:
    """Return a line for each row of a batch, its end included, as a pyarrow.StringArray. Raises ConversionFailed: a value has no text."""
    texts = [_texts(csv_column(values, name), name) for name, values in zip(batch.schema.names, batch.columns, strict=True)]
    if len(texts) == 1 and texts[0].null_count:
        hint = "Write another column too (a constant, say), or NDJSON."
        raise ConversionFailed(f"In a CSV file of one column, {batch.schema.names[0]!r}, 'no value' would be a blank line.", hint=hint)
    joined = pc.binary_join_element_wise(*texts, ",", null_handling="replace", null_replacement="")
    return pc.binary_join_element_wise(joined, "\r\n", "")


def _texts(values: Any, column: str) -> Any:
    texts = cells(values, column)
    if not pa.types.is_string(values.type):
        return texts
    if pc.any(pc.match_substring(texts, '"')).as_py():
        texts = replaced(texts, [('"', '""')])
    return pc.binary_join_element_wise('"', texts, '"', "")
