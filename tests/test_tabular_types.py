"""The type of a column of text: the narrowest that holds every value exactly, decided over the whole file."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.tabular import convert

TYPES: dict[str, tuple[list[str], str, str]] = {
    "integers": (["0", "-1", "9223372036854775807", "-9223372036854775808"], "int64", ""),
    "leading zeros": (["1", "007"], "string", "leading zeros ('007')"),
    "plus sign": (["1", "+49123"], "string", "'+49123' is not"),
    "minus zero keeps its sign": (["-0", "1"], "double", ""),
    "beyond 64 bits": (["1", "9223372036854775808"], "string", "'9223372036854775808' does not fit 64 bits"),
    "beyond 64 bits among decimals": (["1.5", "18446744073709551616"], "string", "is not exact as a 64-bit float"),
    "inexact integer among decimals": (["1.5", "9007199254740993"], "string", "'9007199254740993' is not exact"),
    "exact large integer among decimals": (["1.5", "9007199254740992"], "double", ""),
    "decimals": (["1.5", ".5", "5.", "-1e-5", "1E+10"], "double", ""),
    "long decimals": (["0.1234567890123456789"], "double", "more digits than a 64-bit float keeps"),
    "an id with a point": (["0.5", "9007199254740993.0"], "double", "'9007199254740993.0' has more digits"),
    "seventeen digits that come back": (["0.30000000000000004", "1234567890.1234567", "1.0000000000000000e5"], "double", ""),
    "seventeen digits that do not": (["0.12345678901234567"], "double", "'0.12345678901234567' has more digits"),
    "long zeros are no digits": (["0.10000000000000000000"], "double", ""),
    "overflow": (["1.5", "1e999"], "string", "'1e999' does not fit a 64-bit float"),
    "underflow": (["1.5", "1e-999"], "string", "'1e-999' would become zero"),
    "zero is no underflow": (["0.000", "0e5"], "double", ""),
    "not a number": (["1.5", "NaN", "-inf"], "double", ""),
    "nothing finite": (["nan", "inf"], "string", ""),
    "hexadecimal": (["0x10"], "string", ""),
    "thousands": (["1,000"], "string", ""),
    "underscores": (["1_000"], "string", ""),
    "spaces": ([" 1"], "string", ""),
    "other digits": (["١٢"], "string", ""),
    "booleans": (["true", "False", "TRUE"], "bool", ""),
    "ones and zeros are integers": (["0", "1"], "int64", ""),
    "yes and no are text": (["yes", "no"], "string", ""),
    "dates": (["2013-01-31", "1900-02-28"], "date32[day]", ""),
    "no such day": (["2013-01-31", "2013-02-29"], "string", "'2013-02-29' is not a date of the calendar"),
    "no year 0": (["0000-01-01"], "string", ""),
    "year 1": (["0001-01-01", "0999-01-01"], "date32[day]", ""),
    "other date orders": (["31/01/2013"], "string", ""),
    "compact dates are integers": (["20130131"], "int64", ""),
    "dates and timestamps": (["2013-01-31", "2013-01-31T00:00:00"], "string", ""),
    "timestamps": (["2013-01-31T05:00:00", "2013-01-31T05:00:00.123456"], "timestamp[us]", ""),
    "timestamps with a space": (["2013-01-31 05:00"], "timestamp[us]", ""),
    "nanoseconds": (["2013-01-31T05:00:00.123456789"], "timestamp[ns]", ""),
    "nanoseconds out of range": (["1500-01-31T05:00:00.123456789"], "string", "that fits"),
    "nanoseconds beside a far year": (["1500-01-31T05:00:00", "2013-01-31T05:00:00.123456789"], "string", "that fits"),
    "an unknown offset": (["2013-01-31T05:00:00-00:00"], "string", "unknown"),
    "no such offset": (["2013-01-31T05:00:00+99:99"], "string", "calendar"),
    "UTC": (["2013-01-31T05:00:00Z"], "timestamp[us, tz=UTC]", ""),
    "one offset": (["2013-01-31T05:00:00+02:00", "2013-07-31T05:00:00+02:00"], "timestamp[us, tz=+02:00]", ""),
    "two offsets": (["2013-01-31T05:00:00+01:00", "2013-07-31T05:00:00+02:00"], "string", "more than one form"),
    "zoned and not": (["2013-01-31T05:00:00Z", "2013-07-31T05:00:00"], "string", "more than one form"),
    "two separators": (["2013-01-31T05:00:00", "2013-07-31 05:00:00"], "string", "more than one form"),
    "no such hour": (["2013-01-31T24:00:00"], "string", "calendar"),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_type_holds_every_value(name: str, tmp_path: Path) -> None:
    values, kind, note = TYPES[name]
    result = convert(tmp_path, "a;b\n" + "".join(f"{value};x\n" for value in values), delimiter=";", header="yes")
    assert result.types["a"] == kind
    assert note in result.note("a")
    if kind == "string":
        assert result.table["a"].to_pylist() == values


def test_the_last_row_of_a_long_file_decides_as_much_as_the_first(tmp_path: Path) -> None:
    """More rows than any sample would see, and more than one block."""
    zips = "".join(f"{n},{n % 90000 + 10000}\n" for n in range(600_000))
    result = convert(tmp_path, f"n,zip\n{zips}600000,00501\n")
    assert result.types == {"n": "int64", "zip": "string"}
    assert result.table["zip"][-1].as_py() == "00501"
    assert result.table["zip"][0].as_py() == "10000"


def test_timestamps_in_another_form_in_another_block_make_text(tmp_path: Path) -> None:
    moments = "".join("2013-01-31T05:00:00Z\n" for _ in range(300_000))
    result = convert(tmp_path, f"t\n{moments}2013-01-31 05:00:00\n")
    assert result.types == {"t": "string"}


def test_nanoseconds_in_another_block_than_a_far_year_make_text(tmp_path: Path) -> None:
    moments = "".join("1500-01-31T05:00:00\n" for _ in range(300_000))
    assert convert(tmp_path, f"t\n{moments}2013-01-31T05:00:00.123456789\n").types == {"t": "string"}


def test_dates_stay_text_when_not_wanted(tmp_path: Path) -> None:
    assert convert(tmp_path, "a,b\n2013-01-31,2013-01-31T05:00:00Z\n", dates=False).types == {"a": "string", "b": "string"}


ASKED: dict[str, tuple[str, str, Any]] = {
    "text": ("string", "007", "007"),
    "a small integer": ("int32", "007", 7),
    "a plus sign": ("int64", "+5", 5),
    "a float": ("double", "1", 1.0),
    "a decimal": ("decimal(20,3)", "12345678901234567.125", Decimal("12345678901234567.125")),
    "a date": ("date", "2013-01-31", date(2013, 1, 31)),
    "a boolean": ("boolean", "TRUE", True),
    "a timestamp": ("timestamp", "2013-01-31 05:00", datetime(2013, 1, 31, 5)),
    "a timestamp with a zone": ("timestamp[UTC]", "2013-01-31T05:00:00+02:00", datetime(2013, 1, 31, 3, tzinfo=UTC)),
    "null": ("int64", "", None),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_type_that_is_asked_for_is_taken(name: str, tmp_path: Path) -> None:
    kind, text, value = ASKED[name]
    result = convert(tmp_path, f"a,b\n{text},x\n", types={"a": kind})
    assert result.rows == [{"a": value, "b": "x"}]
    assert result.note("a") == "type as asked for"
