"""gzip and zstd, unpacked as they are read: files of several members or frames too, in bounded memory."""

from __future__ import annotations

import zlib
from typing import Any, Literal, Protocol

import pyarrow as pa

from portal.errors import ConversionFailed

Compression = Literal["", "gzip", "zstd"]
_BLOCK = 1 << 20
_GZIP = 31
"""zlib's window bits for: gzip header and check sum, largest window."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b'' at the end."""
        ...


def compression_of(head: bytes) -> Compression:
    """Tell by its first four bytes how a file is packed (RFC 1952, RFC 8878)."""
    return "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head[:4] == b"\x28\xb5\x2f\xfd" else ""


def unpacked(source: Readable, compression: Compression) -> Readable:
    """Return what reads a packed source's content; its `read` raises ConversionFailed when the packing is broken or cut off."""
    if compression == "gzip":
        return _Gzip(source)
    return _Zstd(source) if compression == "zstd" else source


def _broken(compression: str, cause: Exception | None = None) -> ConversionFailed:
    error = ConversionFailed(f"The {compression} file is broken or was cut off.", hint="Write it again at its source.")
    error.__cause__ = cause
    return error


class _Gzip:
    """Members one after another; zeros after the last one are padding, as gzip(1) has it."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._packed = b""
        self._member: Any = None
        self._members = 0

    def read(self, size: int, /) -> bytes:
        while True:
            if not self._packed:
                self._packed = self._source.read(_BLOCK)
            if self._member is None and not self._begin():
                if not self._packed:
                    return b""
                continue
            try:
                text: bytes = self._member.decompress(self._packed, size)
            except zlib.error as error:
                raise _broken("gzip", error) from error
            ended, had = self._member.eof, bool(self._packed)
            self._packed = self._member.unused_data if ended else self._member.unconsumed_tail
            if ended:
                self._member = None
            if text:
                return text
            if not had and not ended:
                raise _broken("gzip")

    def _begin(self) -> bool:
        """Begin another member, if there is one."""
        if self._members:
            self._packed = self._packed.lstrip(b"\0")
        if self._packed:
            self._member, self._members = zlib.decompressobj(_GZIP), self._members + 1
        return self._member is not None


class _Zstd:
    """Frames one after another, through Arrow."""

    def __init__(self, source: Readable) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(_AsFile(source), "r"), "zstd")

    def read(self, size: int, /) -> bytes:
        try:
            text: bytes = self._stream.read(size)
        except OSError as error:
            if error.errno is not None:
                raise  # of the source; Arrow's own have no number
            raise _broken("zstd", error) from error
        return text


class _AsFile:
    """What Arrow wants of a Python file."""

    closed = False

    def __init__(self, source: Readable) -> None:
        self._source = source

    def read(self, size: int = _BLOCK) -> bytes:
        return self._source.read(size)

    def close(self) -> None:
        self.closed = True
