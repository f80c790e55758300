"""JSON text to values, exactly: numbers keep their text, a name twice in one object or half a surrogate pair is an error (RFC 8259)."""

from __future__ import annotations

import json
from typing import Any

from portal.tabular.showing import shown

DEEPEST = 100
SPACE = " \t\r\n"
"""What JSON takes for white space (RFC 8259, 2)."""


class Number(str):
    """A number with a fraction or an exponent, '-0', or NaN, Infinity, -Infinity, which some writers add to JSON: as it is written."""

    __slots__ = ()


class Integer(str):
    """A number without fraction and exponent, as it is written."""

    __slots__ = ()


class Raw(str):
    """A value's JSON text, exactly as it stands in the source."""

    __slots__ = ()


NOUNS: dict[type, str] = {
    dict: "an object", list: "an array", str: "a text", Integer: "an integer", Number: "a number", bool: "a boolean", type(None): "null",
}  # fmt: skip


class DuplicateName(ValueError):
    """An object has a name twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DuplicateName(f"an object has the name {shown(twice)} twice")
    return found


def _integer(text: str) -> Integer | Number:
    return Number(text) if text == "-0" else Integer(text)


DECODER = json.JSONDecoder(parse_float=Number, parse_int=_integer, parse_constant=Number, object_pairs_hook=_object)


def decode(text: str) -> tuple[Any, str]:
    """Return (value, '') for the text of one record, or (None or the value, why it cannot be a row)."""
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return None, f"this is not JSON: {reason_of(error, text)}"
    return value, _trouble(value, text)


def reason_of(error: Exception, text: str) -> str:
    """Say what is wrong with a text, and where in it."""
    if isinstance(error, json.JSONDecodeError):
        before = text.count("\n", 0, error.pos)
        where = f"character {error.colno}" + (f" of line {before + 1} of the record" if before else "")
        return f"{error.msg.removesuffix(' at')} at {where}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _trouble(value: Any, text: str) -> str:
    if not isinstance(value, dict):
        return f"a record is a JSON object, this is {NOUNS[type(value)]}"
    if text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST:
        return f"it is nested more than {DEEPEST} deep"
    if "\\u" in text and _has_half_pair(value):
        return "a text holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"
    return ""


def _has_half_pair(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item) if isinstance(child, dict | list)]
    return depth
