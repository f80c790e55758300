"""Avro blocks in zstandard and snappy, which fastavro reads only with packages of its own: given to it unpacked."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

import pyarrow as pa

CODECS = ("zstandard", "snappy")
_SYNC_BYTES = 16
_CRC_BYTES = 4


class Unpacked(io.RawIOBase):
    """The blocks of a stream as the codec `null` has them. Raises ValueError for what is none: an EOFError would be the end to fastavro."""

    def __init__(self, stream: BinaryIO, codec: str) -> None:
        self._stream, self._codec = stream, codec
        self._block = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        parts, left = [], size
        while left and (self._block or self._next()):
            parts.append(bytes(self._block[:left]))
            self._block = self._block[left:]
            left -= len(parts[-1])
        return b"".join(parts)

    def _next(self) -> bool:
        first = self._stream.read(1)
        if not first:
            return False
        count, length = number(self._stream, first), number(self._stream)
        data, sync = self._exactly(length), self._exactly(_SYNC_BYTES)
        plain = _unpacked(data, self._codec)
        self._block = memoryview(written(count) + written(len(plain)) + plain + sync)
        return True

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size) if size >= 0 else b""
        if len(data) != size:
            raise ValueError(f"a block of {size:,} bytes is cut off")
        return data


def _unpacked(data: bytes, codec: str) -> bytes:
    if codec == "zstandard":
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            return bytes(stream.read())
    length, crc = _length(data), int.from_bytes(data[-_CRC_BYTES:], "big")
    plain = pa.decompress(data[:-_CRC_BYTES], decompressed_size=length, codec="snappy", asbytes=True)
    if zlib.crc32(plain) != crc:
        raise ValueError("a block's checksum is not that of its bytes")
    return bytes(plain)


def _length(data: bytes) -> int:
    """Size of what Snappy unpacks: it stands first, seven bits a byte."""
    return _varint(io.BytesIO(data), b"")


def _varint(stream: BinaryIO, first: bytes) -> int:
    found = shift = 0
    byte = first or stream.read(1)
    while byte:
        found |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return found
        shift += 7
        byte = stream.read(1)
    raise ValueError("a number is cut off")


def number(stream: BinaryIO, first: bytes = b"") -> int:
    """Read a number as Avro writes it; `first` is its first byte when that was read already. Raises ValueError."""
    found = _varint(stream, first)
    return (found >> 1) ^ -(found & 1)


def written(value: int) -> bytes:
    """Return a number as Avro writes it."""
    left, found = (value << 1) ^ (value >> 63), bytearray()
    while left >= 0x80:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])
