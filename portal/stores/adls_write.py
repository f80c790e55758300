"""Writing one ADLS file: blocks are appended to a hidden file beside the target, which is flushed and then renamed to its name.

The rename is atomic, so a reader sees the old file, or none, or the new one whole. Azure compares every block with its CRC64 before it takes it
(x-ms-content-crc64, https://learn.microsoft.com/rest/api/storageservices/datalakestoragegen2/path/update), and the flush names the length.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.storage.filedatalake import ContentSettings, FileSystemClient

from portal.errors import AlreadyExists, NameNotAllowed, ProofFailed
from portal.stores import checksums
from portal.stores.adls_client import BLOCK_BYTES
from portal.stores.adls_errors import ConditionFailed
from portal.stores.base import ObjectInfo
from portal.stores.partial import partial_name
from portal.stores.url import StoreURL

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Container(Protocol):
    """What a writer needs of its store."""

    url: StoreURL
    client: FileSystemClient

    def translated(self, what: str, key: str = "") -> AbstractContextManager[None]: ...
    def rename(self, key: str, new_key: str, *, overwrite: bool = False) -> None: ...
    def stat(self, key: str) -> ObjectInfo: ...


class AdlsWriter:
    """An open write; see `portal.stores.base.Writer`. Not for two threads at once."""

    checks_blocks: bool = True

    def __init__(self, store: Container, key: str, *, overwrite: bool, content_type: str, metadata: Mapping[str, str]) -> None:
        if wrong := [name for name in metadata if not _NAME.fullmatch(name)]:
            raise NameNotAllowed(f"Metadata of {store.url.at(key)} cannot be called {wrong[0]!r} in ADLS: letters, digits and '_' only.")
        self._store, self._key, self._overwrite = store, key, overwrite
        self._content_type = content_type or "application/octet-stream"
        self._metadata = dict(metadata)
        folder, slash, _ = key.rpartition("/")
        self._fresh = folder + slash + partial_name()
        self._file: Any = store.client.get_file_client(self._fresh)
        self._buffer = bytearray()
        self._size = 0
        self._begun = self._committed = False

    def _begin(self) -> None:
        if self._begun:
            return
        with self._store.translated("Writing", self._key):
            self._file.create_file(metadata=self._metadata, match_condition=MatchConditions.IfMissing)
        self._begun = True

    def write(self, block: bytes | memoryview, /) -> int:
        if not self._buffer and len(block) == BLOCK_BYTES:
            self._send(bytes(block))
            return len(block)
        self._buffer += block
        while len(self._buffer) >= BLOCK_BYTES:
            self._send(bytes(self._buffer[:BLOCK_BYTES]))
            del self._buffer[:BLOCK_BYTES]
        return len(block)

    def _send(self, block: bytes) -> None:
        self._begin()
        crc = checksums.azure_bytes(checksums.crc64(block))
        with self._store.translated("Writing", self._key):
            self._file.append_data(block, self._size, len(block), transactional_content_crc64=crc)
        self._size += len(block)

    def commit(self, *, md5: str = "") -> ObjectInfo:
        """Flush and rename. `md5` becomes the file's Content-MD5. Raises AlreadyExists, ProofFailed."""
        if self._buffer:
            self._send(bytes(self._buffer))
            self._buffer.clear()
        self._begin()
        settings = ContentSettings(content_type=self._content_type, content_md5=bytearray.fromhex(md5) if md5 else None)
        with self._store.translated("Writing", self._key):
            self._file.flush_data(self._size, content_settings=settings)
        self._store.rename(self._fresh, self._key, overwrite=self._overwrite)
        self._committed = True
        found = self._store.stat(self._key)
        if found.size_bytes != self._size:
            raise ProofFailed(f"{self._store.url.at(self._key)} holds {found.size_bytes} bytes instead of the {self._size} that were sent.")
        return found

    def abort(self) -> None:
        if self._begun and not self._committed:
            with contextlib.suppress(AzureError):
                self._file.delete_file()
            self._begun = False
        self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        if not self._committed:
            self.abort()


def renamed(store: Container, key: str, new_key: str, *, overwrite: bool) -> None:
    """Rename a path, atomically. Raises NotFound, AlreadyExists."""
    condition: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
    try:
        with store.translated("Renaming", key):
            # The SDK percent-decodes the source's name once more than it should; quoted here, a name with '%' in it survives.
            store.client.get_file_client(quote(key)).rename_file(f"{store.url.container}/{new_key}", **condition)
    except ConditionFailed as error:
        raise AlreadyExists(f"{store.url.at(new_key)} exists already.", hint="Choose another name or allow overwriting.") from error


def md5_hex(content_md5: bytes | bytearray | str | None) -> str:
    """Return a Content-MD5 property as hexadecimal, '' when there is none."""
    if not content_md5:
        return ""
    return (base64.b64decode(content_md5) if isinstance(content_md5, str) else bytes(content_md5)).hex()
