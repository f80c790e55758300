"""Counts the records of a JSON text by its line ends, or by its brackets and commas alone: a second opinion, apart from the reader."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from portal.tabular.json_format.shape import Kind
from portal.tabular.rows import Counter

_WORD = re.compile(rb"[^ \t\r\n]+")
_WORD_ENDS = (b"", b" ", b"\t", b"\r", b"\n", b'"', b"[", b"]", b"{", b"}")
_BLANKS = b" \t\r\n"
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_MARKS, _BRACKETS = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
_MARKS[list(b'[]{}",')] = True
_BRACKETS[list(b'[]{}"')] = True
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
        self._marks = _MARKS if array else _BRACKETS
        self._inside = self._depth = self._found = 0
        self._left = b""
        self._head = b""
        """Of an array: its bracket and the first character after it, once they were seen."""
        self._word = False
        """The text so far ends in a value that is neither string nor object nor array."""

    def update(self, block: bytes) -> None:
        for start in range(0, len(block), _SLICE):
            self._take(self._left + block[start : start + _SLICE])

    def finish(self) -> int:
        return self._found + (self._array and len(self._head) == 2 and self._head[1:] != b"]")

    def _take(self, text: bytes) -> None:
        slashes = len(text) - len(text.rstrip(b"\\"))
        self._left = b"\\" if slashes % 2 else b""
        text = text[: len(text) - len(self._left)]
        if self._array and len(self._head) < 2:
            self._head = (self._head + text.translate(None, _BLANKS)[:2])[:2]
        if text:
            self._follow(text, np.frombuffer(text, np.uint8))

    def _follow(self, text: bytes, characters: Any) -> None:
        at = np.flatnonzero(self._marks[characters])
        if b"\\" in text:
            at = np.setdiff1d(at, _escaped(characters), assume_unique=True)
        marks = characters[at]
        quotes = marks == ord('"')
        inside = (np.cumsum(quotes, dtype=np.int32) + self._inside) & 1
        steps = np.where(inside | quotes, np.int8(0), _STEPS[marks])
        depths = np.cumsum(steps, dtype=np.int32) + self._depth
        if self._array:
            self._found += int(np.count_nonzero((marks == ord(",")) & (inside == 0) & (depths == 1)))
        else:
            self._found += int(np.count_nonzero((depths == 0) & ((steps == -1) | (quotes & (inside == 1)))))
            self._words(text, characters, at, (depths == 0) & (inside == 0))
        if len(at):
            self._inside, self._depth = int(inside[-1]), int(depths[-1])

    def _words(self, text: bytes, characters: Any, at: Any, outside: Any) -> None:
        """Count the words between the values at depth 0. `at`: where the marks are; `outside`: nothing is open after them."""
        first = [0] if self._depth == 0 and not self._inside else []
        starts = np.concatenate([np.array(first, np.int64), at[outside] + 1])
        following = np.append(at, len(text))
        ends = np.concatenate([following[: len(first)], following[1:][outside]])
        plain = (starts == ends) | ((ends - starts == 1) & (characters[np.minimum(starts, len(text) - 1)] == ord("\n")))
        for start, end in zip(starts[~plain].tolist(), ends[~plain].tolist(), strict=True):
            self._found += len(_WORD.findall(text, start, end))
        if self._word and text[:1] not in _WORD_ENDS:
            self._found -= 1
        open_end = len(ends) > 0 and ends[-1] == len(text)
        self._word = bool(open_end) and text[-1:] not in _WORD_ENDS


def _escaped(characters: Any) -> Any:
    """Return where characters stand that a backslash escapes: after an odd number of them."""
    slashes = np.flatnonzero(characters == ord("\\"))
    last = np.append(np.diff(slashes) != 1, True)
    first = np.insert(last[:-1], 0, True)
    lengths = slashes[last] - slashes[first] + 1
    return slashes[last][lengths % 2 == 1] + 1
