"""The files of tables, wherever they are: reached with the connections that a catalog names, by the URLs that Iceberg and Hadoop write."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from portal.connections import KIND_OF_SCHEME, CatalogConnection
from portal.errors import AlreadyExists
from portal.lake.iceberg import files
from portal.lake.iceberg.paths import read_path
from portal.stores.base import ObjectInfo, Store
from portal.stores.opening import open_store
from portal.stores.seekable import SeekableReader
from portal.stores.url import StoreURL

WHOLE_BYTES = 4 << 20
"""A file of at most so many bytes is read at once."""
_BUFFER_BYTES = 1 << 20

Lookup = Callable[[str, str], Any]
"""Gives the connection of a kind and a name ('' the default)."""


class Files(files.Files):
    """Opens files by URL. Safe for use from many threads; a file that was opened is for one."""

    def __init__(self, lookup: Lookup, *, s3: str = "", adls: str = "") -> None:
        super().__init__(self._opened)
        self._lookup, self._connections = lookup, {"s3": s3, "adls": adls}

    def _opened(self, url: StoreURL) -> Store:
        return open_store(url, self._lookup(KIND_OF_SCHEME[url.scheme], self.connection_name(url.scheme)))

    @classmethod
    def of(cls, connection: CatalogConnection, lookup: Lookup) -> Files:
        """With the connections that a catalog names for its tables' files."""
        return cls(lookup, s3=connection.s3_connection, adls=connection.adls_connection)

    def connection_name(self, scheme: str) -> str:
        """Name of the connection that files of this scheme are reached with, '' the default."""
        return self._connections.get(KIND_OF_SCHEME[scheme], "")

    def place(self, location: str) -> tuple[Store, str]:
        """Return store and key of a location, as metadata has it. Raises TableRefused for one in no store of ours."""
        url = read_path(location)
        return self.store(url), url.key

    def stat(self, location: str) -> ObjectInfo:
        """Raises NotFound."""
        store, key = self.place(location)
        return store.stat(key)

    def open_at(self, location: str, info: ObjectInfo | None = None) -> BinaryIO:
        """Open a file for reading, seekable: a small one is read at once, of a large one the ranges that are asked for. Raises NotFound."""
        store, key = self.place(location)
        found = info or store.stat(key)
        if found.size_bytes <= WHOLE_BYTES:
            return io.BytesIO(self.read(location))
        return io.BufferedReader(cast(Any, SeekableReader(store, found)), _BUFFER_BYTES)

    def read(self, location: str) -> bytes:
        """Return a small file, whole, with one request. Raises NotFound."""
        store, key = self.place(location)
        with store.open_read(key) as reader:
            return b"".join(iter(lambda: reader.read(1 << 20), b""))

    def write(self, location: str, data: bytes, *, overwrite: bool = False) -> None:
        """Write a small file; it appears whole. Raises AlreadyExists unless `overwrite`."""
        store, key = self.place(location)
        with store.open_write(key, overwrite=overwrite, size_bytes=len(data)) as writer:
            writer.write(data)
            writer.commit()

    def put(self, location: str, data: bytes) -> None:
        """Write a small file that may be there already with the same bytes. Raises AlreadyExists when it holds other ones."""
        try:
            self.write(location, data)
        except AlreadyExists:
            if self.read(location) != data:
                raise

    def below(self, location: str) -> tuple[list[str], list[ObjectInfo]]:
        """Return the names of the folders and the files directly in a folder."""
        store, key = self.place(location)
        prefix = key.rstrip("/") + "/" if key.strip("/") else ""
        folders: list[str] = []
        files: list[ObjectInfo] = []
        for page in _pages(store, prefix):
            folders += [item.rstrip("/").rpartition("/")[2] for item in page[0]]
            files += page[1]
        return folders, files


def _pages(store: Store, prefix: str) -> Iterator[tuple[list[str], list[ObjectInfo]]]:
    continuation: str | None = None
    while True:
        page = store.list_page(prefix, recursive=False, continuation=continuation)
        yield list(page.prefixes), [info for info in page.objects if not info.is_folder and info.key != prefix]
        continuation = page.continuation
        if continuation is None:
            return
