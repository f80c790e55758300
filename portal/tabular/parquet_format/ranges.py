"""A source's bytes as the file that Arrow's Parquet reader wants: it seeks and reads, and each read is one range."""

from __future__ import annotations

import io

from portal.tabular.text.objects import Source


class RangeFile(io.RawIOBase):
    """Read by one thread at a time. The end is kept after the first look: the footer is read in several small steps."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0
        self._tail_at = max(0, source.size_bytes - (64 << 10))
        self._tail: bytes | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._source.size_bytes)[whence]
        return self._at

    def size(self) -> int:
        return self._source.size_bytes

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._source.size_bytes - self._at)
        size = left if size < 0 else min(size, left)
        block = self._kept(size) if self._at >= self._tail_at else self._source.range(self._at, size) if size else b""
        self._at += len(block)
        return block

    def _kept(self, size: int) -> bytes:
        if self._tail is None:
            self._tail = self._source.range(self._tail_at, self._source.size_bytes - self._tail_at)
        start = self._at - self._tail_at
        return self._tail[start : start + size]
