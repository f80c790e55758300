"""Folders of this machine, confined to the roots of the connection. Keys are absolute paths without the leading slash.

Content type and metadata have no place in a file and are not kept.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from portal.connections import LocalConnection
from portal.durable import sync_folder
from portal.errors import AlreadyExists, NotFound, SourceChanged, StoreError
from portal.stores.base import ObjectInfo, Page
from portal.stores.local_files import READ_FLAGS, confined, entry_stat, etag, forget, reading, refuse_missing_root, resolved, translated
from portal.stores.local_rename import rename_fresh
from portal.stores.partial import is_partial, names_below, partial_name
from portal.stores.url import StoreURL


class LocalReader:
    """An open read; see `portal.stores.base.Reader`."""

    def __init__(self, file: BinaryIO, info: ObjectInfo, length: int) -> None:
        self._file, self._left, self.info = file, length, info

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._file.read(wanted)
        self._left -= len(block)
        if len(block) < wanted or (self._left == 0 and size != 0):
            self._refuse_change()
        return block

    def _refuse_change(self) -> None:
        if etag(os.fstat(self._file.fileno())) != self.info.etag:
            raise SourceChanged(f"/{self.info.key} was written to while it was read.", hint="Run the job again when nobody writes to it.")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


class LocalWriter:
    """An open write: a hidden file beside the target, forced to the disk and then linked (or renamed) to its name."""

    checks_blocks: bool = False

    def __init__(self, key: str, path: Path, overwrite: bool) -> None:
        self._key, self._path, self._overwrite = key, path, overwrite
        self._fresh = path.with_name(partial_name())
        with translated(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb", buffering=0)
        self._committed = False

    def write(self, block: bytes | memoryview, /) -> int:
        left = memoryview(block)
        with translated(self._key):
            while left:
                left = left[self._file.write(left) or 0 :]
        return len(block)

    def commit(self, *, md5: str = "") -> ObjectInfo:
        with translated(self._key):
            os.fsync(self._file.fileno())
            forget(self._file.fileno())
            found = os.fstat(self._file.fileno())
            self._file.close()
            if self._overwrite:
                self._fresh.replace(self._path)
            else:
                rename_fresh(self._fresh, self._path)
            self._committed = True
            if not is_partial(self._key):  # whoever staged it gives it another name, and makes that one durable
                sync_folder(self._path.parent)
        return _info(self._key, found)

    def abort(self) -> None:
        self._file.close()
        if not self._committed:
            with contextlib.suppress(OSError):
                self._fresh.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        if not self._committed:
            self.abort()


class LocalStore:
    """Every folder that the connection allows. Safe for use from many threads."""

    def __init__(self, url: StoreURL, connection: LocalConnection) -> None:
        self.url = url.root
        self._roots = resolved(connection.roots)

    def path(self, key: str) -> Path:
        """Return where a key is on the disk, all links followed. Raises AccessDenied outside the roots, NameNotAllowed."""
        return confined(key, self._roots)

    def list_page(self, prefix: str = "", *, recursive: bool = True, continuation: str | None = None, limit: int = 1000) -> Page:
        """List in name order, for people who look around: what cannot be looked at is left out. Raises NotFound when the allowed folder itself is
        not there, and what reading a folder does."""
        with reading(prefix):
            return self._page(prefix, recursive, continuation, limit)

    def _page(self, prefix: str, recursive: bool, continuation: str | None, limit: int) -> Page:
        folder = prefix.rpartition("/")[0]
        place = self.path(folder)
        if not place.is_dir():
            refuse_missing_root(place, self._roots)
            return Page(())
        objects: list[ObjectInfo] = []
        prefixes: list[str] = []
        last = None
        for key, entry in names_below(place, f"{folder}/" if folder else "", prefix, recursive=recursive, after=continuation):
            if len(objects) + len(prefixes) >= limit:
                return Page(tuple(objects), tuple(prefixes), last)
            last = key
            found = self._seen(key, entry)
            if found and found.is_folder and not recursive:
                prefixes.append(f"{key}/")
            elif found:
                objects.append(found)
        return Page(tuple(objects), tuple(prefixes), None)

    def _seen(self, key: str, entry: os.DirEntry[str]) -> ObjectInfo | None:
        try:
            found = entry_stat(key, entry, self._roots)
        except StoreError:
            return None
        return _info(key, found) if found else None

    def stat(self, key: str) -> ObjectInfo:
        with translated(key):
            return _info(key, self.path(key).stat())

    def open_read(self, key: str, *, start: int = 0, length: int | None = None, pin: ObjectInfo | None = None) -> LocalReader:
        path = self.path(key)
        try:
            with translated(key):
                if path.is_dir():
                    raise NotFound(f"file:///{key} is a folder.")
                file = open(os.open(path, READ_FLAGS), "rb", buffering=0)
        except NotFound:
            if pin is None:
                raise
            raise SourceChanged(f"/{key} was deleted after it was listed.") from None
        info = _info(key, os.fstat(file.fileno()))
        if pin and pin.etag and pin.etag != info.etag:
            file.close()
            raise SourceChanged(f"/{key} was replaced after it was listed.", hint="Run the job again to take what is there now.")
        file.seek(min(start, info.size_bytes))
        left = max(0, info.size_bytes - start)
        return LocalReader(file, info, left if length is None else min(length, left))

    def open_write(
        self, key: str, *, overwrite: bool = False, size_bytes: int | None = None, content_type: str = "", metadata: Mapping[str, str] | None = None
    ) -> LocalWriter:
        path = self.path(key)
        with translated(key):
            occupied = path.is_dir() or (path.exists() and not overwrite)
        if occupied:
            raise AlreadyExists(f"file:///{key} exists already.", hint="Choose another name or allow overwriting.")
        return LocalWriter(key, path, overwrite)

    def delete(self, key: str) -> None:
        with translated(key):
            self.path(key).unlink(missing_ok=True)

    def rename(self, key: str, new_key: str, *, overwrite: bool = False, durable: bool = True) -> None:
        old, new = self.path(key), self.path(new_key)
        with translated(key if not old.exists() else new_key):
            new.parent.mkdir(parents=True, exist_ok=True)
            if overwrite:
                old.replace(new)
            else:
                rename_fresh(old, new)
            if durable:
                sync_folder(new.parent)

    def has_folder(self, folder: str) -> bool:
        return self.path(folder).is_dir()

    def remove_folder(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            self.path(folder).rmdir()

    def sync_folder(self, folder: str) -> None:
        with translated(folder):
            sync_folder(self.path(folder))

    def close(self) -> None: ...


class LocalAccount:
    """The allowed folders."""

    def __init__(self, connection: LocalConnection) -> None:
        self._connection = connection

    def containers(self) -> list[str]:
        """Absolute paths of the roots."""
        return list(self._connection.roots)

    def create_container(self, name: str) -> None:
        store = LocalStore(StoreURL("file", ""), self._connection)
        with translated(name):
            store.path(name.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def store(self, container: str) -> LocalStore:
        return LocalStore(StoreURL("file", ""), self._connection)

    def close(self) -> None: ...


def open_store(url: StoreURL, connection: LocalConnection) -> LocalStore:
    return LocalStore(url, connection)


def open_account(connection: LocalConnection) -> LocalAccount:
    return LocalAccount(connection)


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    folder = modes.S_ISDIR(found.st_mode)
    moment = datetime.fromtimestamp(found.st_mtime_ns / 1e9, UTC)
    return ObjectInfo(key, 0 if folder else found.st_size, etag=etag(found), modified=moment, is_folder=folder)
