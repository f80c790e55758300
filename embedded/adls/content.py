"""The bytes: one file per piece (a Put Blob, a block, an append), written once, never changed.

A piece that nothing refers to any more is removed as soon as nobody reads it.
"""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from awscrt.checksums import crc64nvme

from embedded.adls.errors import StorageError

BUFFER_BYTES = 1 << 20
_local = threading.local()


class Incoming(Protocol):
    """Bytes on their way in: a request's body, or what a source gives."""

    @property
    def remaining(self) -> int | None: ...

    def readinto(self, view: memoryview) -> int: ...


@dataclass(frozen=True)
class Piece:
    """A stored body: file name under content/, size in bytes, and the digests taken while it arrived."""

    file: str
    size: int
    md5: bytes | None
    crc64: int


@dataclass(frozen=True)
class Span:
    """`length` bytes of a piece from `offset`."""

    file: str
    offset: int
    length: int


class Content:
    """Pieces under `root`/content, spread over 256 folders."""

    def __init__(self, root: Path) -> None:
        self._root = root / "content"
        for number in range(256):
            (self._root / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._readers: Counter[str] = Counter()
        self._doomed: set[str] = set()

    def path(self, file: str) -> str:
        return f"{self._root}/{file[:2]}/{file}"

    def receive(self, body: Incoming, *, md5: bool, limit: int = 1 << 62) -> Piece:
        """Stream a body into a new piece of at most `limit` bytes.

        Raises:
            StorageError: RequestBodyTooLarge; nothing is kept then.
            ConnectionError: the client went away; nothing is kept.
        """
        file = uuid.uuid4().hex
        digest = hashlib.md5(usedforsecurity=False) if md5 else None
        crc, size = 0, 0
        descriptor = os.open(self.path(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            view = _buffer(body.remaining)
            while count := body.readinto(view):
                chunk = view[:count]
                crc = crc64nvme(chunk, crc)
                if digest:
                    digest.update(chunk)
                _write_all(descriptor, chunk)
                size += count
                if size > limit:
                    raise StorageError("RequestBodyTooLarge", detail={"MaxLimit": str(limit)})
        except BaseException:
            os.unlink(self.path(file))
            raise
        finally:
            os.close(descriptor)
        return Piece(file, size, digest.digest() if digest else None, crc)

    def link(self, file: str) -> str:
        """The same bytes under a second name, without copying them."""
        name = uuid.uuid4().hex
        os.link(self.path(file), self.path(name))
        return name

    def pin(self, files: Iterable[str]) -> None:
        with self._lock:
            self._readers.update(files)

    def unpin(self, files: Iterable[str]) -> None:
        with self._lock:
            gone = set()
            for file in files:
                self._readers[file] -= 1
                if not self._readers[file]:
                    del self._readers[file]
                    if file in self._doomed:
                        gone.add(file)
            self._doomed -= gone
        self._unlink(gone)

    def discard(self, files: Iterable[str]) -> None:
        """Nothing refers to these any more: remove them, those being read when their last reader ends."""
        with self._lock:
            files = set(files)
            read = {file for file in files if file in self._readers}
            self._doomed |= read
        self._unlink(files - read)

    def sweep(self, known: set[str]) -> int:
        """Remove the pieces that a crash left without a record; their number."""
        strays = {file.name for folder in self._root.iterdir() for file in folder.iterdir()} - known
        self._unlink(strays)
        return len(strays)

    def _unlink(self, files: Iterable[str]) -> None:
        for file in files:
            with suppress(FileNotFoundError):
                os.unlink(self.path(file))


def cut(pieces: Iterable[tuple[str, int]], offset: int, length: int) -> list[Span]:
    """The spans of consecutive pieces (file, size in bytes) that make up `length` bytes from `offset`."""
    spans, start = [], 0
    for file, size in pieces:
        first, last = max(offset, start), min(offset + length, start + size)
        if first < last:
            spans.append(Span(file, first - start, last - first))
        start += size
    return spans


def _buffer(expected: int | None) -> memoryview:
    """A buffer of this thread, or a small one for a small body."""
    if expected is not None and expected <= 1 << 16:
        return memoryview(bytearray(max(expected, 1)))
    if not hasattr(_local, "buffer"):
        _local.buffer = memoryview(bytearray(BUFFER_BYTES))
    return _local.buffer  # type: ignore[no-any-return]


def _write_all(descriptor: int, chunk: memoryview) -> None:
    while chunk:
        chunk = chunk[os.write(descriptor, chunk) :]
