"""Finds the one type that holds every value of a column of text without changing any: a guess that only ever narrows.

Integers are canonical (no leading zero, no plus sign) and fit 64 bits; floats are decimal numbers that stay finite and, where they are written
as integers, exact; dates and timestamps are ISO 8601 in one form per column. Everything else is text. Works on Arrow arrays, batch by batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.column_types import TEXT, ColumnType, Kind
from portal.tabular.outcome import shown

BOOLEAN = r"^(true|false|True|False|TRUE|FALSE)$"
INTEGER = r"^(0|-?[1-9][0-9]*)$"
FLOAT = r"^-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NOT_FINITE = r"^(NaN|nan|-?(inf|Infinity))$"
_DAY = r"([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}"
"""No calendar in use has a year 0, and few readers take it."""
DATE = rf"^{_DAY}$"
_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_ZONE = r"(Z|[+-][0-9]{2}:?[0-9]{2})"
TIMESTAMP = rf"^{_DAY}[T ]{_TIME}{_ZONE}?$"

_PATTERNS: dict[Kind, str] = {"boolean": BOOLEAN, "integer": INTEGER, "float": FLOAT, "date": DATE, "timestamp": TIMESTAMP}
KINDS: tuple[Kind, ...] = tuple(_PATTERNS)
DATES: tuple[Kind, ...] = ("date", "timestamp")
_NOUNS: dict[Kind, str] = {
    "boolean": "a boolean", "integer": "an integer", "float": "a number", "date": "an ISO date", "timestamp": "an ISO timestamp of the same form",
}  # fmt: skip
_TOLD_FIRST: tuple[Kind, ...] = ("float", "boolean", "timestamp", "date")
_UNKNOWN_OFFSETS = {"-00:00", "-0000"}
_EXACT_FLOAT = 2**53
_EXACT_DIGITS = 15
"""Every decimal number of so many digits comes back from a 64-bit float as it was."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The type found for a column, and why it is not a narrower one."""

    type: ColumnType
    note: str = ""
    nulls_written: int = 0
    """Values like NA that were read as 'no value' (or, in a text column, were not)."""


class ColumnGuess:
    """Narrows the type of one column as its values come."""

    def __init__(self, null_words: Sequence[str], kinds: Sequence[Kind] = KINDS) -> None:
        self._null_words = pa.array(sorted(set(null_words)), pa.string())
        self._alive: list[Kind] = list(kinds)
        self._seen = self._finite = False
        self._words = 0
        self._word = ""
        self._matched: set[Kind] = set()
        self._refused: dict[Kind, str] = {}
        """Kinds whose form all values had until one could not be held exactly, and why."""
        self._dropped: dict[Kind, str] = {}
        """Kinds whose form some values had and one had not."""
        self._inexact = ""
        self._long_digits = ""
        self._leading_zero = ""
        self._form: tuple[str, ...] | None = None
        self._nanoseconds = False
        self._wide = ""

    def update(self, values: Any) -> None:
        """Take in an Arrow array of strings; nulls in it are 'no value' already."""
        distinct = pc.unique(values).drop_null()
        words = distinct.filter(pc.is_in(distinct, self._null_words))
        if len(words):
            distinct = distinct.filter(pc.invert(pc.is_in(distinct, self._null_words)))
            self._count_words(values)
        if not len(distinct) or not self._alive:
            self._seen = self._seen or len(distinct) > 0
            return
        self._seen = True
        for kind in list(self._alive):
            self._narrow(kind, distinct)

    def _count_words(self, values: Any) -> None:
        full = pc.and_(pc.is_in(values, self._null_words), pc.greater(pc.binary_length(values), 0))
        count = pc.sum(full).as_py() or 0
        if count and not self._word:
            self._word = values.filter(full)[0].as_py()
        self._words += count

    def _narrow(self, kind: Kind, distinct: Any) -> None:
        fits = pc.match_substring_regex(distinct, _PATTERNS[kind])
        if kind == "float" and not pc.all(fits).as_py():
            fits = pc.or_(fits, pc.match_substring_regex(distinct, NOT_FINITE))
        if not pc.all(fits).as_py():
            self._drop(kind, distinct, fits)
            return
        trouble = {"integer": self._integer, "float": self._float, "date": self._date, "timestamp": self._timestamp}.get(kind)
        if trouble and (reason := trouble(distinct)):
            self._alive.remove(kind)
            self._refused[kind] = f"text, because {reason}"
        self._matched.add(kind)

    def _drop(self, kind: Kind, distinct: Any, fits: Any) -> None:
        self._alive.remove(kind)
        odd = distinct.filter(pc.invert(fits))
        if kind == "float":
            zeros = odd.filter(pc.match_substring_regex(odd, r"^-?0[0-9]+$"))
            self._leading_zero = zeros[0].as_py() if len(zeros) else ""
        if kind in self._matched or pc.any(fits).as_py():
            self._dropped[kind] = f"text, because {shown(odd[0].as_py())} is not {_NOUNS[kind]}"

    def _integer(self, distinct: Any) -> str:
        try:
            pc.cast(distinct, pa.int64())
        except pa.ArrowInvalid:
            return f"the integer {shown(max(distinct.to_pylist(), key=len))} does not fit 64 bits"
        return ""

    def _float(self, distinct: Any) -> str:
        numbers = pc.cast(distinct, pa.float64())
        finite = pc.is_finite(numbers)
        self._finite = self._finite or bool(pc.any(finite).as_py())
        if not pc.all(finite).as_py():
            overflown = distinct.filter(pc.invert(finite))
            overflown = overflown.filter(pc.invert(pc.match_substring_regex(overflown, NOT_FINITE)))
            if len(overflown):
                return f"{shown(overflown[0].as_py())} does not fit a 64-bit float"
        vanished = distinct.filter(pc.equal(numbers, 0.0))
        vanished = vanished.filter(pc.match_substring_regex(vanished, r"^[^eE]*[1-9]"))
        if len(vanished):
            return f"{shown(vanished[0].as_py())} would become zero as a 64-bit float"
        self._check_digits(distinct, numbers)
        return ""

    def _check_digits(self, distinct: Any, numbers: Any) -> None:
        if not self._inexact:
            large = distinct.filter(pc.greater_equal(pc.fill_null(pc.abs(numbers), 0.0), float(_EXACT_FLOAT)))
            whole = large.filter(pc.match_substring_regex(large, INTEGER))
            self._inexact = next((text for text in whole.to_pylist() if not _exact(int(text))), "")
        if not self._long_digits:
            # Arrow writes the shortest text of a float: a number that comes back as it was is kept, the others are few and looked at.
            long = pc.and_(pc.greater(pc.binary_length(distinct), _EXACT_DIGITS), pc.not_equal(distinct, pc.cast(numbers, pa.string())))
            self._long_digits = next((text for text in distinct.filter(long).to_pylist() if rounded(text)), "")

    def _date(self, distinct: Any) -> str:
        return _refused(distinct, pa.date32(), "is not a date of the calendar")

    def _timestamp(self, distinct: Any) -> str:
        forms = pc.unique(pc.replace_substring_regex(pc.replace_substring_regex(distinct, r"\.[0-9]+", ""), "[0-9]", "0")).to_pylist()
        zones = _zones(distinct)
        form = (*sorted(set(forms)), *sorted(zones))
        self._form = self._form or form
        if len(set(forms)) > 1 or len(zones) > 1 or form != self._form:
            return "its timestamps are written in more than one form or time zone"
        if _UNKNOWN_OFFSETS & zones:
            return "an offset of -00:00 says that the zone is unknown"
        nanoseconds = bool(pc.any(pc.match_substring_regex(distinct, r"\.[0-9]{7}")).as_py())
        self._nanoseconds = self._nanoseconds or nanoseconds
        if reason := _refused(distinct, self._moment("ns" if nanoseconds else "us"), "is not a moment of the calendar that fits"):
            return reason
        self._wide = self._wide or _refused(distinct, self._moment("ns"), "does not fit beside nanoseconds")
        return self._wide if self._nanoseconds else ""

    def _moment(self, unit: str) -> Any:
        return pa.timestamp(unit, tz=_zone_name(self._form[-1] if self._form else ""))

    def finish(self) -> Guess:
        """Return the type all values fit."""
        kind = self._alive[0] if self._seen and self._alive else None
        if kind == "float" and self._inexact:
            kind, self._refused["float"] = None, f"text, because the integer {shown(self._inexact)} is not exact as a 64-bit float"
        if kind is None or (kind == "float" and not self._finite):
            return self._text()
        note = f"{self._words} × {self._word} read as no value" if self._words else ""
        if kind == "float" and self._long_digits:
            note = "; ".join(filter(None, [note, f"correctly rounded: {shown(self._long_digits)} has more digits than a 64-bit float keeps"]))
        moment = self._moment("ns" if self._nanoseconds else "us")
        types = {"boolean": pa.bool_(), "integer": pa.int64(), "float": pa.float64(), "date": pa.date32(), "timestamp": moment}
        return Guess(ColumnType(kind, types[kind]), note, self._words)

    def _text(self) -> Guess:
        if not self._seen:
            return Guess(TEXT, f"text: {self._words} × {self._word} and nothing else" if self._words else "no values: text by default")
        note = next(iter(self._refused.values()), "") or next((self._dropped[kind] for kind in _TOLD_FIRST if kind in self._dropped), "")
        if self._leading_zero:
            note = f"text, to keep leading zeros ({shown(self._leading_zero)})"
        if self._words:
            note = "; ".join(filter(None, [note, f"{self._words} × {self._word} kept as text (list it in null_values to read it as no value)"]))
        return Guess(TEXT, note, self._words)


def _exact(value: int) -> bool:
    return -(2**63) <= value < 2**63 and int(float(value)) == value


def rounded(text: str) -> bool:
    """Tell whether a decimal number has more digits than the 64-bit float nearest to it gives back."""
    try:
        return Decimal(text) != Decimal(repr(float(text)))
    except InvalidOperation:
        return False  # beyond what decimals hold: it overflows or vanishes, which is told apart


def _refused(distinct: Any, kind: Any, reason: str) -> str:
    try:
        pc.cast(distinct, kind)
        return ""
    except pa.ArrowInvalid:
        return f"{shown(next(text for text in distinct.to_pylist() if not castable(text, kind)))} {reason}"


def castable(text: str, kind: Any) -> bool:
    """Tell whether Arrow reads one text as a value of a type."""
    try:
        pc.cast(pa.array([text]), kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _zones(distinct: Any) -> set[str]:
    tails = pc.replace_substring_regex(distinct, rf"^.{{11}}{_TIME}", "")
    return {str(tail) for tail in pc.unique(tails).to_pylist()}


def _zone_name(zone: str) -> str | None:
    if not zone:
        return None
    if zone == "Z":
        return "UTC"
    return zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
