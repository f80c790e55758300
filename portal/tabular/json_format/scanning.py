"""Where the values of a JSON text begin and end, by its quotes and brackets alone, so that one broken record does not hide the others.

The kernel's `portal_json_scan` does the same; this is its meaning, and its stand-in where there is no compiler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from portal.errors import ConversionFailed
from portal.native.json_kernel import KernelScan
from portal.native.library import absence

_STEP = re.compile(rb'["{}\[\]]')
_QUOTE = re.compile(rb'["\\]')
_SOLID = re.compile(rb"[^ \t\r\n]")
_SPACE = b" \t\r\n"
_AFTER_SCALAR = re.compile(rb'[ \t\r\n,\[\]{}"]')


class State(IntEnum):
    """What a scan expects next."""

    START = 0
    """The '[' of an array."""
    FIRST = 1
    """A record of an array, or its end."""
    RECORD = 2
    """A record; of a sequence: or the end of the text."""
    AFTER = 3
    """',' or ']'."""
    DONE = 4
    """Nothing but white space."""
    NESTED = 5
    """The rest of an object or array."""
    SCALAR = 6
    STRING = 7
    ESCAPED = 8
    """The character after a backslash in a string."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What one block of a text held. Offsets count from the start of the text; -1: none."""

    first: int
    """Start of the first record that begins in the block."""
    end: int
    """End of the last record that ends in it."""
    open: int
    """Start of the record that does not end in it."""
    records: int
    """How many end in it."""
    broken: int
    """Where something stands that is not what `state` expects; the scan is over then."""


class Scan(Protocol):
    """A scan of one text, block by block."""

    state: State

    def feed(self, block: bytes) -> Scanned: ...


class PythonScan:
    """The scan in Python. `array`: the records are the elements of one array, else values one after the other."""

    def __init__(self, *, array: bool, state: State | None = None, at: int = 0) -> None:
        self.state = (State.START if array else State.RECORD) if state is None else state
        self._array, self._base, self._depth, self.open = array, at, 0, -1
        self.spans: list[tuple[int, int]] = []
        """Start and end of every record that ended in the last block."""
        self._begun = -1

    def feed(self, block: bytes) -> Scanned:
        self.spans, self._begun, broken, at = [], -1, -1, 0
        while at < len(block):
            at, state = self._step(block, at)
            if state is None:
                broken = self._base + at
                break
            self.state = state
        self._base += len(block)
        return Scanned(self._begun, self.spans[-1][1] if self.spans else -1, self.open, len(self.spans), broken)

    def _step(self, block: bytes, at: int) -> tuple[int, State | None]:
        """Go on from a place; returns the next place and what is expected there, None where the wrong thing stands."""
        if self.state in (State.STRING, State.ESCAPED):
            return self._string(block, at)
        if self.state is State.NESTED:
            return self._nested(block, at)
        if self.state is State.SCALAR:
            found = _AFTER_SCALAR.search(block, at)
            return self._close(found.start()) if found else (len(block), State.SCALAR)
        solid = _SOLID.search(block, at)
        return self._between(block, solid.start()) if solid else (len(block), self.state)

    def _string(self, block: bytes, at: int) -> tuple[int, State]:
        if self.state is State.ESCAPED:
            return at + 1, State.STRING
        found = _QUOTE.search(block, at)
        if not found:
            return len(block), State.STRING
        if found[0] == b"\\":
            return found.end(), State.ESCAPED
        return (found.end(), State.NESTED) if self._depth else self._close(found.end())

    def _nested(self, block: bytes, at: int) -> tuple[int, State]:
        found = _STEP.search(block, at)
        if not found:
            return len(block), State.NESTED
        if found[0] == b'"':
            return found.end(), State.STRING
        self._depth += 1 if found[0] in (b"{", b"[") else -1
        return (found.end(), State.NESTED) if self._depth else self._close(found.end())

    def _between(self, block: bytes, at: int) -> tuple[int, State | None]:
        character = block[at : at + 1]
        if self.state is State.START:
            return (at + 1, State.FIRST) if character == b"[" else (at, None)
        if self.state is State.AFTER:
            return (at + 1, State.RECORD) if character == b"," else (at + 1, State.DONE) if character == b"]" else (at, None)
        if self.state is State.DONE:
            return at, None
        return (at + 1, State.DONE) if character == b"]" and self.state is State.FIRST else self._begin(character, at)

    def _begin(self, character: bytes, at: int) -> tuple[int, State | None]:
        if character in (b",", b"]", b"}"):
            return at, None
        self.open = self._base + at
        self._begun = self.open if self._begun < 0 else self._begun
        if character in (b"{", b"["):
            self._depth = 1
            return at + 1, State.NESTED
        return at + 1, State.STRING if character == b'"' else State.SCALAR

    def _close(self, at: int) -> tuple[int, State]:
        self.spans.append((self.open, self._base + at))
        self.open = -1
        return at, State.AFTER if self._array else State.RECORD


def new_scan(array: bool) -> Scan:
    """Return the fastest scan there is."""
    return PythonScan(array=array) if absence() else _FastScan(array=array)


class _FastScan:
    """The scan by the kernel."""

    def __init__(self, *, array: bool) -> None:
        self._scan = KernelScan(array=array)
        self.state = State.START if array else State.RECORD

    def feed(self, block: bytes) -> Scanned:
        state, *rest = self._scan.feed(block)
        self.state = State(state)
        return Scanned(*rest)


def records_of(data: bytes, kind: str, *, final: bool = True) -> Iterator[tuple[int, int]]:
    """Yield start and end of each record of a chunk, white space around left out. Unless `final`, its end may have been cut off."""
    if kind == "lines":
        yield from _line_spans(data if final else data[: data.rfind(b"\n") + 1])
        return
    array = kind == "array"
    scan = PythonScan(array=array, state=State.RECORD)
    if (broken := scan.feed(data).broken) >= 0:
        raise ConversionFailed(f"At byte {broken} of a piece of JSON stands what separates no records.")
    yield from scan.spans
    if final and scan.open >= 0:
        yield scan.open, len(data)


def _line_spans(data: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = data[start:end]
        if stripped := line.strip(_SPACE):
            begin = start + len(line) - len(line.lstrip(_SPACE))
            yield begin, begin + len(stripped)
        start = end + 1
