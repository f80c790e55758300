"""The schema that was frozen, written beside the result, so that later files can be given it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from portal.errors import AlreadyExists, ConversionFailed, NotFound
from portal.stores.base import ObjectInfo, Store
from portal.tabular.columns.schema import Schema

_CONTENT_TYPE = "application/json"
_MOST_BYTES = 64 << 20


def document_key(key: str) -> str:
    """Return the key of the document of a result: `a/b.parquet` → `a/_b.parquet.schema.json`, of a folder in it: `a/b/` → `a/b/_b.schema.json`."""
    folder, _, name = key.rpartition("/")
    return f"{folder}/_{name or folder.rpartition('/')[2]}.schema.json" if folder else f"_{name}.schema.json"


def write_document(schema: Schema, store: Store, key: str, *, overwrite: bool, metadata: Mapping[str, str]) -> ObjectInfo:
    """Write a schema as an object. One that is there already is replaced if it is such a document.

    Raises AlreadyExists (something else is there, and not `overwrite`) and what stores raise."""
    if not overwrite:
        _refuse_other(store, key)
    data = schema.to_json().encode()
    with store.open_write(key, overwrite=True, size_bytes=len(data), content_type=_CONTENT_TYPE, metadata=metadata) as writer:
        writer.write(data)
        return writer.commit()


def _refuse_other(store: Store, key: str) -> None:
    with suppress(NotFound):
        info = store.stat(key)
        try:
            if info.size_bytes > _MOST_BYTES:
                raise ConversionFailed("too large")
            with store.open_read(key, pin=info) as reader:
                Schema.from_json(reader.read(_MOST_BYTES).decode())
        except (UnicodeDecodeError, ConversionFailed) as error:
            hint = "Move it away, let targets be replaced (overwrite), or write no schema."
            raise AlreadyExists(f"{store.url.at(key)} exists already and is no schema.", hint=hint) from error
