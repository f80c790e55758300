"""Turns columns of text into their types, strictly: a text that is no value of the type is a problem with a reason, never another value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.column_types import ColumnType, Kind
from portal.tabular.infer import BOOLEAN, DATE, NOT_FINITE, TIMESTAMP, castable
from portal.tabular.outcome import shown

_ASKED: dict[Kind, str] = {
    "boolean": BOOLEAN, "integer": r"^[+-]?[0-9]+$", "float": rf"(^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$)|({NOT_FINITE})",
    "decimal": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$", "date": DATE, "timestamp": TIMESTAMP,
}  # fmt: skip
"""What is read as a type that was asked for: a little wider than what is inferred (a plus sign, leading zeros)."""

_NOUNS: dict[Kind, str] = {
    "boolean": "true or false", "integer": "an integer", "float": "a number", "decimal": "a decimal number",
    "date": "an ISO date (2013-01-31)", "timestamp": "an ISO timestamp (2013-01-31T05:00:00)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caster:
    """Casts one column. `proven`: every value is known to fit already, so that patterns need not be tried again."""

    column: str
    type: ColumnType
    null_words: Any
    """Arrow array of the texts that mean 'no value' in this column."""
    proven: bool

    @classmethod
    def make(cls, column: str, kind: ColumnType, null_words: Sequence[str], *, proven: bool) -> Caster:
        return cls(column, kind, pa.array(sorted(set(null_words)), pa.string()), proven)

    def cast(self, values: Any) -> Any:
        """Return the column as its type. Raises pyarrow.ArrowInvalid when a value does not fit (see `problems`)."""
        if self.type.kind in ("string", "json"):
            return values
        values = pc.if_else(pc.is_in(values, self.null_words), None, values)
        if not self.proven and not pc.all(pc.match_substring_regex(values, _ASKED[self.type.kind])).as_py() and values.null_count < len(values):
            raise pa.ArrowInvalid("a value does not have the form of the type")
        cast = self._cast(values)
        if not self.proven and self.type.kind == "float":
            self._check_range(values, cast)
        return cast

    def _cast(self, values: Any) -> Any:
        if self.type.kind == "boolean":
            return pc.equal(pc.utf8_lower(values), "true")
        if not self.proven and self.type.kind in ("integer", "float", "decimal"):
            values = pc.replace_substring_regex(values, r"^\+", "")
        return pc.cast(values, self.type.arrow)

    def _check_range(self, texts: Any, numbers: Any) -> None:
        overflown = texts.filter(pc.invert(pc.is_finite(numbers)))
        vanished = texts.filter(pc.equal(numbers, 0.0))
        whole = texts.filter(pc.greater_equal(pc.abs(numbers), float(2**53)))
        whole = whole.filter(pc.match_substring_regex(whole, r"^[+-]?[0-9]+$"))
        if (
            not pc.all(pc.match_substring_regex(overflown, NOT_FINITE), min_count=0).as_py()
            or pc.any(pc.match_substring_regex(vanished, r"^[^eE]*[1-9]"), min_count=0).as_py()
            or any(int(float(text)) != int(text) for text in whole.drop_null().to_pylist())
        ):
            raise pa.ArrowInvalid("a number is changed by a 64-bit float")

    def problems(self, values: Any) -> list[tuple[int, str]]:
        """Return (place, reason) for each value of an array that does not fit."""
        distinct = pc.unique(values).drop_null().to_pylist()
        reasons = {text: reason for text in distinct if (reason := self._problem(text))}
        return [(place, reasons[text]) for place, text in enumerate(values.to_pylist()) if text in reasons]

    def _problem(self, text: str) -> str:
        try:
            self.cast(pa.array([text], pa.string()))
        except pa.ArrowInvalid:
            noun = _NOUNS[self.type.kind]
            matches = pc.match_substring_regex(pa.scalar(text), _ASKED[self.type.kind]).as_py()
            return f"{shown(text)} {'does not fit' if matches else 'is not'} {self.type.arrow if matches else noun}{self._hint(text, bool(matches))}"
        return ""

    def _hint(self, text: str, matches: bool) -> str:
        if not matches or self.type.kind != "decimal":
            return ""
        return " without rounding" if castable(text, pa.decimal128(38, min(37, len(text)))) else ""
