"""Decides on a column's type by what was seen in it, and says why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from portal.tabular.columns import column_types
from portal.tabular.columns.candidates import Candidate, Decimals, Floats, Integers
from portal.tabular.columns.column_types import TEXT, ColumnType, Kind
from portal.tabular.columns.moments import Moments
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import shown

_TOLD_FIRST: tuple[Kind, ...] = ("float", "boolean", "timestamp", "date")


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
    decimals, floats = seen.alive("decimal"), seen.candidates.get("float")
    if not isinstance(floats, Floats) or not floats.matched:
        return None
    if isinstance(decimals, Decimals) and (reason := _why_decimal(decimals, floats, options)):
        return _decimal(decimals, reason, options)
    if not floats.alive or not floats.finite:
        return None
    if floats.inexact:
        return seen.candidates["integer"].refused or f"text, because the integer {shown(floats.inexact)} is not exact as a 64-bit float"
    if options.decimals == "decimal" and floats.rounded:
        return f"text, because no exact decimal holds all its numbers and {shown(floats.rounded)} has more digits than a 64-bit float keeps"
    rounded = f"correctly rounded: {shown(floats.rounded)} has more digits than a 64-bit float keeps" if floats.rounded else ""
    return column_types.FLOAT, _joined(rounded, _written(options, whole=False))


def _why_decimal(decimals: Decimals, floats: Floats, options: ConvertOptions) -> str:
    """Return why numbers with a point are exact decimals, '' when they are floats."""
    if not decimals.pointed or options.decimals == "float":
        return ""
    if options.decimals == "decimal":
        return "as asked for"
    inexact = decimals.long or floats.inexact
    return f"because no 64-bit float gives back the digits of {shown(inexact)}" if inexact else ""


def _decimal(decimals: Decimals, reason: str, options: ConvertOptions) -> tuple[ColumnType, str]:
    """Values that no sample has shown may be longer: there is room for them before the point."""
    seen = max(decimals.whole + decimals.scale, 1)
    precision = seen if options.full_scan else 18 if seen <= 18 else 38
    room = f"room for {precision - decimals.scale} digits before the point and {decimals.scale} after it"
    return column_types.decimal(precision, decimals.scale), _joined(f"exact decimals, {reason}; {room}", _written(options, whole=False))


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
    floats = candidates.get("float")
    if isinstance(floats, Floats) and floats.zero:
        return f"text, to keep leading zeros ({shown(floats.zero)})"
    reasons: Iterable[str] = (one.refused for kind, one in candidates.items() if kind != "decimal")
    refused = next(filter(None, reasons), "")
    return refused or next((candidates[kind].dropped for kind in _TOLD_FIRST if kind in candidates and candidates[kind].dropped), "")


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
