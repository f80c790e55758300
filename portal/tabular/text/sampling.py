"""Samples of a text from its head, middle and tail."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from portal.tabular.text.encoding import Encoding, begin_of, not_text

_ALIGNED = 4
"""Every unit of an encoding is that long, or an even part of it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A piece of a source's text."""

    data: bytes
    """Valid UTF-8, no character cut."""
    offset: int
    """Of the first byte in the text; -1 where only reading all before it would tell."""
    first: bool
    """It begins where the text begins."""
    last: bool
    """It ends where the text ends."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a source, or of what it unpacks to, as they stand there."""

    data: bytes
    offset: int
    last: bool


def places(size_bytes: int, each_bytes: int) -> list[tuple[int, int]]:
    """Return (start, length) of head, middle and tail of a source; one that is all of it when they would meet."""
    each = max(_ALIGNED, each_bytes // _ALIGNED * _ALIGNED)
    if size_bytes <= 3 * each + _ALIGNED:
        return [(0, size_bytes)]
    middle, tail = ((start // _ALIGNED * _ALIGNED) for start in ((size_bytes - each) // 2, size_bytes - each))
    return [(0, each), (middle, each), (tail, size_bytes - tail)]


def sample(piece: Piece, encoding: Encoding) -> Sample:
    """Return a piece as text. Raises ConversionFailed, naming the byte."""
    skipped = begin_of(piece.data, encoding.name) if piece.offset else encoding.mark_bytes
    try:
        text = codecs.getincrementaldecoder(encoding.name)("strict").decode(piece.data[skipped:], final=piece.last)
        data = text.encode()
    except UnicodeError as error:
        raise not_text(error, encoding.name, piece.offset + skipped) from error
    offset = piece.offset + skipped - encoding.mark_bytes if encoding.name == "utf-8" or not piece.offset else -1
    return Sample(data, offset, piece.offset == 0, piece.last)
