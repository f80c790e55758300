"""Bytes of any encoding to blocks of valid UTF-8, no character cut."""

from __future__ import annotations

import codecs
from typing import Protocol

import numpy as np
import pyarrow as pa

from portal.tabular.text.encoding import Encoding, not_text
from portal.tabular.text.unpacking import Readable


class Decoded(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return up to `size` (≥ 4) bytes of UTF-8; b'' at the end. Raises ConversionFailed, naming the byte."""
        ...


def decoded(source: Readable, encoding: Encoding) -> Decoded:
    """Return what reads a text as UTF-8, without its byte order mark."""
    left = encoding.mark_bytes
    while left and (block := source.read(left)):
        left -= len(block)
    return _Checked(source, encoding) if encoding.name == "utf-8" else _Recoded(source, encoding)


def is_utf8(block: bytes) -> bool:
    """Tell whether bytes are valid UTF-8 as a whole: several times as fast as decoding."""
    if block.isascii():
        return True
    offsets = pa.py_buffer(np.array([0, len(block)], np.int32))
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(block)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def cut(block: bytes, size: int) -> int:
    """Return the length of the longest beginning of at most `size` bytes of UTF-8 that cuts no character. The end of the block may itself be cut."""
    size = min(size, len(block))
    for back in range(1, min(4, size) + 1):
        lead = block[size - back]
        if lead & 0xC0 != 0x80:
            length = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return size - back if length > back else size
    return size


class _Checked:
    """UTF-8 that only needs to be looked at."""

    def __init__(self, source: Readable, encoding: Encoding) -> None:
        self._source = source
        self._offset = encoding.mark_bytes
        """Of what was not handed out yet."""
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        came = self._source.read(size - len(self._rest))
        block = self._rest + came if self._rest else came
        end = cut(block, size) if came else len(block)
        whole = block if end == len(block) else block[:end]
        if not is_utf8(whole):
            raise self._problem(block)
        self._rest = block[end:]
        self._offset += end
        return whole if whole or not came else self.read(size)

    def _problem(self, block: bytes) -> Exception:
        try:
            block.decode()
        except UnicodeDecodeError as error:
            return not_text(error, "utf-8", self._offset)
        raise AssertionError("Arrow refuses what Python decodes")


class _Recoded:
    """Any other encoding, through Python's decoder."""

    def __init__(self, source: Readable, encoding: Encoding) -> None:
        self._source, self._name = source, encoding.name
        self._decoder = codecs.getincrementaldecoder(encoding.name)("strict")
        self._offset = encoding.mark_bytes
        self._ready, self._at = b"", 0

    def read(self, size: int, /) -> bytes:
        while self._at == len(self._ready):
            block = self._source.read(size)
            self._ready, self._at = self._decode(block), 0
            if not block and not self._ready:
                return b""
        start = self._at
        self._at += cut(self._ready[start : start + size + 4], size)
        return self._ready[start : self._at]

    def _decode(self, block: bytes) -> bytes:
        kept = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(block, final=not block).encode()
        except UnicodeError as error:
            raise not_text(error, self._name, self._offset - kept) from error
        self._offset += len(block)
        return text
