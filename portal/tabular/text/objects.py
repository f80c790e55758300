"""A source's bytes: read once from the start with its checksum counted on the way, or in ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from portal.errors import SourceChanged
from portal.stores.base import ObjectInfo, Reader, Store
from portal.transfer import proof
from portal.transfer.digests import Digests

Passed = Callable[[int], None]
"""Called with the number of bytes of each block that was read; may raise Cancelled."""


class SourceReader(Protocol):
    """One pass over all bytes of a source."""

    digests: Digests
    """Of the bytes read so far."""
    compared: str
    """After `finish`: `name:value` of the source's stored checksum that the bytes were compared with, '' when it stores none."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, fewer only at the end; b'' at the end. Raises what stores raise."""
        ...

    def finish(self) -> None:
        """Read what is left and compare size and checksum with the store's. Raises SourceChanged, ProofFailed."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    """Bytes with a name and a size, that can be read as often as needed and are the same each time."""

    @property
    def name(self) -> str:
        """Whose ending may tell what it is."""
        ...

    @property
    def size_bytes(self) -> int: ...

    def open(self, passed: Passed) -> SourceReader: ...

    def range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer only at the end. Raises what stores raise."""
        ...


class _ObjectReader:
    def __init__(self, reader: Reader, info: ObjectInfo, place: object, passed: Passed) -> None:
        self._reader, self._info, self._place, self._passed = reader, info, place, passed
        self._algorithm = proof.source_algorithm(reader.info, "none")
        self.digests = Digests([self._algorithm or "crc64nvme"])
        self.compared = ""

    def read(self, size: int, /) -> bytes:
        block = self._reader.read(size)
        self.digests.update(block)
        self._passed(len(block))
        return block

    def finish(self) -> None:
        while self.read(1 << 20):
            pass
        came, listed = self.digests.size_bytes, self._info.size_bytes
        if came != listed:
            raise SourceChanged(f"The source was listed with {listed} bytes, {came} came.", hint="List it again.")
        self.compared = proof.compare_source(self._reader.info, self._algorithm, self.digests, self._place)

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class StoreObject:
    """An object of a store, held to the version that was listed. See `Source`."""

    store: Store
    info: ObjectInfo

    @property
    def name(self) -> str:
        return self.info.key

    @property
    def size_bytes(self) -> int:
        return self.info.size_bytes

    def open(self, passed: Passed) -> SourceReader:
        """Raises NotFound, SourceChanged and what stores raise."""
        return _ObjectReader(self.store.open_read(self.info.key, pin=self.info), self.info, self.store.url.at(self.info.key), passed)

    def range(self, start: int, length: int) -> bytes:
        with self.store.open_read(self.info.key, start=start, length=length, pin=self.info) as reader:
            return reader.read(length)
