"""Rows as JSON objects, one a line (https://github.com/ndjson/ndjson-spec), made column by column."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.output.cells import cells, flattened, replaced

_UNQUOTED = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
_CONTROLS = {chr(code): json.dumps(chr(code))[1:-1] for code in range(0x20)}


def lines(batch: Any) -> Any:
    """Return a line for each row of a batch, its end included, as a pyarrow.StringArray.

    Raises ConversionFailed: a value has no JSON (NaN), or no text at all."""
    columns = [json_texts(flattened(values, name), name) for name, values in zip(batch.schema.names, batch.columns, strict=True)]
    return _objects(batch.schema.names, columns, "}\n")


def json_texts(values: Any, column: str) -> Any:
    """Return the JSON text of each flattened value, null where there is no value."""
    kind = values.type
    if pa.types.is_struct(kind):
        inner = [json_texts(child, f"{column}.{item.name}") for item, child in zip(kind, values.flatten(), strict=True)]
        return pc.if_else(values.is_valid(), _objects([item.name for item in kind], inner, "}"), None)
    if pa.types.is_list(kind):
        return _arrays(values, json_texts(values.flatten(), column))
    if pa.types.is_floating(kind):
        _refuse_not_finite(values, column)
    texts = cells(values, column)
    return texts if any(test(kind) for test in _UNQUOTED) else _quoted(texts)


def _objects(names: list[str], columns: list[Any], end: str) -> Any:
    pieces: list[Any] = []
    for name, texts in zip(names, columns, strict=True):
        pieces += [f"{',' if pieces else '{'}{json.dumps(name, ensure_ascii=False)}:", texts]
    return pc.binary_join_element_wise(*pieces, end, "", null_handling="replace", null_replacement="null")


def _arrays(values: Any, items: Any) -> Any:
    counts = pc.fill_null(pc.list_value_length(values), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(counts)])
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, pc.fill_null(items, "null")), ",")
    return pc.if_else(values.is_valid(), pc.binary_join_element_wise("[", joined, "]", ""), None)


def _quoted(texts: Any) -> Any:
    if pc.any(pc.match_substring_regex(texts, r'[\x00-\x1f"\\]')).as_py():
        texts = replaced(texts, [("\\", "\\\\"), ('"', '\\"')])
        if pc.any(pc.match_substring_regex(texts, r"[\x00-\x1f]")).as_py():
            texts = replaced(texts, _CONTROLS.items())
    return pc.binary_join_element_wise('"', texts, '"', "")


def _refuse_not_finite(values: Any, column: str) -> None:
    if not pc.all(pc.is_finite(values), min_count=0).as_py():
        hint = "Filter such rows out, leave the column out, or write Parquet or CSV."
        raise ConversionFailed(f"Column {column!r} holds NaN or an infinity, which JSON has not (RFC 8259).", hint=hint)
