"""Reads a file of chosen keys: text with one key a line, or a Parquet inventory with a column `key`."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from portal.errors import BadParameters
from portal.stores.base import Store
from portal.stores.seekable import SeekableReader


def read_keys(store: Store, key: str) -> Iterator[str]:
    """Yield the keys, empty lines left out; memory stays flat. Raises NotFound, BadParameters when the file is neither or names none."""
    none = True
    with SeekableReader(store, store.stat(key)) as file:
        try:
            for one in _from_parquet(file) if key.endswith(".parquet") else _from_text(file):
                none = False
                yield one
        except (ValueError, KeyError) as error:
            hint = "Write one key a line in UTF-8, or use an inventory made by the list engine."
            raise BadParameters(f"{store.url.at(key)} holds no list of keys.", hint=hint) from error
    if none:
        raise BadParameters(f"{store.url.at(key)} names no keys.")


def _from_text(file: SeekableReader) -> Iterator[str]:
    for line in file:
        text = line.decode("utf-8").rstrip("\r\n")
        if text:
            yield text


def _from_parquet(file: SeekableReader) -> Iterator[str]:
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(columns=["key"]):
            yield from batch.column("key").to_pylist()
