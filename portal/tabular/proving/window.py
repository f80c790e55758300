"""An object of a store as a seekable file that is read only once, from front to back, and summed on the way: no second copy on the disk.

Parquet is read from its end first: so much of the end is fetched apart, and compared with what the one pass brings.
"""

from __future__ import annotations

import io

from portal.errors import ProofFailed
from portal.stores.base import ObjectInfo, Store
from portal.stores.checksums import crc64, crc64_hex
from portal.tabular.rows import Check

_BLOCK = 1 << 20
_TAIL_BYTES = 256 << 10
"""More than Arrow reads first; Parquet's description of many row groups may be longer still."""
_MAGIC = b"PAR1"


class PassingFile(io.RawIOBase):
    """Holds what was read and not yet let go with `release`; `drain` returns the checksum of all bytes. For one thread at a time."""

    def __init__(self, store: Store, info: ObjectInfo, check: Check) -> None:
        self._info, self._check = info, check
        self._size = info.size_bytes
        self._tail_start = max(0, self._size - _TAIL_BYTES)
        self._tail = b""
        self._store = store
        self._reader = store.open_read(info.key, pin=info)
        self._held, self._held_start, self._crc, self._position = bytearray(), 0, 0, 0
        self._forgets = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        start = self._position
        end = self._size if size < 0 else min(self._size, start + size)
        if start >= end:
            return b""
        self._position = end
        if self._forgets:
            self.release(start)
        if self._held_start <= start and end <= self._reached:
            return self._cut(start, end)
        if start >= self._tail_start:
            return self._from_tail(start, end)
        self._reach(end)
        return self._cut(start, end)

    def forget_as_read(self) -> None:
        """Let go of bytes once they are read: from now on nobody goes back."""
        self._forgets, self._tail_start = True, self._size

    @property
    def _reached(self) -> int:
        return self._held_start + len(self._held)

    def _cut(self, start: int, end: int) -> bytes:
        if start < self._held_start:
            raise ProofFailed(f"{self._info.key} is no file whose values stand in order: byte {start} is asked for again.")
        with memoryview(self._held) as held:
            return bytes(held[start - self._held_start : end - self._held_start])

    def _from_tail(self, start: int, end: int) -> bytes:
        if not self._tail:
            self._tail = self._end_of_file()
            footer = int.from_bytes(self._tail[-8:-4], "little") + 8 if self._tail.endswith(_MAGIC) else 0
            if len(self._tail) < footer <= self._size:
                self._tail_start = self._size - footer
                self._tail = self._end_of_file()
        return self._tail[start - self._tail_start : end - self._tail_start]

    def _end_of_file(self) -> bytes:
        with self._store.open_read(self._info.key, start=self._tail_start, pin=self._info) as reader:
            return b"".join(iter(lambda: reader.read(_BLOCK), b""))

    def _reach(self, end: int) -> None:
        while self._reached < end and self._next():
            pass

    def _next(self) -> bytes:
        self._check()
        block = self._reader.read(_BLOCK)
        self._crc = crc64(block, self._crc)
        self._held += block
        return block

    def release(self, before: int) -> None:
        """Let go what lies before a byte, but for the end, which `drain` compares."""
        count = min(min(before, self._tail_start) - self._held_start, len(self._held))
        if count > 0:
            del self._held[:count]
            self._held_start += count

    def drain(self) -> str:
        """Read what is left and return the checksum of the whole, 16 hexadecimal digits. Raises ProofFailed when the end read apart is another."""
        self.release(self._tail_start)
        while self._next():
            self.release(self._tail_start)
        if self._tail and not self._held.endswith(self._tail):
            raise ProofFailed(f"The end of {self._info.key} was read twice and differs.", hint="Run it again.")
        return crc64_hex(self._crc)

    def close(self) -> None:
        self._reader.close()
        super().close()
