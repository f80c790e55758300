"""Turns columns of text into their types, strictly: a text that is no value of the type is a problem with a reason, never another value.

What is read for an inferred type is exactly the canonical form of its values; for a type that was asked for a little more: plus signs, leading
zeros, zeros behind the last digit of a decimal, and any offset where moments are stored with a zone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.columns.column_types import ColumnType, Kind
from portal.tabular.columns.formats import (
    ANY_OFFSET,
    EPOCH,
    date_pattern,
    iso_dates,
    iso_epochs,
    iso_timestamps,
    timestamp_pattern,
    zone_texts,
)  # fmt: skip
from portal.tabular.columns.number_forms import NOT_FINITE, NumberForm
from portal.tabular.columns.type_names import name_of
from portal.tabular.options import ConvertOptions
from portal.tabular.showing import shown

BOOLEAN = "^(?:true|false|True|False|TRUE|FALSE)$"
_NOUNS: dict[Kind, str] = {
    "boolean": "true or false", "integer": "an integer", "float": "a number", "decimal": "a decimal number", "json": "JSON",
    "date": "an ISO date (2013-01-31)", "timestamp": "an ISO timestamp (2013-01-31T05:00:00)",
}  # fmt: skip


def null_words(options: ConvertOptions) -> tuple[str, ...]:
    """Return the texts that mean 'no value' in typed columns of a text file."""
    return ("", *options.null_values, *options.typed_null_values)


@dataclass(frozen=True, slots=True)
class Caster:
    """Casts one column. Safe to use from several threads."""

    column: str
    type: ColumnType
    null_words: Any
    """Arrow array of the texts that mean 'no value' in this column."""
    numbers: NumberForm
    asked: bool

    @classmethod
    def make(
        cls, column: str, kind: ColumnType, options: ConvertOptions, *, asked: bool = False, nulls: Sequence[str] | None = None
    ) -> Caster:
        """Return the caster of a column.

        Arguments:
            asked: the type was set, not inferred (see the module's text).
            nulls: texts that mean 'no value'; default: those of the options, as text files have them.

        Raises ConversionFailed for types that no text is read as.
        """
        if kind.kind in ("struct", "list", "other"):
            raise ConversionFailed(f"Column {column!r} shall have the type {name_of(kind)}, which no text is read as.", hint="Take string or json.")
        words = null_words(options) if nulls is None else nulls
        return cls(column, kind, pa.array(sorted(set(words)), pa.string()), NumberForm.make(options, asked=asked), asked)

    def cast(self, values: Any) -> Any:
        """Return an array of texts as an array of the type. Raises pyarrow.ArrowInvalid when a value does not fit (see `problems`)."""
        if self.type.kind == "string":
            return values
        if self.type.kind == "json":
            return _checked_json(values)
        return getattr(self, f"_{self.type.kind}")(pc.if_else(pc.is_in(values, self.null_words), None, values))

    def problems(self, values: Any, most: int | None = None) -> list[tuple[int, str]]:
        """Return (place, reason) for the values of an array that do not fit, in order; at most so many."""
        distinct = pc.unique(values).drop_null()  # in the order in which they come first
        reasons = {text: self._reason(text) for text in islice(self._misfits(distinct), most)}
        if not reasons:
            return []
        wrong = pc.indices_nonzero(pc.is_in(values, pa.array(list(reasons), pa.string())))
        return [(place, reasons[values[place].as_py()]) for place in wrong.slice(0, most).to_pylist()]

    def _misfits(self, distinct: Any) -> Iterator[str]:
        """Yield the texts that do not fit, by halving what holds one."""
        try:
            self.cast(distinct)
        except pa.ArrowInvalid:
            if len(distinct) == 1:
                yield distinct[0].as_py()
                return
            half = len(distinct) // 2
            yield from self._misfits(distinct.slice(0, half))
            yield from self._misfits(distinct.slice(half))

    def _reason(self, text: str) -> str:
        if not self._has_form(text):
            noun = f"a {self.type.kind} written as {self.type.form}" if self.type.form else _NOUNS[self.type.kind]
            return f"{shown(text)} is not {noun}"
        without = ""
        if self.type.kind == "decimal" and self._rounds(text):
            without = ": its sign would be lost" if not text.strip("-0.,") else " without rounding"
        return f"{shown(text)} does not fit {name_of(self.type)}{without}"

    def _has_form(self, text: str) -> bool:
        """Tell whether a text that does not fit is at least written like the type."""
        kind, form = self.type.kind, self.type.form
        if kind == "timestamp" and form not in EPOCH:
            pattern = timestamp_pattern(form, "ns", f"(?:{ANY_OFFSET})?")
        elif kind == "date":
            pattern = date_pattern(form)
        else:
            patterns = {"integer": self.numbers.integer(), "float": self.numbers.real(), "decimal": self.numbers.exact()}
            pattern = patterns.get(kind, "^$")
        return bool(pc.match_substring_regex(pa.scalar(text), pattern).as_py())

    def _rounds(self, text: str) -> bool:
        """Tell whether a decimal number has room before the point, and so too many digits after it."""
        whole = self.numbers.plain(pa.scalar(text)).as_py().lstrip("-0").partition(".")[0]
        return bool(len(whole) <= self.type.arrow.precision - self.type.arrow.scale)

    def _boolean(self, values: Any) -> Any:
        return pc.equal(pc.utf8_lower(_checked(values, BOOLEAN)), "true")

    def _integer(self, values: Any) -> Any:
        return pc.cast(self.numbers.plain(_checked(values, self.numbers.integer())), self.type.arrow)

    def _float(self, values: Any) -> Any:
        fits = pc.match_substring_regex(values, self.numbers.real())
        if not pc.all(fits, min_count=0).as_py():
            _require(pc.or_(fits, pc.match_substring_regex(values, NOT_FINITE)))
        texts = self.numbers.plain(values)
        cast = pc.cast(texts, self.type.arrow)
        if held(texts, cast) or inexact_integer(texts, cast):
            raise pa.ArrowInvalid("a number is changed by a float")
        return cast

    def _decimal(self, values: Any) -> Any:
        kind = self.type.arrow
        texts = self.numbers.plain(_checked(values, self.numbers.exact()))
        texts = _checked(texts, self.numbers.decimal(kind.precision, kind.scale))
        if self.asked:
            return pc.cast(pc.replace_substring_regex(texts, r"(\.[0-9]*?)0+$", r"\1"), kind)
        cast = pc.cast(texts, kind)
        if negative_zero(texts, cast):
            raise pa.ArrowInvalid("a decimal has no negative zero")
        return cast

    def _date(self, values: Any) -> Any:
        return read_dates(values, self.type.form)

    def _timestamp(self, values: Any) -> Any:
        return read_timestamps(values, self.type, any_offset=self.asked)


def read_dates(values: Any, form: str) -> Any:
    """Return texts of a form as dates. Raises pyarrow.ArrowInvalid when one has another form or is no day of the calendar."""
    if not form:
        return pc.cast(_checked(values, date_pattern("")), pa.date32())
    coded = pc.dictionary_encode(values)  # few days are many values
    return pc.cast(_complete(coded.dictionary, iso_dates(coded.dictionary, form)), pa.date32()).take(coded.indices)


def read_timestamps(values: Any, kind: ColumnType, *, any_offset: bool = False) -> Any:
    """Return texts as moments of a type. Raises pyarrow.ArrowInvalid when one has another form or zone, or is no moment of the calendar."""
    unit, zone = kind.arrow.unit, kind.arrow.tz
    if kind.form in EPOCH:
        numbers = pc.cast(_complete(values, iso_epochs(values, kind.form)), pa.int64())
        return pc.cast(numbers, kind.arrow)
    zones = ANY_OFFSET if zone and (any_offset or not zone_texts(zone)) else zone_texts(zone)
    if not kind.form:
        return pc.cast(_checked(values, timestamp_pattern("", unit, zones)), kind.arrow)
    return pc.cast(_complete(values, iso_timestamps(values, kind.form, unit, zones)), kind.arrow)


def held(texts: Any, numbers: Any) -> str:
    """Return why a float does not hold one of the plain texts it was read from: it overflows or vanishes; '' if all are held."""
    endless = texts.filter(pc.invert(pc.is_finite(numbers)))
    overflown = endless.filter(pc.invert(pc.match_substring_regex(endless, NOT_FINITE))).drop_null()
    if len(overflown):
        return f"{shown(overflown[0].as_py())} does not fit a 64-bit float"
    zeros = texts.filter(pc.equal(numbers, 0.0))
    vanished = zeros.filter(pc.match_substring_regex(zeros, r"^[^eE]*[1-9]")).drop_null()
    if len(vanished):
        return f"{shown(vanished[0].as_py())} would become zero as a 64-bit float"
    return ""


def inexact_integer(texts: Any, numbers: Any) -> str:
    """Return the first of the plain texts that is an integer and not the float read from it, '' if there is none."""
    exact = 2.0 ** (24 if pa.types.is_float32(numbers.type) else 53)
    large = pc.greater_equal(pc.abs(numbers), exact)
    if not pc.any(large, min_count=0).as_py():
        return ""
    large = pc.and_(large, pc.match_substring_regex(texts, "^-?[0-9]+$"))
    pairs = zip(texts.filter(large).to_pylist(), numbers.filter(large).to_pylist(), strict=True)
    return next((text for text, number in pairs if text and int(number) != int(text)), "")


def negative_zero(texts: Any, numbers: Any) -> str:
    """Return the first of the plain texts that is zero with a sign, by the numbers that were read from them; '' if there is none."""
    zeros = texts.filter(pc.equal(numbers, pa.scalar(0, numbers.type)))
    signed = zeros.filter(pc.starts_with(zeros, "-"))
    return str(signed[0].as_py()) if len(signed) else ""


def first(texts: Any, mask: Any) -> str:
    """Return the first text for which a mask is true."""
    return str(texts.filter(mask)[0].as_py())


def _checked(values: Any, pattern: str) -> Any:
    _require(pc.match_substring_regex(values, pattern))
    return values


def _require(fits: Any) -> None:
    if not pc.all(fits, min_count=0).as_py():
        raise pa.ArrowInvalid("a value does not have the form of the type")


def _complete(values: Any, texts: Any) -> Any:
    """Return texts made from values; a value that gave none did not have the form."""
    if texts.null_count != values.null_count:
        raise pa.ArrowInvalid("a value does not have the form of the type")
    return texts


def _checked_json(values: Any) -> Any:
    for text in pc.unique(values).drop_null().to_pylist():
        try:
            json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise pa.ArrowInvalid(f"{shown(text)} is not JSON: {error}") from None
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
