"""The files of tables, wherever they are: reached with the connections that a catalog names, by the URLs that Iceberg and Hadoop write."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from portal.connections import KIND_OF_SCHEME, CatalogConnection
from portal.errors import AlreadyExists, CatalogError
from portal.stores.base import ObjectInfo, Store
from portal.stores.opening import open_store
from portal.stores.seekable import SeekableReader
from portal.stores.url import StoreURL

WHOLE_BYTES = 4 << 20
"""A file of at most so many bytes is read at once."""
_BUFFER_BYTES = 1 << 20
_SAME_STORE = {"s3a": "s3", "s3n": "s3", "abfs": "abfss", "wasb": "abfss", "wasbs": "abfss"}
_PLACE = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*):(?P<rest>/.*)", re.DOTALL)
_ONLY_SPARK = "The portal reaches s3://, abfss:// and file:// (a mounted disk). Bring such a table over with ingest_hive, which reads with Spark."

Lookup = Callable[[str, str], Any]
"""Gives the connection of a kind and a name ('' the default)."""


def store_url(location: str) -> StoreURL:
    """Return what a location in Iceberg's metadata stands for: also s3a://, wasbs://, file:/folder and /folder. Raises CatalogError."""
    found = _PLACE.fullmatch(location)
    if not found:
        if location.startswith("/"):
            return StoreURL("file", "", "", location[1:])
        raise CatalogError(f"{location!r} is not the URL of a file.", hint=_ONLY_SPARK)
    scheme, rest = found["scheme"].lower(), found["rest"]
    if scheme == "file":
        return StoreURL("file", "", "", rest.lstrip("/"))
    try:
        return StoreURL.parse(f"{_SAME_STORE.get(scheme, scheme)}:{rest}")
    except ValueError as error:
        if scheme not in (*_SAME_STORE, "s3", "abfss"):
            raise CatalogError(f"{location} lies in a store that the portal does not reach.", hint=_ONLY_SPARK) from None
        raise CatalogError(str(error)) from None


class Files:
    """Opens files by URL. Safe for use from many threads; a file that was opened is for one."""

    def __init__(self, lookup: Lookup, *, s3: str = "", adls: str = "") -> None:
        self._lookup, self._names = lookup, {"s3": s3, "adls": adls}
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, connection: CatalogConnection, lookup: Lookup) -> Files:
        """With the connections that a catalog names for its tables' files."""
        return cls(lookup, s3=connection.s3_connection, adls=connection.adls_connection)

    def connection_name(self, scheme: str) -> str:
        """Name of the connection that files of this scheme are reached with, '' the default."""
        return self._names.get(KIND_OF_SCHEME[scheme], "")

    def store(self, url: StoreURL) -> Store:
        """Return the container of a URL, opened. Raises SettingError, AccessDenied, Unreachable."""
        name = str(url.root)
        with self._lock:
            if name not in self._stores:
                kind = KIND_OF_SCHEME[url.scheme]
                self._stores[name] = open_store(url.root, self._lookup(kind, self._names.get(kind, "")))
            return self._stores[name]

    def place(self, location: str) -> tuple[Store, str]:
        """Return store and key of a location."""
        url = store_url(location)
        return self.store(url), url.key

    def stat(self, location: str) -> ObjectInfo:
        """Raises NotFound."""
        store, key = self.place(location)
        return store.stat(key)

    def open(self, location: str, info: ObjectInfo | None = None) -> BinaryIO:
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

    def close(self) -> None:
        with self._lock:
            for store in self._stores.values():
                with contextlib.suppress(Exception):
                    store.close()
            self._stores.clear()


def _pages(store: Store, prefix: str) -> Iterator[tuple[list[str], list[ObjectInfo]]]:
    continuation: str | None = None
    while True:
        page = store.list_page(prefix, recursive=False, continuation=continuation)
        yield list(page.prefixes), [info for info in page.objects if not info.is_folder and info.key != prefix]
        continuation = page.continuation
        if continuation is None:
            return
