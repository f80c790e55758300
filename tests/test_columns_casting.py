"""Casting is strict: a text is exactly a value of the type, or a problem with a reason."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from portal.errors import ConversionFailed
from portal.tabular.columns.casting import Caster
from portal.tabular.columns.type_names import parse
from portal.tabular.options import ConvertOptions


def caster(kind: str, *, asked: bool = False, **options: Any) -> Caster:
    return Caster.make("a", parse(kind, "a"), ConvertOptions(**options), asked=asked)


ASKED: dict[str, tuple[str, str, Any]] = {
    "text": ("string", "007", "007"),
    "a small integer": ("int32", "007", 7),
    "a plus sign": ("int64", "+5", 5),
    "an unsigned integer": ("uint64", "18446744073709551615", 2**64 - 1),
    "a float": ("double", "1", 1.0),
    "a float of 32 bits": ("float32", "0.5", 0.5),
    "a decimal": ("decimal(20,3)", "12345678901234567.125", Decimal("12345678901234567.125")),
    "a decimal with zeros behind": ("decimal(5,2)", "+01.5000", Decimal("1.50")),
    "a decimal of 256 bits": ("decimal(60,0)", "1" * 60, Decimal("1" * 60)),
    "a date": ("date", "2013-01-31", date(2013, 1, 31)),
    "a compact date": ("date(YYYYMMDD)", "20130131", date(2013, 1, 31)),
    "a boolean": ("boolean", "TRUE", True),
    "a timestamp": ("timestamp", "2013-01-31 05:00", datetime(2013, 1, 31, 5)),
    "a compact timestamp": ("timestamp(YYYYMMDD)", "20130131T050607", datetime(2013, 1, 31, 5, 6, 7)),
    "a timestamp with a zone": ("timestamp[UTC]", "2013-01-31T05:00:00+02:00", datetime(2013, 1, 31, 3, tzinfo=UTC)),
    "a named zone": ("timestamp[Europe/Berlin]", "2013-07-31T05:00:00Z", datetime(2013, 7, 31, 5, tzinfo=UTC)),
    "seconds since 1970": ("timestamp(epoch_s)", "-0.5", datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC)),
    "milliseconds since 1970": ("timestamp(epoch_ms)", "1359608400000", datetime(2013, 1, 31, 5, tzinfo=UTC)),
    "midnight on the clock": ("timestamp(12h)", "2013-01-31 12:00 am", datetime(2013, 1, 31)),
    "noon on the clock": ("timestamp(12h)", "2013-01-31 12:00 PM", datetime(2013, 1, 31, 12)),
    "JSON": ("json", '{"a": [1]}', '{"a": [1]}'),
    "null": ("int64", "", None),
    "a word for no value": ("date", "N/A", None),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_type_that_is_asked_for_is_taken(name: str) -> None:
    kind, text, value = ASKED[name]
    got = caster(kind, asked=True).cast(pa.array([text, None]))
    assert got.type == parse(kind, "a").arrow
    assert got.to_pylist() == [value, None]


MISFITS: dict[str, list[str]] = {
    "decimal(3,3)": ["-0", "-.000", "-0.0", "1"],
    "boolean": ["1", "yes", "tRUE", "true "],
    "int8": ["128", "-129", "-0", "007", "+5", "1.0", "1e2", "1 ", "0x1", "1_0", "٣", "1\n", "1\0"],
    "float64": ["1e999", "1e-999", "007", "+5", "9007199254740993", "INF", "-nan", "1_0", "1,5", ".", "-", "e5", "1e", "NaN "],
    "float32": ["1e39", "1e-60", "16777217"],
    "decimal(5,2)": ["1234", "1.234", "1.500", "1e2", "+1", "007", "NaN", ".", "1,5"],
    "decimal(2,2)": ["1", "1.0", "00.5"],
    "decimal(3,0)": ["1.0", ".5", "1234"],
    "date": ["2013-02-29", "0000-01-01", "2013-1-1", "31.01.2013", "2013-01-31T00:00:00", "20130131"],
    "date(DD.MM.YYYY)": ["31.02.2013", "2013-01-31", "32.01.2013", "1.1.13"],
    "timestamp": ["2013-01-31", "2013-01-31T24:00:00", "2013-01-31T05:00:00Z", "2013-01-31T05:00:00.1234567", "2013-01-31  05:00", "2013-01-31T05"],
    "timestamp(ms)": ["2013-01-31T05:00:00.1234"],
    "timestamp(ns)": ["1500-01-31T05:00:00", "2262-04-11T23:47:16.854775808"],
    "timestamp[UTC]": [
        "2013-01-31T05:00:00", "2013-01-31T05:00:00+01:00", "2013-01-31T05:00:00-00:00", "2013-01-31T05:00:00+00", "2013-01-31T05:00:00z",
    ],
    "timestamp[+02:00]": ["2013-01-31T05:00:00Z", "2013-01-31T05:00:00+01:00", "2013-01-31T05:00:00-02:00"],
    "timestamp(12h)": ["2013-01-31 13:00 PM", "2013-01-31 00:30 AM", "2013-01-31 05:00"],
    "timestamp(rfc2822)": ["Fri, 31 Jan 2013 05:00:00 +0000", "Thu, 31 Jan 2013 05:00:00 -0000", "Thu, 31 jan 2013 05:00:00 +0000"],
    "timestamp(epoch_ms)": ["1.5", "1e3", "99999999999999999999", "today"],
    "json": ["{", "NaN", "'a'", "[1,]"],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in MISFITS.items() for text in texts])
def test_what_is_no_value_of_the_type_is_a_problem(kind: str, text: str) -> None:
    values = pa.array([None, "", text, text]) if kind != "json" else pa.array([None, "1", text, text])
    with pytest.raises(pa.ArrowInvalid):
        caster(kind).cast(values)
    problems = caster(kind).problems(values)
    assert [place for place, _ in problems] == [2, 3]
    assert problems[0][1].startswith(repr(text))


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("int8", "128", "'128' does not fit int8"), ("int8", "x", "'x' is not an integer"), ("float64", "1e999", "'1e999' does not fit float64"),
        ("decimal(5,2)", "1.234", "'1.234' does not fit decimal(5,2) without rounding"), ("decimal(5,2)", "1234", "'1234' does not fit decimal(5,2)"),
        ("date", "x", "'x' is not an ISO date (2013-01-31)"), ("date(DD.MM.YYYY)", "x", "'x' is not a date written as DD.MM.YYYY"),
        ("date", "2013-02-29", "'2013-02-29' does not fit date"), ("boolean", "x", "'x' is not true or false"),
        ("decimal(5,2)", "-0.0", "'-0.0' does not fit decimal(5,2): its sign would be lost"),
        ("timestamp[UTC]", "2013-01-31T05:00:00", "'2013-01-31T05:00:00' does not fit timestamp[UTC]"),
    ],
)  # fmt: skip
def test_problems_say_why(kind: str, text: str, reason: str) -> None:
    assert caster(kind).problems(pa.array([text])) == [(0, reason)]


def test_problems_are_found_among_many_values() -> None:
    texts = [str(number) for number in range(50_000)]
    wrong = {7: "x", 30_000: "007", 49_999: "9223372036854775808"}
    values = pa.array([wrong.get(place, text) for place, text in enumerate(texts)])
    assert [place for place, _ in caster("int64").problems(values)] == list(wrong)
    assert caster("int64").problems(pa.array(texts)) == []


@pytest.mark.parametrize(
    ("kind", "options", "text", "value"),
    [
        ("float64", {"decimal_point": ","}, "-1,5", -1.5), ("decimal(9,2)", {"decimal_point": ",", "thousands": "."}, "1.234,5", Decimal("1234.50")),
        ("int64", {"thousands": "'"}, "1'234'567", 1234567), ("int64", {"thousands": "_"}, "1234567", 1234567),
        ("float64", {"thousands": ","}, "1,234.5e2", 123450.0), ("int64", {"thousands": " "}, "-12\u202f345", -12345),
    ],
)  # fmt: skip
def test_numbers_as_they_are_written_elsewhere(kind: str, options: dict[str, str], text: str, value: Any) -> None:
    assert caster(kind, **options).cast(pa.array([text])).to_pylist() == [value]


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("float64", {"decimal_point": ","}, "1.5"), ("float64", {"thousands": ","}, "12,34"), ("int64", {"thousands": ","}, "1234,567"),
        ("float64", {"thousands": ","}, "1.234,5"),
        ("int64", {"thousands": ","}, "1,2345"), ("int64", {"thousands": ","}, "0,123"), ("int64", {"thousands": ","}, ",123"),
        ("int64", {"thousands": "'"}, "1,234"),
    ],
)  # fmt: skip
def test_groups_are_of_three_digits(kind: str, options: dict[str, str], text: str) -> None:
    assert caster(kind, **options).problems(pa.array([text]))


def test_one_character_cannot_separate_both() -> None:
    with pytest.raises(ConversionFailed, match="cannot separate both"):
        caster("int64", thousands=".", decimal_point=".")


def test_words_for_no_value_are_text_in_text_columns() -> None:
    values = pa.array(["NA", "", None])
    assert caster("string").cast(values).to_pylist() == ["NA", "", None]
    assert caster("int64").cast(values).to_pylist() == [None, None, None]
    assert Caster.make("a", parse("date", "a"), ConvertOptions(), nulls=()).problems(values) != []


def test_json_is_looked_at() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert caster("json").problems(pa.array([deep]))
    assert caster("json").cast(pa.array([json.dumps({"a": None})])).to_pylist() == ['{"a": null}']


@pytest.mark.parametrize("kind", ["struct<a: int64>", "list<date>", "binary"])
def test_types_no_text_is_read_as(kind: str) -> None:
    with pytest.raises(ConversionFailed, match="no text is read as"):
        caster(kind)
