"""What a user sets of a schema, read and checked before anything moves: types by column, a schema document, a Parquet file to be like."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from portal.errors import BadParameters, ConversionFailed
from portal.stores.base import ObjectInfo, Store
from portal.stores.seekable import SeekableReader
from portal.tabular.columns import type_names
from portal.tabular.columns.schema import Schema
from portal.tabular.options import ConvertOptions

_MOST_BYTES = 16 << 20


def checked(options: ConvertOptions) -> ConvertOptions:
    """Return the options. Raises BadParameters for a type that nobody knows, or a schema document that cannot be read."""
    try:
        for column, name in options.types.items():
            type_names.parse(name, column)
        if options.schema_document:
            Schema.from_json(options.schema_document)
    except ConversionFailed as error:
        raise BadParameters(error.message, hint=error.hint) from None
    return options


def document(store: Store, key: str) -> str:
    """Return the schema document that an object holds, or that of a Parquet file. Raises BadParameters when it is neither, and NotFound."""
    info = store.stat(key)
    try:
        if key.lower().endswith(".parquet"):
            return Schema.from_arrow(_parquet_schema(store, info)).to_json()
        text = _text(store, info)
        Schema.from_json(text)
    except (pa.ArrowInvalid, UnicodeDecodeError, ConversionFailed) as error:
        wanted = "Name a _NAME.schema.json that a conversion wrote, or a Parquet file whose types we can write."
        other = "it is no text" if isinstance(error, UnicodeDecodeError) else str(error)
        why = "it is no Parquet file" if isinstance(error, pa.ArrowInvalid) else other
        raise BadParameters(f"{store.url.at(key)} gives no schema: {why.rstrip('.')}.", hint=wanted) from None
    return text


def _parquet_schema(store: Store, info: ObjectInfo) -> pa.Schema:
    with SeekableReader(store, info) as raw:
        return pq.read_schema(io.BufferedReader(raw, 64 << 10))


def _text(store: Store, info: ObjectInfo) -> str:
    if info.size_bytes > _MOST_BYTES:
        raise ConversionFailed(f"it has {info.size_bytes:,} bytes, and a schema document at most {_MOST_BYTES:,}")
    with store.open_read(info.key, pin=info) as reader:
        return b"".join(iter(lambda: reader.read(1 << 20), b"")).decode("utf-8")
