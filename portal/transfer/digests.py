"""Checksums over a stream, block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from awscrt import checksums as crt

from portal.stores.checksums import crc64, crc64_hex

_CRCS: dict[str, Callable[[bytes | memoryview, int], int]] = {"crc32": crt.crc32, "crc32c": crt.crc32c}


class Digests:
    """The CRC64NVME of a stream, and whichever others are asked for (names of `portal.stores.checksums.ALGORITHMS`)."""

    def __init__(self, others: Iterable[str] = ()) -> None:
        wanted = set(others) - {"crc64nvme"}
        self.size_bytes = 0
        self._crc64 = 0
        self._crcs = dict.fromkeys(wanted & set(_CRCS), 0)
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in wanted - set(_CRCS)}

    def update(self, block: bytes | memoryview) -> None:
        self.size_bytes += len(block)
        self._crc64 = crc64(block, self._crc64)
        for name in self._crcs:
            self._crcs[name] = _CRCS[name](block, self._crcs[name])
        for digest in self._hashes.values():
            digest.update(block)

    @property
    def crc64nvme(self) -> str:
        return crc64_hex(self._crc64)

    def hex(self, name: str) -> str:
        """Return a checksum in hexadecimal; '' when it was not asked for."""
        if name == "crc64nvme":
            return self.crc64nvme
        if name in self._crcs:
            return f"{self._crcs[name]:08x}"
        return self._hashes[name].hexdigest() if name in self._hashes else ""
