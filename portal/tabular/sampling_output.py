"""Writes record batches as CSV, NDJSON or Parquet to a binary sink, the same bytes for the same batches. Texts are quoted where they must be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_CONTROL = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def write(batches: Iterable[Any], schema: Any, kind: str, sink: Any) -> Iterator[int]:
    """Write batches; yields the number of rows written so far after each."""
    return _write_parquet(batches, schema, sink) if kind == "parquet" else _write_text(batches, schema, kind, sink)


def _write_parquet(batches: Iterable[Any], schema: Any, sink: Any) -> Iterator[int]:
    done = 0
    with pq.ParquetWriter(pa.PythonFile(sink, "w"), schema, compression="zstd", use_dictionary=False) as writer:
        for batch in batches:
            writer.write_batch(batch)
            done += batch.num_rows
            yield done


def _write_text(batches: Iterable[Any], schema: Any, kind: str, sink: Any) -> Iterator[int]:
    if kind == "csv":
        sink.write((",".join(schema.names) + "\n").encode())
    missing = "null" if kind == "ndjson" else '""' if len(schema) == 1 else ""  # an empty line is no row to many who read CSV
    texts = _csv if kind == "csv" else _json
    done = 0
    for batch in batches:
        columns = [pc.fill_null(texts(column), missing) if column.null_count else texts(column) for column in batch.columns]
        lines = pc.binary_join_element_wise(*_pieces(schema.names, columns, kind), "")
        sink.write(pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines), "")[0].as_buffer())
        done += batch.num_rows
        yield done


def _pieces(names: list[str], texts: list[Any], kind: str) -> Iterator[Any]:
    for place, (name, text) in enumerate(zip(names, texts, strict=True)):
        if kind == "csv":
            yield from ([","] if place else []) + [text]
        else:
            yield from (f'{", " if place else "{"}"{name}": ', text)
    yield "\n" if kind == "csv" else "}\n"


def _csv(values: Any) -> Any:
    """An empty text is quoted and a missing value is not, so that they can be told apart (RFC 4180 leaves that open)."""
    text = _plain(values)
    if pa.types.is_string(values.type):
        quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
        text = pc.if_else(pc.match_substring_regex(text, '^$|[",\\r\\n]|^\\s|\\s$'), quoted, text)
    return text


def _json(values: Any) -> Any:
    text = _plain(values)
    if pa.types.is_string(values.type):
        for plain, escaped in _CONTROL.items():
            text = pc.replace_substring(text, plain, escaped)
    if pa.types.is_string(values.type) or pa.types.is_temporal(values.type):
        text = pc.binary_join_element_wise('"', text, '"', "")
    return text


def _plain(values: Any) -> Any:
    if pa.types.is_timestamp(values.type):
        return pc.binary_replace_slice(pc.cast(values, pa.string()), 10, 11, "T")
    return values if pa.types.is_string(values.type) else pc.cast(values, pa.string())
