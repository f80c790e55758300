"""A source object as text: UTF-8 blocks in order, whatever its encoding and compression."""

from __future__ import annotations

from typing import Protocol


class TextStream(Protocol):
    """The text of a source, read once from its start."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes of valid UTF-8 (a character is never cut), without the byte order mark; b'' at the end.
        Raises ConversionFailed (bytes that are no text, naming the byte; broken compression) and what stores raise."""
        ...
