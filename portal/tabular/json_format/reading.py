"""One record's value as the places of a schema want it: where a place holds JSON text, the text as it stands in the source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.schema import Column
from portal.tabular.json_format.decoding import DECODER, Raw

_SPACE = re.compile(r"[ \t\r\n]*")


def keeps_text(kind: ColumnType, *, asked: bool) -> bool:
    """Tell whether values of a place, or of one within it, may have to be kept as they are written."""
    return any(inner.kind == "json" or (asked and inner.kind == "string") for inner in kind.within())


def with_texts(text: str, columns: dict[str, Column]) -> dict[str, Any]:
    """Return the object of a text that is known to be valid, with `Raw` in place of values that are kept as they are written."""
    found = {}
    for name, at in _members(text, _skip(text, 0)):
        column = columns.get(name)
        found[name], _ = _value(text, at, column.type, asked=column.asked) if column else DECODER.raw_decode(text, at)
    return found


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def _value(text: str, at: int, kind: ColumnType, *, asked: bool) -> tuple[Any, int]:
    nested = (kind.kind == "struct" and text[at] == "{") or (kind.kind == "list" and text[at] == "[")
    value, end = DECODER.raw_decode(text, at)
    if nested and keeps_text(kind, asked=asked):
        return _inside(text, at, kind, asked=asked), end
    if value is None or (kind.kind != "json" and not (asked and kind.kind == "string" and type(value) is not str)):
        return value, end
    return Raw(text[at:end]), end


def _inside(text: str, at: int, kind: ColumnType, *, asked: bool) -> Any:
    if kind.element:
        return [_value(text, place, kind.element, asked=asked)[0] for place in _elements(text, at)]
    fields = dict(kind.fields)
    found = {}
    for name, place in _members(text, at):
        found[name] = (_value(text, place, fields[name], asked=asked) if name in fields else DECODER.raw_decode(text, place))[0]
    return found


def _members(text: str, at: int) -> Iterator[tuple[str, int]]:
    """Yield each name of the object at a place, and where its value stands."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = scanstring(text, at + 1, True)
        at = _skip(text, _skip(text, at) + 1)
        yield name, at
        at = _after(text, at)


def _elements(text: str, at: int) -> Iterator[int]:
    at = _skip(text, at + 1)
    while text[at] != "]":
        yield at
        at = _after(text, at)


def _after(text: str, at: int) -> int:
    """Return where the next name or element stands, or the bracket that ends them."""
    end = _skip(text, DECODER.raw_decode(text, at)[1])
    return _skip(text, end + 1) if text[end] == "," else end
