"""Decides on a column's type by what was seen in it, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portal.tabular.columns import column_types
from portal.tabular.columns.candidates import Candidate, Integers, Numbers
from portal.tabular.columns.column_types import TEXT, ColumnType, Kind
from portal.tabular.columns.moments import Moments
from portal.tabular.options import ConvertOptions
from portal.tabular.showing import shown

_TOLD_FIRST: tuple[Kind, ...] = ("float", "boolean", "timestamp", "date")
_MOST_DIGITS = 38
"""Of a decimal in 128 bits."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The type found for a column, and why it is not a narrower one."""

    type: ColumnType
    note: str = ""
    nulls_written: int = 0
    """Values like NA that were read as 'no value' (or, in a text column, were not)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in a column."""

    candidates: Mapping[Kind, Candidate]
    any: bool
    """There was a value."""
    words: int
    """Number of values like NA."""
    word: str
    """The first of them."""

    def alive(self, kind: Kind) -> Candidate | None:
        candidate = self.candidates.get(kind)
        return candidate if candidate and candidate.alive and candidate.matched else None


def decide(seen: Seen, options: ConvertOptions) -> Guess:
    """Return the narrowest type that holds every value seen."""
    found = _typed(seen, options) if seen.any else None
    if isinstance(found, str) or found is None:
        return _text(seen, found or "")
    kind, note = found
    words = f"{seen.words} × {seen.word} read as no value" if seen.words else ""
    return Guess(kind, _joined(words, note), seen.words)


def _typed(seen: Seen, options: ConvertOptions) -> tuple[ColumnType, str] | str | None:
    """Return a type and its note, or why it is text."""
    if seen.alive("boolean"):
        return column_types.BOOLEAN, ""
    integers = seen.alive("integer")
    if isinstance(integers, Integers):
        return (integers.smallest() if options.smallest_integers else column_types.INTEGER), _written(options, whole=True)
    for kind in ("date", "timestamp"):
        moments = seen.alive(kind)
        if isinstance(moments, Moments):
            return moments.doubt or (moments.found(), f"read as {moments.forms[0]}" if moments.forms[0] else "")
    return _number(seen, options)


def _number(seen: Seen, options: ConvertOptions) -> tuple[ColumnType, str] | str | None:
    numbers = seen.alive("float")
    if not isinstance(numbers, Numbers) or not numbers.finite:
        return None
    if reason := _why_decimal(numbers, options):
        return _decimal(numbers, reason, options)
    if numbers.inexact:
        integers = seen.candidates.get("integer")
        return (integers.refused() if integers else "") or f"text, because the integer {shown(numbers.inexact)} is not exact as a 64-bit float"
    if options.decimals == "decimal" and numbers.rounded:
        return f"text, because no exact decimal holds all its numbers and {shown(numbers.rounded)} has more digits than a 64-bit float keeps"
    rounded = f"correctly rounded: {shown(numbers.rounded)} has more digits than a 64-bit float keeps" if numbers.rounded else ""
    return column_types.FLOAT, _joined(rounded, _for_good(numbers, options), _written(options, whole=False))


def _for_good(numbers: Numbers, options: ConvertOptions) -> str:
    """Return why floats of many digits, or where decimals were asked for, stay floats."""
    if numbers.negative_zero and numbers.pointed and (numbers.rounded or options.decimals == "decimal"):
        return f"no exact decimal holds the sign of {shown(numbers.negative_zero)}"
    return "no exact decimal holds all its numbers" if numbers.rounded and _no_decimal(numbers) else ""


def _no_decimal(numbers: Numbers) -> bool:
    """Exponents, values without end, signs of zeros, more digits than there are: no later value makes a decimal of these."""
    return bool(numbers.endless or numbers.negative_zero) or numbers.whole + numbers.scale > _MOST_DIGITS


def _why_decimal(numbers: Numbers, options: ConvertOptions) -> str:
    """Return why numbers with a point are exact decimals, '' when they are floats, or no decimal has so many digits."""
    if not numbers.pointed or _no_decimal(numbers) or options.decimals == "float":
        return ""
    if options.decimals == "decimal":
        return "as asked for"
    inexact = numbers.long or numbers.inexact
    return f"because no 64-bit float gives back the digits of {shown(inexact)}" if inexact else ""


def _decimal(numbers: Numbers, reason: str, options: ConvertOptions) -> tuple[ColumnType, str]:
    """Values that no sample has shown may be longer: there is room for them before the point."""
    seen = max(numbers.whole + numbers.scale, 1)
    precision = seen if options.full_scan else 18 if seen <= 18 else _MOST_DIGITS
    room = f"room for {precision - numbers.scale} digits before the point and {numbers.scale} after it"
    return column_types.decimal(precision, numbers.scale), _joined(f"exact decimals, {reason}; {room}", _written(options, whole=False))


def _written(options: ConvertOptions, *, whole: bool) -> str:
    parts = [f"{options.thousands!r} separates thousands" if options.thousands else ""]
    if options.decimal_point != "." and not whole:
        parts.append(f"{options.decimal_point!r} is the decimal point")
    return ", ".join(filter(None, parts))


def _text(seen: Seen, reason: str) -> Guess:
    if not seen.any:
        return Guess(TEXT, f"text: {seen.words} × {seen.word} and nothing else" if seen.words else "no values: text by default", seen.words)
    note = reason or _told(seen.candidates)
    kept = f"{seen.words} × {seen.word} kept as text (list it in null_values to read it as no value)" if seen.words else ""
    return Guess(TEXT, _joined(note, kept), seen.words)


def _told(candidates: Mapping[Kind, Candidate]) -> str:
    numbers = candidates.get("float")
    if isinstance(numbers, Numbers) and (zero := numbers.leading_zero()):
        return f"text, to keep leading zeros ({shown(zero)})"
    refused = next(filter(None, (one.refused() for one in candidates.values())), "")
    return refused or next(filter(None, (candidates[kind].dropped() for kind in _TOLD_FIRST if kind in candidates)), "")


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
