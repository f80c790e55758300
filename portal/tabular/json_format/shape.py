"""How the records of a JSON text stand: an array of them, one a line, or one after the other over any lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from portal.errors import ConversionFailed
from portal.tabular.json_format.decoding import DECODER, SPACE
from portal.tabular.options import ConvertOptions

Kind = Literal["array", "lines", "sequence"]
"""`[{…}, {…}]`; one record a line (NDJSON, https://github.com/ndjson/ndjson-spec); or records over any lines."""

HINT = "A JSON file is an array of objects, or one object a line (NDJSON)."
_LINES_JUDGED = 200


@dataclass(frozen=True, slots=True)
class Shape:
    """How records stand, and why that is thought."""

    kind: Kind
    evidence: str


def shape_of(head: bytes, options: ConvertOptions, *, whole: bool) -> Shape:
    """Tell how the records stand by the first bytes of a text (`whole`: all of them). Raises ConversionFailed when there is none."""
    text = head.decode("utf-8", "ignore")
    first = text.lstrip(SPACE)[:1]
    if not first and whole:
        raise ConversionFailed("The file is empty: there is only white space.", hint=HINT)
    if options.format == "ndjson":
        return Shape("lines", "the format was set to ndjson")
    if first == "[" and not _lines_of_arrays(text):
        return Shape("array", "the first character is '['")
    return _by_lines(text, whole=whole)


def _lines_of_arrays(text: str) -> bool:
    """Tell whether whole arrays stand in the first two lines: records that are no objects, but one a line."""
    lines = [line for line in text.split("\n", 3)[:3] if line.strip(SPACE)]
    return len(lines) > 2 and all(_one_value(line) for line in lines[:2])


def _by_lines(text: str, *, whole: bool) -> Shape:
    start = 0
    for number in range(_LINES_JUDGED):
        end = text.find("\n", start)
        last = end < 0
        line = text[start:] if last else text[start:end]
        if line.strip(SPACE) and not _one_value(line):
            if last and not whole:
                break
            return _of_odd_line(text, start, number + 1, len(line))
        if last:
            break
        start = end + 1
    return Shape("lines", "each line that was looked at holds one value")


def _of_odd_line(text: str, start: int, number: int, length: int) -> Shape:
    """Tell a line that is broken from one that holds two records or a part of one."""
    at = start + len(text[start:]) - len(text[start:].lstrip(SPACE))
    try:
        end = DECODER.raw_decode(text, at)[1]
    except json.JSONDecodeError as error:
        if text[at] in "{[" and error.pos >= len(text.rstrip(SPACE)) and "\n" in text[at:].strip(SPACE):
            return Shape("sequence", f"the record of line {number} goes on in other lines")
        return Shape("lines", f"line {number} is no JSON, and its record does not go on in the next")
    except (ValueError, RecursionError):
        return Shape("lines", f"line {number} is no JSON")
    if end > start + length:
        return Shape("sequence", f"the record of line {number} goes on in other lines")
    follows = text[end : start + length].strip(SPACE)[:1]
    return Shape("sequence", f"another record follows in line {number}") if follows in ("{", "[") else Shape("lines", f"line {number} is no JSON")


def _one_value(line: str) -> bool:
    try:
        DECODER.decode(line)
    except json.JSONDecodeError:
        return False
    except (ValueError, RecursionError):
        return True
    return True
