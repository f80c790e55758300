"""A seekable file over ranged reads, for libraries that read the end of a file first (Parquet)."""

from __future__ import annotations

import io

from portal.stores.base import ObjectInfo, Reader, Store

_AHEAD_BYTES = 1 << 20
"""A forward seek no longer than this reads on instead of opening a new range."""


class SeekableReader(io.RawIOBase):
    """A read-only file of one object, pinned to the version that `info` describes. For one thread; wrap in io.BufferedReader for small reads."""

    def __init__(self, store: Store, info: ObjectInfo) -> None:
        self._store, self._info = store, info
        self._position = 0
        self._reader: Reader | None = None
        self._reader_at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        return self._info.size_bytes

    def readinto(self, buffer: memoryview | bytearray, /) -> int:  # type: ignore[override]
        if self._position >= self._info.size_bytes or not len(buffer):
            return 0
        block = self._at_position().read(len(buffer))
        buffer[: len(block)] = block
        self._position += len(block)
        self._reader_at = self._position
        return len(block)

    def _at_position(self) -> Reader:
        gap = self._position - self._reader_at
        if self._reader is not None and 0 <= gap <= _AHEAD_BYTES:
            while gap > 0 and (skipped := self._reader.read(gap)):
                gap -= len(skipped)
        else:
            self._drop_reader()
            self._reader = self._store.open_read(self._info.key, start=self._position, pin=self._info)
        self._reader_at = self._position
        return self._reader

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close(self) -> None:
        self._drop_reader()
        super().close()
