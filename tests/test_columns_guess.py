"""The type of a column of texts: the narrowest that holds every value seen exactly, and a note that says why."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from portal.tabular.columns.casting import Caster
from portal.tabular.columns.guess import DATES, ColumnGuess, Guess
from portal.tabular.columns.type_names import name_of
from portal.tabular.options import ConvertOptions


def guess(*chunks: Sequence[str | None], **options: Any) -> Guess:
    asked = ConvertOptions(**options)
    column = ColumnGuess(asked)
    for texts in chunks:
        column.update(pa.array(texts, pa.string()))
    found = column.finish()
    caster = Caster.make("a", found.type, asked)
    for texts in chunks:
        caster.cast(pa.array(texts, pa.string()))  # whatever is decided, all that was seen fits
    return found


TYPES: dict[str, tuple[list[str], str, str]] = {
    "integers": (["0", "-1", "9223372036854775807", "-9223372036854775808"], "int64", ""),
    "leading zeros": (["1", "007"], "string", "leading zeros ('007')"),
    "plus sign": (["1", "+49123"], "string", "'+49123' is not"),
    "minus zero keeps its sign": (["-0", "1"], "float64", ""),
    "beyond 64 bits": (["1", "9223372036854775808"], "string", "'9223372036854775808' does not fit 64 bits"),
    "beyond 64 bits among decimals": (["1.5", "18446744073709551616"], "decimal(38,1)", "no 64-bit float gives back"),
    "inexact integer among decimals": (["1.5", "9007199254740993"], "decimal(18,1)", "'9007199254740993'"),
    "inexact integer among exponents": (["1e5", "9007199254740993"], "string", "'9007199254740993' is not exact"),
    "exact large integer among decimals": (["1.5", "9007199254740992"], "float64", ""),
    "decimals": (["1.5", ".5", "5.", "-1e-5", "1E+10"], "float64", ""),
    "long decimals": (["0.1234567890123456789"], "decimal(38,19)", "room for 19 digits before the point and 19 after it"),
    "long decimals and an exponent": (["0.1234567890123456789", "1e5"], "float64", "more digits than a 64-bit float keeps"),
    "long decimals and no number": (["0.1234567890123456789", "NaN"], "float64", "more digits than a 64-bit float keeps"),
    "decimals that are too long": (["0." + "1" * 39], "float64", "more digits than a 64-bit float keeps"),
    "many digits that a float holds": (["0.1000000000000000055511151231257827021181583404541015625"], "float64", ""),
    "an id with a point": (["0.5", "9007199254740993.0"], "float64", "'9007199254740993.0' has more digits"),
    "seventeen digits that come back": (["0.30000000000000004", "1234567890.1234567", "1.0000000000000000e5"], "float64", ""),
    "seventeen digits that do not": (["0.12345678901234567"], "float64", "'0.12345678901234567' has more digits"),
    "long zeros are no digits": (["0.10000000000000000000"], "float64", ""),
    "overflow": (["1.5", "1e999"], "string", "'1e999' does not fit a 64-bit float"),
    "underflow": (["1.5", "1e-999"], "string", "'1e-999' would become zero"),
    "zero is no underflow": (["0.000", "0e5"], "float64", ""),
    "not a number": (["1.5", "NaN", "-inf"], "float64", ""),
    "nothing finite": (["nan", "inf"], "string", ""),
    "hexadecimal": (["0x10"], "string", ""),
    "thousands": (["1,000"], "string", ""),
    "underscores": (["1_000"], "string", ""),
    "spaces": ([" 1"], "string", ""),
    "a line end": (["1\n"], "string", ""),
    "other digits": (["١٢"], "string", ""),
    "numbers and a word": (["1.5", "none"], "string", "'none' is not a number"),
    "a word and numbers": (["none", "1.5"], "string", "'none' is not a number"),
    "booleans": (["true", "False", "TRUE"], "boolean", ""),
    "ones and zeros are integers": (["0", "1"], "int64", ""),
    "yes and no are text": (["yes", "no"], "string", ""),
    "dates": (["2013-01-31", "1900-02-28"], "date", ""),
    "no such day": (["2013-01-31", "2013-02-29"], "string", "'2013-02-29' is not a date of the calendar"),
    "a word and a date": (["soon", "2013-02-28"], "string", "'soon' is not a date"),
    "no year 0": (["0000-01-01"], "string", ""),
    "year 1": (["0001-01-01", "0999-01-01"], "date", ""),
    "German dates": (["31.1.2013", "01.02.2013"], "date(DD.MM.YYYY)", "read as DD.MM.YYYY"),
    "no German day": (["29.2.2013"], "string", "'29.2.2013' is not a date of the calendar"),
    "slashed dates, year first": (["2013/01/31"], "date(YYYY/MM/DD)", ""),
    "the day is first": (["03/04/2013", "31/01/2013"], "date(DD/MM/YYYY)", "read as DD/MM/YYYY"),
    "the month is first": (["03/04/2013", "01/31/2013"], "date(MM/DD/YYYY)", "read as MM/DD/YYYY"),
    "day or month": (["03/04/2013", "12/12/2013"], "string", "'03/04/2013' and the others may have the day or the month first (set date_order)"),
    "both": (["13/04/2013", "04/13/2013"], "string", "is not a date of the calendar"),
    "two forms of dates": (["31.01.2013", "2013-01-31"], "string", "'2013-01-31' is not a date of the same form"),
    "months by name": (["31-Jan-2013", "01-Mar-2013"], "date(DD-Mon-YYYY)", ""),
    "two digits of a year": (["31.01.13"], "string", ""),
    "compact dates are integers": (["20130131"], "int64", ""),
    "dates and timestamps": (["2013-01-31", "2013-01-31T00:00:00"], "string", ""),
    "timestamps": (["2013-01-31T05:00:00", "2013-01-31T05:00:00.123456"], "timestamp", ""),
    "timestamps with a space": (["2013-01-31 05:00"], "timestamp", ""),
    "two separators and precisions": (["2013-01-31T05:00", "2013-07-31 05:00:00", "2013-07-31 05:00:00.5"], "timestamp", ""),
    "nanoseconds": (["2013-01-31T05:00:00", "2013-01-31T05:00:00.123456789"], "timestamp(ns)", ""),
    "nanoseconds out of range": (["1500-01-31T05:00:00.123456789"], "string", "that fits"),
    "nanoseconds beside a far year": (["1500-01-31T05:00:00", "2013-01-31T05:00:00.123456789"], "string", "that fits"),
    "an unknown offset": (["2013-01-31T05:00:00-00:00"], "string", "unknown"),
    "an unknown offset at last": (["2013-01-31T05:00:00Z", "2013-01-31T05:00:00-00:00"], "string", "unknown"),
    "no such offset": (["2013-01-31T05:00:00+99:99"], "string", ""),
    "UTC": (["2013-01-31T05:00:00Z", "2013-01-31 05:00:00+00:00", "2013-01-31T05:00:00.5+0000"], "timestamp[UTC]", ""),
    "one offset": (["2013-01-31T05:00:00+02:00", "2013-07-31T05:00:00+0200"], "timestamp[+02:00]", ""),
    "two offsets": (["2013-01-31T05:00:00+01:00", "2013-07-31T05:00:00+02:00"], "string", "more than one time zone"),
    "zoned and not": (["2013-01-31T05:00:00Z", "2013-07-31T05:00:00"], "string", "only some of its timestamps name a time zone"),
    "no such hour": (["2013-01-31T24:00:00"], "string", "calendar"),
    "twelve hours": (["31.12.2013 12:00 AM", "31.12.2013 01:15:30 PM"], "timestamp(DD.MM.YYYY 12h)", "read as DD.MM.YYYY 12h"),
    "American spreadsheets": (["1/31/2013, 5:00:00 PM"], "timestamp(MM/DD/YYYY 12h)", ""),
    "day or month with a time": (["3/4/2013 5:00"], "string", "set date_order"),
    "mail": (["Thu, 31 Jan 2013 05:00:00 +0000", "1 Feb 2013 05:00 GMT"], "timestamp(rfc2822)[UTC]", "read as rfc2822"),
    "mail of another weekday": (["Fri, 31 Jan 2013 05:00:00 +0000"], "string", ""),
    "mail from two zones": (["Thu, 31 Jan 2013 05:00:00 +0100", "Thu, 31 Jan 2013 05:00:00 +0200"], "string", "more than one time zone"),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_type_holds_every_value(name: str) -> None:
    values, kind, note = TYPES[name]
    found = guess(values)
    assert (name_of(found.type), note in found.note) == (kind, True), found.note


@pytest.mark.parametrize("name", TYPES)
def test_neither_order_nor_cutting_changes_the_type(name: str) -> None:
    values, kind, _ = TYPES[name]
    for order in itertools.islice(itertools.permutations(values), 6):
        assert name_of(guess(*[[value] for value in order]).type) == kind


OPTIONS: dict[str, tuple[list[str], dict[str, Any], str, str]] = {
    "small integers": (["-128", "127"], {"smallest_integers": True}, "int8", ""),
    "integers of 16 bits": (["128"], {"smallest_integers": True}, "int16", ""),
    "integers of 32 bits": (["-32769"], {"smallest_integers": True}, "int32", ""),
    "integers of 64 bits": (["2147483648"], {"smallest_integers": True}, "int64", ""),
    "decimals as asked for": (["1.50", "12.3"], {"decimals": "decimal"}, "decimal(18,2)", "room for 16 digits"),
    "proven decimals": (["1.50", "12.3"], {"decimals": "decimal", "full_scan": True}, "decimal(4,2)", "room for 2 digits"),
    "integers are no decimals": (["1"], {"decimals": "decimal"}, "int64", ""),
    "no exact decimals, but exact floats": (["1.5", "1e5"], {"decimals": "decimal"}, "float64", ""),
    "a zero with a sign is no decimal": (["1.5", "-0.0"], {"decimals": "decimal"}, "float64", "no exact decimal holds the sign of '-0.0'"),
    "nor beside many digits": (["-.0", "0.1234567890123456789"], {}, "float64", "no exact decimal holds the sign of '-.0'"),
    "neither": (["1.5e5", "0.1234567890123456789"], {"decimals": "decimal"}, "string", "no exact decimal holds all"),
    "floats as asked for": (["0.1234567890123456789"], {"decimals": "float"}, "float64", "correctly rounded"),
    "floats and no id": (["1.5", "9007199254740993"], {"decimals": "float"}, "string", "is not exact"),
    "decimal comma": (["1,5", "2", "-,5e3"], {"decimal_point": ","}, "float64", "',' is the decimal point"),
    "a point where a comma is asked for": (["1,5", "2.5"], {"decimal_point": ","}, "string", "'2.5' is not a number"),
    "thousands": (["1,234,567", "12", "-1,000"], {"thousands": ","}, "int64", "',' separates thousands"),
    "odd groups": (["1,23", "12"], {"thousands": ","}, "string", "'1,23' is not"),
    "thousands and decimals": (["1.234.567,5", "1234,5"], {"thousands": ".", "decimal_point": ","}, "float64", "'.' separates thousands"),
    "exact decimals with a comma": (["1.234.567.890.123.456,789"], {"thousands": ".", "decimal_point": ","}, "decimal(38,3)", ""),
    "narrow spaces": (["1\u202f234", "1 234", "1\u00a0234"], {"thousands": " "}, "int64", ""),
    "zeros before thousands": (["0,123"], {"thousands": ","}, "string", ""),
    "day first": (["03/04/2013"], {"date_order": "dmy"}, "date(DD/MM/YYYY)", ""),
    "month first": (["03/04/2013 5:00"], {"date_order": "mdy"}, "timestamp(MM/DD/YYYY)", ""),
    "the other order": (["13/04/2013"], {"date_order": "mdy"}, "string", "is not a date of the calendar"),
    "no dates": (["2013-01-31"], {"dates": False}, "string", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_options_decide(name: str) -> None:
    values, options, kind, note = OPTIONS[name]
    found = guess(values, **options)
    assert (name_of(found.type), note in found.note) == (kind, True), found.note


def test_words_for_no_value_are_told() -> None:
    assert guess(["1", "NA", "NA", "", None]).note == "2 × NA read as no value"
    kept = guess(["one", "NA", "NA"])
    assert (kept.nulls_written, kept.note) == (2, "2 × NA kept as text (list it in null_values to read it as no value)")
    assert guess(["NA", ""]).note == "text: 1 × NA and nothing else"
    assert guess(["", None], []).note == "no values: text by default"


def test_a_late_value_decides_as_much_as_the_first() -> None:
    assert name_of(guess(["1"] * 1000, ["2"] * 1000, ["007"]).type) == "string"
    assert name_of(guess(["2013-01-31T05:00:00Z"] * 9, ["2013-01-31 05:00:00"]).type) == "string"
    assert name_of(guess(["1500-01-31T05:00:00"], ["2013-01-31T05:00:00.123456789"]).type) == "string"
    assert name_of(guess(["2013-01-31T05:00:00.123456789"], ["1500-01-31T05:00:00"]).type) == "string"


def test_a_guess_can_go_on_after_it_was_asked() -> None:
    column = ColumnGuess(ConvertOptions())
    found = []
    for texts in (["1"], ["1.5"], ["x"]):
        column.update(pa.array(texts))
        found.append(name_of(column.finish().type))
    assert found == ["int64", "float64", "string"]


def test_only_the_kinds_that_are_wanted() -> None:
    column = ColumnGuess(ConvertOptions(), kinds=DATES, nulls=())
    column.update(pa.array(["1", "2"]))
    assert column.finish() == Guess(column.finish().type, "", 0)
    assert name_of(column.finish().type) == "string"
