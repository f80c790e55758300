"""Takes a JSON file apart into records without ever holding more than one: an array of them, one a line, or one after the other.

Numbers come as they are written: integers as `int` of any size, others as `Number`, the text itself, so that nothing passes through a float.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from portal.errors import ConversionFailed
from portal.tabular.outcome import shown

Shape = Literal["array", "lines", "sequence"]
"""`[{…}, {…}]`, one record a line (NDJSON), or records one after the other over any lines."""

_CHUNK = 1 << 18
_LARGEST_RECORD = 1 << 26
_TRUNCATED_TAIL = 16
"""An error this near to the end of what was read may only mean that there is more to read."""

_DEEPEST = 100
_LINES_JUDGED = 20
_NUMBER_TAIL = 3
"""A number decoded this near to the end may go on: '1' of '1.5', '2' of '2e+10'."""

_SPACE = " \t\r\n"
"""What JSON takes for white space; lines end in '\\n'."""
_HINT = "A JSON file is an array of objects, or one object a line (NDJSON)."


class Number(str):
    """A number with a fraction or an exponent (or NaN, Infinity, which some writers add to JSON), as its text."""

    __slots__ = ()


_NOUNS = {list: "an array", str: "a text", int: "a number", Number: "a number", bool: "a boolean", type(None): "null"}


class DuplicateName(ValueError):
    """An object has a name twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DuplicateName(f"an object has the name {shown(twice)} twice")
    return found


DECODER = json.JSONDecoder(parse_float=Number, parse_constant=Number, object_pairs_hook=_object)


@dataclass(slots=True)
class Piece:
    """One record, or the text that is none: `error` says why then. `line` is where it starts, counted from 1."""

    line: int
    value: Any
    raw: str
    error: str = ""


def shape_of(path: Path) -> Shape:
    """Tell how the records stand in a UTF-8 file. Raises ConversionFailed when there are none."""
    with path.open(encoding="utf-8", newline="") as file:
        first = _first_character(file)
        if first == "[":
            return "array"
        if first == "":
            raise ConversionFailed("The file is empty: there is only white space.", hint=_HINT)
    with path.open(encoding="utf-8", newline="\n") as file:
        first_line = next(line.strip() for line in iter(lambda: file.readline(_LARGEST_RECORD), "") if line.strip())
        following = [file.readline(_CHUNK).strip() for _ in range(_LINES_JUDGED)]
    return "sequence" if first_line == "{" or "{" in following or _goes_on(first_line) else "lines"


def _goes_on(line: str) -> bool:
    """Tell whether a record of the file's first line does not end with that line, or another one follows in it."""
    try:
        return DECODER.raw_decode(line)[1] < len(line)
    except (ValueError, RecursionError):
        return line.startswith("{") and not line.endswith("}")


def _first_character(file: TextIO) -> str:
    while chunk := file.read(_CHUNK):
        if text := chunk.lstrip(_SPACE):
            return text[0]
    return ""


def pieces(path: Path, shape: Shape) -> Iterator[Piece]:
    """Yield every record. Raises ConversionFailed where the file is broken so that no later record can be told."""
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from _lines(file) if shape == "lines" else _Splitter(file, array=shape == "array").pieces()


def _lines(file: TextIO) -> Iterator[Piece]:
    for number, line in enumerate(iter(lambda: file.readline(_LARGEST_RECORD), ""), 1):
        if len(line) == _LARGEST_RECORD:
            raise ConversionFailed(f"Line {number} is longer than {_LARGEST_RECORD >> 20} Mi characters.", hint=_HINT)
        if not line.strip(_SPACE):
            continue
        try:
            value = DECODER.decode(line)
            yield Piece(number, value, line, _trouble(value, line))
        except (ValueError, RecursionError) as error:
            yield Piece(number, None, line, f"this is not JSON: {_reason(error)}")


def _trouble(value: Any, raw: str) -> str:
    """Say why a value that was read cannot be a row, '' when it can."""
    if not isinstance(value, dict):
        return f"a record is a JSON object, this is {_NOUNS[type(value)]}"
    if raw.count("[") + raw.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
        return f"it is nested more than {_DEEPEST} deep"
    if "\\u" in raw:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "a text holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"
    return ""


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item) if isinstance(child, dict | list)]
    return depth


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


class _Splitter:
    """Decodes values one after the other from a buffer that is topped up and never holds more than one record and a chunk."""

    def __init__(self, file: TextIO, *, array: bool) -> None:
        self._file, self._array = file, array
        self._buffer, self._at, self._line, self._ended = "", 0, 1, False

    def pieces(self) -> Iterator[Piece]:
        if self._array:
            self._take("[")
            if self._peek() == "]":
                return self._finish()
        while self._array or self._peek():
            yield self._value()
            if self._array and self._take(",]") == "]":
                return self._finish()
        return None

    def _finish(self) -> None:
        if self._peek() == "]":
            self._at += 1
        if rest := self._peek():
            raise self._broken(f"{shown(rest)} follows the end of the array")

    def _more(self) -> bool:
        chunk = self._file.read(max(_CHUNK, len(self._buffer) - self._at))
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        self._ended = not chunk
        return not self._ended

    def _peek(self) -> str:
        """Return the next character that is no white space, '' at the end."""
        while True:
            while self._at < len(self._buffer):
                character = self._buffer[self._at]
                if character not in _SPACE:
                    return character
                self._line += character == "\n"
                self._at += 1
            if not self._more():
                return ""

    def _take(self, allowed: str) -> str:
        character = self._peek()
        if not character or character not in allowed:
            wanted = " or ".join(map(repr, allowed))
            raise self._broken(f"{wanted} should stand here, not {shown(character)}" if character else f"the file ends where {wanted} should stand")
        self._at += character != "]"
        return character

    def _value(self) -> Piece:
        if not self._peek():
            raise self._broken("the file ends where a record should stand")
        while True:
            try:
                value, end = DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if not self._may_be_cut_off(error):
                    raise self._broken(error.msg, error.pos) from error
            except (ValueError, RecursionError) as error:
                raise self._broken(_reason(error)) from error
            else:
                if self._ended or isinstance(value, dict) or end + _NUMBER_TAIL < len(self._buffer):
                    return self._piece(value, end)
            self._more()

    def _piece(self, value: Any, end: int) -> Piece:
        raw = self._buffer[self._at : end]
        piece = Piece(self._line, value, raw, _trouble(value, raw))
        self._line += raw.count("\n")
        self._at = end
        return piece

    def _may_be_cut_off(self, error: json.JSONDecodeError) -> bool:
        if len(self._buffer) - self._at > _LARGEST_RECORD:
            return False
        return not self._ended and (error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer) - _TRUNCATED_TAIL)

    def _broken(self, reason: str, position: int | None = None) -> ConversionFailed:
        line = self._line + (self._buffer.count("\n", self._at, position) if position is not None else 0)
        begins = f" (in the record that begins in line {self._line})" if line != self._line else ""
        return ConversionFailed(f"Line {line}: {reason}{begins}.", hint=_HINT)
