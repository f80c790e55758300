"""The files of a table by their URLs, in whichever stores they lie: opened once per container, for use from many threads."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from portal.errors import NotFound
from portal.stores.base import ObjectInfo, Store, Writer
from portal.stores.seekable import SeekableReader
from portal.stores.url import StoreURL

_READ_BYTES = 1 << 18


class Fresh:
    """A file that is being written. `info` is what its store says of it, once it is there."""

    info: ObjectInfo

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self, block: bytes, /) -> int:
        return self._writer.write(block)


class Files:
    """`connect` opens the container of a URL; its stores are closed with this."""

    def __init__(self, connect: Callable[[StoreURL], Store]) -> None:
        self._connect = connect
        self._stores: dict[StoreURL, Store] = {}
        self._lock = threading.Lock()

    def store(self, url: StoreURL) -> Store:
        """Return the container that a URL lies in. Raises SettingError, AccessDenied."""
        with self._lock:
            if url.root not in self._stores:
                self._stores[url.root] = self._connect(url.root)
            return self._stores[url.root]

    def open(self, url: StoreURL) -> BinaryIO:
        """Open a seekable read of one version of a file. Raises NotFound."""
        store = self.store(url)
        return cast(BinaryIO, io.BufferedReader(SeekableReader(store, store.stat(url.key)), _READ_BYTES))

    def find(self, url: StoreURL) -> ObjectInfo | None:
        """Return what the store says of a file, None when it is not there."""
        try:
            return self.store(url).stat(url.key)
        except NotFound:
            return None

    @contextmanager
    def create(self, url: StoreURL, size_bytes: int | None = None) -> Iterator[Fresh]:
        """Write a file in the place of what is there; it appears whole when the context is left without an error."""
        with self.store(url).open_write(url.key, overwrite=True, size_bytes=size_bytes) as writer:
            fresh = Fresh(writer)
            yield fresh
            fresh.info = writer.commit()

    def close(self) -> None:
        for store in self._stores.values():
            store.close()
        self._stores.clear()
