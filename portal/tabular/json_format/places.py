"""Finds the one type that holds every JSON value seen at a place without changing it.

Objects become structs, arrays lists, where all values at the place are such. Numbers and texts are judged as the texts of a CSV column are
(texts only become dates and timestamps). Where kinds mix, or numbers fit no type, the place holds the values' JSON text as it is written.
A missing name and null are the same: no value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from portal.tabular.columns.column_types import BOOLEAN, JSON_TEXT, TEXT, ColumnType, list_of, struct
from portal.tabular.columns.guess import DATES, ColumnGuess
from portal.tabular.json_format.decoding import Integer, Number
from portal.tabular.options import ConvertOptions

_MOST_FIELDS = 500
"""Objects with more names than this are maps of data, not records: kept as JSON text."""

_KINDS: dict[type, str] = {
    bool: "booleans", Integer: "integers", Number: "numbers", str: "texts", dict: "objects", list: "arrays",
}  # fmt: skip
_NUMBERS = {Integer, Number}


def json_options(options: ConvertOptions) -> ConvertOptions:
    """Return the options as numbers of JSON have them: a decimal point, no separators."""
    return options.model_copy(update={"decimal_point": ".", "thousands": ""})


@dataclass(slots=True)
class Place:
    """What was seen at one place of the records: at a name, or among the elements of an array."""

    kinds: set[type] = field(default_factory=set)
    fields: dict[str, Place] = field(default_factory=dict)
    element: Place | None = None
    guess: ColumnGuess | None = None
    """Of the numbers or the texts, while nothing else was seen."""
    nested: bool = False
    """Not the record as a whole."""
    is_map: bool = False
    """Its objects have so many names that nobody looks at what they hold."""
    texts: list[str] = field(default_factory=list)
    """Not taken into the guess yet."""

    def see(self, value: Any) -> None:
        """Take in a value; call `settle` after some thousands."""
        if value is None:
            return
        kind = type(value)
        self.kinds.add(kind)
        if kind is dict and not self.is_map:
            for name, item in value.items():
                if name not in self.fields:
                    self.fields[name] = Place(nested=True)
                self.fields[name].see(item)
            self._bound()
        elif kind is list:
            self.element = self.element or Place(nested=True)
            for item in value:
                self.element.see(item)
        elif kind is not bool and kind is not dict:
            self.texts.append(value)

    def _bound(self) -> None:
        """Let go of what is known of a map of data."""
        if self.nested and len(self.fields) > _MOST_FIELDS:
            self.is_map = True
            self.fields = {}

    def leaves(self) -> int:
        """Return how many places there are that hold values, here and below."""
        below = sum(place.leaves() for place in self.fields.values()) + (self.element.leaves() if self.element else 0)
        return max(1, below)

    def settle(self, options: ConvertOptions) -> None:
        """Take the values seen since into the guesses, here and below."""
        if self.texts and (self.kinds <= _NUMBERS or (self.kinds == {str} and options.dates)):
            kinds = DATES if self.kinds == {str} else ("integer", "decimal", "float")
            self.guess = self.guess or ColumnGuess(json_options(options), kinds=kinds, nulls=())
            self.guess.update(pa.array(self.texts, pa.string()))
        self.texts = []
        for place in self.fields.values():
            place.settle(options)
        if self.element:
            self.element.settle(options)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The type of a place and why it is that."""

    type: ColumnType
    note: str = ""


def resolve(place: Place) -> Resolved:
    """Return the type that holds everything seen at a place that is settled."""
    kinds = place.kinds
    if not kinds:
        return Resolved(TEXT, "no values: text by default")
    if kinds <= _NUMBERS:
        return _number(place)
    if len(kinds) > 1:
        return Resolved(JSON_TEXT, f"JSON text, because it holds {' and '.join(sorted(_KINDS[kind] for kind in kinds))}")
    (kind,) = kinds
    if kind is dict:
        return _struct(place)
    if kind is list:
        inner = resolve(place.element or Place())
        return Resolved(list_of(inner.type), inner.note and f"elements: {inner.note}")
    return Resolved(BOOLEAN) if kind is bool else _text(place)


def _number(place: Place) -> Resolved:
    guess = place.guess.finish() if place.guess else None
    if guess is None or guess.type.is_text:
        return Resolved(JSON_TEXT, f"JSON {guess.note}" if guess else "")
    return Resolved(guess.type, guess.note)


def _text(place: Place) -> Resolved:
    guess = place.guess.finish() if place.guess else None
    return Resolved(guess.type, guess.note) if guess else Resolved(TEXT)


def _struct(place: Place) -> Resolved:
    if place.is_map:
        return Resolved(JSON_TEXT, f"JSON text, because its objects have more than {_MOST_FIELDS} different names")
    if not place.fields:
        return Resolved(JSON_TEXT, "JSON text, because its objects are all empty")
    inner = {name: resolve(child) for name, child in place.fields.items()}
    note = "; ".join(f"{name}: {child.note}" for name, child in inner.items() if child.note)
    return Resolved(struct(tuple((name, child.type) for name, child in inner.items())), note)
