"""Finds the one Arrow type that holds every JSON value seen at a place, and how to make a value ready for it without changing it.

Objects become structs, arrays lists, where all values at the place are such; where kinds mix, or a number fits no 64-bit type exactly, the
place holds the values' JSON text instead. A missing name and null are the same: no value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from portal.tabular.infer import rounded
from portal.tabular.json_split import Number
from portal.tabular.outcome import shown

_MOST_FIELDS = 500
"""Objects with more names than this are maps of data, not records: kept as JSON text."""

_KINDS: dict[type, str] = {
    bool: "booleans", int: "integers", Number: "numbers", str: "texts", dict: "objects", list: "arrays",
}  # fmt: skip
_UNUSUAL = frozenset("eEIN")
"""Characters of a number that has an exponent or is none: a short one without them neither overflows nor vanishes nor has too many digits."""

_ENDLESS = {"NaN", "Infinity", "-Infinity"}


@dataclass(slots=True)
class Place:
    """What was seen at one place of the records: at a name, or among the elements of an array."""

    kinds: set[type] = field(default_factory=set)
    fields: dict[str, Place] = field(default_factory=dict)
    element: Place | None = None
    too_large: str = ""
    """An integer beyond 64 bits, a number beyond a 64-bit float."""
    inexact: str = ""
    """An integer that a 64-bit float cannot hold exactly."""
    long_digits: str = ""

    def see(self, value: Any) -> None:
        """Take in a value."""
        kind = type(value)
        if value is None:
            return
        self.kinds.add(kind)
        if kind is dict:
            for name, item in value.items():
                if name not in self.fields:
                    self.fields[name] = Place()
                self.fields[name].see(item)
        elif kind is list:
            self.element = self.element or Place()
            for item in value:
                self.element.see(item)
        elif kind is int:
            self._see_integer(value)
        elif kind is Number:
            self._see_number(value)

    def _see_integer(self, value: int) -> None:
        if not -(2**53) <= value <= 2**53:
            if not -(2**63) <= value < 2**63:
                self.too_large = self.too_large or str(value)
            elif int(float(value)) != value:
                self.inexact = self.inexact or str(value)

    def _see_number(self, value: Number) -> None:
        if len(value) <= 15 and not _UNUSUAL.intersection(value):
            return
        if value in _ENDLESS:
            return
        number = float(value)
        digits = value.lower().partition("e")[0].replace(".", "").lstrip("-0")
        if math.isinf(number) or (number == 0.0 and digits):
            self.too_large = self.too_large or str(value)
        elif len(digits) > 15 and repr(number) != value and rounded(value):
            self.long_digits = self.long_digits or str(value)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The type of a place. `ready` makes a value ready for Arrow; None when it is ready as it is."""

    type: Any
    ready: Callable[[Any], Any] | None = None
    note: str = ""


def resolve(place: Place) -> Resolved:
    """Return the type that holds everything seen at a place."""
    kinds = place.kinds
    if not kinds:
        return Resolved(pa.string(), None, "no values: text by default")
    if kinds <= {int, Number}:
        return _number(place)
    if len(kinds) > 1:
        return _json_text(f"JSON text, because it holds {' and '.join(sorted(_KINDS[kind] for kind in kinds))}")
    (kind,) = kinds
    if kind is dict:
        return _struct(place)
    if kind is list:
        return _list(place)
    return Resolved(pa.bool_() if kind is bool else pa.string())


def _json_text(note: str) -> Resolved:
    return Resolved(pa.string(), lambda value: None if value is None else to_json(value), note)


def _number(place: Place) -> Resolved:
    if place.too_large:
        return _json_text(f"text, because {shown(place.too_large)} fits no 64-bit number")
    if place.kinds == {int}:
        return Resolved(pa.int64())
    if place.inexact:
        return _json_text(f"text, because the integer {shown(place.inexact)} is not exact as a 64-bit float")
    note = f"correctly rounded: {shown(place.long_digits)} has more digits than a 64-bit float keeps" if place.long_digits else ""
    return Resolved(pa.float64(), lambda value: None if value is None else float(value), note)


def _struct(place: Place) -> Resolved:
    if not place.fields:
        return _json_text("JSON text, because its objects are all empty")
    if len(place.fields) > _MOST_FIELDS:
        return _json_text(f"JSON text, because its objects have {len(place.fields)} different names")
    inner = {name: resolve(child) for name, child in place.fields.items()}
    kind = pa.struct([pa.field(name, child.type) for name, child in inner.items()])
    changing = {name: child.ready for name, child in inner.items() if child.ready}

    def ready(value: Any) -> Any:
        return value and {name: changing[name](item) if name in changing else item for name, item in value.items()}

    return Resolved(kind, ready if changing else None, _notes(inner))


def _list(place: Place) -> Resolved:
    inner = resolve(place.element or Place())
    change = inner.ready

    def ready(value: Any) -> Any:
        return value and [change(item) for item in value] if change else value

    return Resolved(pa.list_(inner.type), ready if change else None, inner.note and f"elements: {inner.note}")


def _notes(inner: dict[str, Resolved]) -> str:
    return "; ".join(f"{name}: {child.note}" for name, child in inner.items() if child.note)


def to_json(value: Any) -> str:
    """Return a value as JSON text, numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {to_json(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
