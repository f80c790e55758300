"""The checksum that a store keeps of an object, or its notice told, and the same checksum of bytes on the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from portal.movers.sums import Piece, Running, assembled, base_of, digest, is_composite
from portal.transfer import proof
from portal.wire.ends import Found, Pin


class Stored(NamedTuple):
    """A checksum to compare with."""

    name: str
    value: str
    part_sizes: tuple[int, ...] = ()
    """Of the parts that a composite one is made of."""


def stored_of(found: Found, announced: str, part_sizes: Callable[[], list[int]]) -> Stored | None:
    """Return the checksum to compare: the cheapest that the store keeps, else the CRC64NVME that was announced, else MD5; None without any.

    Args:
        announced: of this very version, hexadecimal, or ''.
        part_sizes: asks for the sizes of the parts; [] when nobody tells.
    """
    names = proof.comparable(found.checksums, md5=False)
    plain = [name for name in names if not is_composite(name)]
    if "crc64nvme" not in plain and announced:
        return Stored("crc64nvme", announced)
    if plain:
        return Stored(plain[0], found.checksums[plain[0]])
    for name in names:
        if sizes := part_sizes():
            return Stored(name, found.checksums[name], tuple(sizes))
    return Stored("md5", found.checksums["md5"]) if "md5" in found.checksums else None


def sum_of(stored: Stored, pin: Pin, blocks: Iterator[tuple[int, memoryview]]) -> str:
    """Return the checksum of the same kind of bytes that come as (start, block), from the first to the last; in hexadecimal."""
    if not pin.size_bytes:
        deque(blocks, 0)
        return digest(base_of(stored.name), b"").hex()
    running = Running([stored.name], list(stored.part_sizes), pin.size_bytes)
    pieces: list[Piece] = []
    for start, block in blocks:
        pieces += running.pieces(start, block)
    return assembled(stored.name, pieces, len(stored.part_sizes))
