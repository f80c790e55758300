"""The small interface every store has. Objects stream: nothing here ever holds a whole object.

A `Store` is one container (bucket, file system, root folder) opened with credentials; an `Account` is what containers live in.
Errors are those of `portal.errors`: each method names its own. All may raise AccessDenied, Unreachable or Throttled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from portal.stores.url import StoreURL


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows of one object. A listing leaves the second half empty; `stat` fills what the store has."""

    key: str
    size_bytes: int
    etag: str = ""
    """Without quotes."""
    modified: datetime | None = None
    storage_class: str = ""
    is_folder: bool = False
    version_id: str | None = None
    content_type: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Stored full-object checksums, hexadecimal, by name: crc64nvme, crc32, crc32c, sha1, sha256, md5. Composite ones as `sha256-composite` etc."""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. `continuation` leads to the next, None at the end."""

    objects: tuple[ObjectInfo, ...]
    prefixes: tuple[str, ...] = ()
    """"Folders" directly below the prefix, ending in '/', when the listing was not recursive."""
    continuation: str | None = None


class Reader(Protocol):
    """An open read of one object or range. `info` is what the store said of the object when the read was opened."""

    info: ObjectInfo

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, fewer only at the end; b'' at the end. Raises SourceChanged, Unreachable when cut off."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None: ...


class Writer(Protocol):
    """An open write of one object. Nothing is visible under its key until `commit`; leaving the context without a commit aborts."""

    def write(self, block: bytes | memoryview, /) -> int: ...

    @property
    def checks_blocks(self) -> bool:
        """True when the store itself compared every block with its checksum before it took it."""
        ...

    def commit(self, *, md5: str = "") -> ObjectInfo:
        """Make the object visible, whole, and return it as the store sees it. `md5` (hexadecimal) is stored with the object where the
        store has a place for it. Raises AlreadyExists, ProofFailed."""
        ...

    def abort(self) -> None:
        """Leave nothing behind. Never raises."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None: ...


class Store(Protocol):
    """One container, opened."""

    url: StoreURL
    """The container's URL; its key is ''."""

    def list_page(self, prefix: str = "", *, recursive: bool = True, continuation: str | None = None, limit: int = 1000) -> Page:
        """Return one page of the objects whose keys start with `prefix`, in the store's order. Raises NotFound (the container)."""
        ...

    def stat(self, key: str) -> ObjectInfo:
        """Raises NotFound."""
        ...

    def open_read(self, key: str, *, start: int = 0, length: int | None = None, pin: ObjectInfo | None = None) -> Reader:
        """Open a read of `length` bytes from `start` (default: all). `pin` holds the read to the version listed.

        Raises NotFound, SourceChanged (the object is no longer the pinned one)."""
        ...

    def open_write(
        self, key: str, *, overwrite: bool = False, size_bytes: int | None = None, content_type: str = "", metadata: Mapping[str, str] | None = None
    ) -> Writer:
        """Open a write. `size_bytes` is a hint. Raises AlreadyExists (unless overwrite), NotFound (the container), NameNotAllowed."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error when it is not there."""
        ...

    def close(self) -> None: ...


class Account(Protocol):
    """What containers live in: an AWS account, a storage account, the allowed local folders."""

    def containers(self) -> list[str]: ...

    def create_container(self, name: str) -> None:
        """No error when it is there already and ours. Raises NameNotAllowed, AlreadyExists (somebody else's)."""
        ...

    def store(self, container: str) -> Store: ...


@runtime_checkable
class Presigns(Protocol):
    """A store that can give a URL that reads one object without credentials, for a time."""

    def presign_read(self, key: str, *, expires_s: int, version_id: str | None = None) -> str: ...


@runtime_checkable
class Renames(Protocol):
    """A store whose rename is atomic."""

    def rename(self, key: str, new_key: str, *, overwrite: bool = False, durable: bool = True) -> None:
        """Unless `durable`, whoever renames many sees to it that the new names outlive a power cut: `HasFolders.sync_folder`.

        Raises NotFound, AlreadyExists."""
        ...


@runtime_checkable
class HasFolders(Protocol):
    """A store with folders that stay when nothing is left in them, as on a disk. Their keys end in '/'."""

    def has_folder(self, folder: str) -> bool: ...

    def remove_folder(self, folder: str) -> None:
        """Remove it when it is empty; no error when it is not, or not there."""
        ...

    def sync_folder(self, folder: str) -> None:
        """Make the names in it durable. Raises NotFound."""
        ...


@runtime_checkable
class Copies(Protocol):
    """A store that copies an object within its container without a byte through us."""

    def copy(self, pin: ObjectInfo, new_key: str) -> ObjectInfo:
        """Make the pinned object appear whole under another key too, metadata with it, in place of what is there; returns what is there then.

        Raises SourceChanged (it is no longer the pinned one)."""
        ...


def walk(store: Store, prefix: str = "", *, page_size: int = 1000) -> Iterator[ObjectInfo]:
    """Yield every object below a prefix, page by page, folders left out."""
    continuation: str | None = None
    while True:
        page = store.list_page(prefix, continuation=continuation, limit=page_size)
        yield from (info for info in page.objects if not info.is_folder)
        continuation = page.continuation
        if continuation is None:
            return
