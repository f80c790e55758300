"""Counts the records of a JSON text by its line ends, or by its brackets and commas alone: a second opinion, apart from the reader."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from portal.tabular.json_format.shape import Kind
from portal.tabular.rows import Counter

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_BLANKS = b" \t\r\n"
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_SLICE = 1 << 20


def counter_of(kind: Kind) -> Counter:
    """Return what counts the records of a text of that shape, valid and invalid ones alike."""
    return LineCounter() if kind == "lines" else StructureCounter(array=kind == "array")


class LineCounter:
    """Counts the lines that are not blank."""

    def __init__(self) -> None:
        self._count = 0
        self._solid = False
        """The line that is not ended yet holds something."""

    def update(self, block: bytes) -> None:
        characters = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(characters == ord("\n"))
        if not len(ends):
            self._solid = self._solid or bool(block.strip(_BLANKS))
            return
        self._count += self._solid or bool(block[: ends[0]].strip(_BLANKS))
        starts = ends[:-1] + 1
        # Only a line that begins with a space or a control character can be blank.
        odd = np.flatnonzero(characters[starts] <= ord(" "))
        blank = sum(not block[starts[at] : ends[at + 1]].strip(_BLANKS) for at in odd)
        self._count += len(starts) - blank
        self._solid = bool(block[ends[-1] + 1 :].strip(_BLANKS))

    def finish(self) -> int:
        return self._count + self._solid


class StructureCounter:
    """Follows strings and nesting over blocks. In an array, records are the commas of depth 1 and one more; else the values of depth 0."""

    def __init__(self, *, array: bool) -> None:
        self._array = array
        self._inside = False
        self._depth = self._found = 0
        self._left = b""
        self._any = False
        self._word = False
        """The text so far ends in a value that is neither string nor object nor array."""

    def update(self, block: bytes) -> None:
        for start in range(0, len(block), _SLICE):
            self._take(self._left + block[start : start + _SLICE])

    def finish(self) -> int:
        return self._found + (1 if self._array and self._any else 0)

    def _take(self, text: bytes) -> None:
        slashes = len(text) - len(text.rstrip(b"\\"))
        self._left = b"\\" if slashes % 2 else b""
        text = text[: len(text) - len(self._left)]
        parts = (_ESCAPE.sub(b"", text) if b"\\" in text else text).split(b'"')
        outside = parts[1 if self._inside else 0 :: 2]
        # A string is a value too: '"' stands for it, where it begins.
        self._inside ^= len(parts) % 2 == 0
        joined = b'"'.join(outside) + (b'"' if self._inside and len(parts) > 1 else b"")
        if joined:
            self._follow(np.frombuffer(joined, np.uint8))

    def _follow(self, text: np.ndarray) -> None:
        steps = _STEPS[text]
        depths = self._depth + np.cumsum(steps, dtype=np.int32)
        if self._array:
            self._elements(text, depths)
        else:
            self._values(text, steps, depths)
        self._depth = int(depths[-1])

    def _elements(self, text: np.ndarray, depths: np.ndarray) -> None:
        self._found += int(np.count_nonzero((text == ord(",")) & (depths == 1)))
        if not self._any:
            self._any = bool(np.any(_solid(text) & ~((depths == 1) & (text == ord("["))) & ~((depths == 0) & (text == ord("]")))))

    def _values(self, text: np.ndarray, steps: np.ndarray, depths: np.ndarray) -> None:
        """Count the ends of objects and arrays at depth 0, and the strings and words there."""
        level = depths == 0
        self._found += int(np.count_nonzero((steps == -1) & level))
        plain = level & (steps == 0)
        self._found += int(np.count_nonzero(plain & (text == ord('"'))))
        word = plain & _solid(text) & (text != ord('"'))
        before = np.empty_like(word)
        before[0], before[1:] = self._word, word[:-1]
        self._found += int(np.count_nonzero(word & ~before))
        self._word = bool(word[-1])


def _solid(text: np.ndarray) -> Any:
    return (text != 32) & (text != 10) & (text != 13) & (text != 9)
