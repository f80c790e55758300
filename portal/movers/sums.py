"""Checksums of bytes in memory, of pieces, and of the digests of parts, as hexadecimal.

A composite checksum is the checksum of the parts' checksums (bytes, most significant first), one after the other:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from awscrt import checksums as crt

_COMPOSITE = "-composite"
CRCS: Mapping[str, Callable[[Any, int], int]] = {"crc64nvme": crt.crc64nvme, "crc32c": crt.crc32c, "crc32": crt.crc32}
_COMBINE: Mapping[str, Callable[[int, int, int], int]] = {
    "crc64nvme": crt.combine_crc64nvme, "crc32c": crt.combine_crc32c, "crc32": crt.combine_crc32,
}  # fmt: skip
_HEX_DIGITS = {"crc64nvme": 16, "crc32c": 8, "crc32": 8}


class Piece(NamedTuple):
    """The checksum of a stretch of one part of an object. `part` counts from 0; an object without parts is one."""

    name: str
    part: int
    start: int
    size_bytes: int
    value: int | bytes


def base_of(name: str) -> str:
    return name.removesuffix(_COMPOSITE)


def is_composite(name: str) -> bool:
    return name.endswith(_COMPOSITE)


def needs_order(name: str) -> bool:
    """Whether a part must be read from its beginning to its end: hashes do not combine."""
    return base_of(name) not in CRCS


def of(name: str, data: bytes | memoryview, sizes: Sequence[int] = ()) -> str:
    """Return a checksum of data; of a composite one `sizes` are those of the parts."""
    base = base_of(name)
    if not is_composite(name):
        return digest(base, data).hex()
    view = memoryview(data)
    return of_parts(name, [digest(base, view[start : start + size]) for start, size in starts(sizes)])


def of_parts(name: str, digests: Iterable[bytes]) -> str:
    return digest(base_of(name), b"".join(digests)).hex()


def digest(base: str, data: bytes | memoryview) -> bytes:
    if base in CRCS:
        return CRCS[base](data, 0).to_bytes(_HEX_DIGITS[base] // 2, "big")
    return hashlib.new(base, data, usedforsecurity=False).digest()


def crc_hex(name: str, value: int) -> str:
    return f"{value:0{_HEX_DIGITS[name]}x}"


def combined(name: str, pieces: Iterable[tuple[int, int]]) -> int:
    """Return the CRC of pieces that follow one another, each given as (CRC, length in bytes)."""
    combine, value = _COMBINE[name], 0
    for crc, size in pieces:
        value = combine(value, crc, size)
    return value


def starts(sizes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (start, size) of things that follow one another."""
    start = 0
    for size in sizes:
        yield start, size
        start += size


def assembled(name: str, pieces: Iterable[Piece], parts: int) -> str:
    """Return the checksum of an object from its pieces. `parts`: how many it has, 0 when it is one whole."""
    base = base_of(name)
    of_part: dict[int, list[Piece]] = {}
    for piece in pieces:
        if piece.name == base:
            of_part.setdefault(piece.part, []).append(piece)
    digests = [_digest_of_part(base, sorted(of_part.get(part, ()), key=lambda piece: piece.start)) for part in range(parts or 1)]
    return of_parts(name, digests) if is_composite(name) else digests[0].hex()


def _digest_of_part(base: str, pieces: Sequence[Piece]) -> bytes:
    if base not in CRCS:
        return bytes(pieces[0].value)
    value = combined(base, [(int(piece.value), piece.size_bytes) for piece in pieces])
    return value.to_bytes(_HEX_DIGITS[base] // 2, "big")


class Running:
    """Checksums over a run of an object's bytes, cut at its parts' ends. A run of a hash begins and ends with a part."""

    def __init__(self, names: Iterable[str], part_sizes: Sequence[int], size_bytes: int, first: tuple[int, int] = (0, 0)) -> None:
        """`names`: of checksums besides CRC64NVME; `part_sizes`: for the composite ones, of the parts that are touched; `size_bytes`: of the
        whole object; `first`: number and start of the first of those parts."""
        self._names = list(names)
        self._first, begin = first
        self._parts = [(begin + start, size) for start, size in starts(part_sizes)]
        self._firsts = [start for start, _ in self._parts]
        self._whole = [(0, size_bytes)]
        self._hashes: dict[tuple[str, int], Any] = {}

    def pieces(self, start: int, data: memoryview) -> list[Piece]:
        """Take in the block that begins at byte `start` of the object; blocks come in their order. Returns the checksums that are complete."""
        return [piece for name in self._names for piece in self._of(name, start, data)]

    def _of(self, name: str, start: int, data: memoryview) -> Iterator[Piece]:
        base = base_of(name)
        for part, at, size in self._parts_in(name, start, start + len(data)):
            first, last = max(at, start), min(at + size, start + len(data))
            stretch = data[first - start : last - start]
            if base in CRCS:
                yield Piece(base, part, first, last - first, CRCS[base](stretch, 0))
                continue
            running = self._hashes.setdefault((name, part), hashlib.new(base, usedforsecurity=False))
            running.update(stretch)
            if last == at + size:
                yield Piece(base, part, at, size, self._hashes.pop((name, part)).digest())

    def _parts_in(self, name: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield (part, start, size) of the parts that have bytes between start and end."""
        parts = self._parts if is_composite(name) else self._whole
        part = bisect_right(self._firsts, start) - 1 if is_composite(name) else 0
        while part < len(parts) and parts[part][0] < end:
            if parts[part][1]:
                yield part + (self._first if is_composite(name) else 0), *parts[part]
            part += 1
