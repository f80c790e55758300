"""CSV: columns whose values readers like to change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

from tests.corpus.case import EXACT, Case, case, column

D = Decimal
_TWO_HOURS = timezone(timedelta(hours=2))

NUMBERS: list[Case] = [
    column("leading zeros stay", "string", "10001", "00501", "0"),
    column("a plus sign stays", "string", "1", "+49123"),
    column("integers to the ends of 64 bits", "int64", "9223372036854775807", "-9223372036854775808", "0"),
    column("integers beyond 64 bits", EXACT, "1", "9223372036854775808", "18446744073709551616"),
    column("forty digits", "string", "1", "1234567890123456789012345678901234567890"),
    column("minus zero keeps its sign", "double", "-0", "1"),
    column("fractions", "double", "0.1", "2.50", "-3e-7", ".5", "5.", "1E+10", None),
    column("an integer that a float would change", EXACT, "1.5", "9007199254740993"),
    column("more digits than a float has", "decimal", "0.1234567890123456789", "12.5"),
    column("more digits, and one with an exponent", EXACT, "0.1234567890123456789", "1e-30"),
    column("seventeen digits that come back", "double", "0.30000000000000004", "1234567890.1234567"),
    column("a float that overflows", "string", "1.5", "1e999"),
    column("a float that vanishes", "string", "1.5", "1e-999"),
    column("no number and without end", "double", "1.5", "NaN", "-inf", "Infinity"),
    column("money asked for exactly", "decimal", D("19.99"), D("0.10"), None, file=["19.99", "0.10", ""], options={"decimals": "decimal"}),
    column("hexadecimal", "string", "0x1F", "0x20"),
    column("underscores", "string", "1_000", "2_000"),
    column("thousands stay text", "string", "1,000", "2,500,000"),
    column("thousands when asked", "int64", 1000, 2500000, 7, file=["1,000", "2,500,000", "7"], options={"thousands": ","}),
    column("thousands that are none", "string", "1,00", "2,500", options={"thousands": ","}),
    column("a decimal comma stays text", "string", "1,5", "2,25"),
    column("a decimal comma when asked", "double", 1.5, 2.25, -1000.5, file=["1,5", "2,25", "-1000,5"], options={"decimal_point": ","}),
    column(
        "German amounts when asked", "double", 1234.5, 0.25, file=["1.234,50", "0,25"], options={"decimal_point": ",", "thousands": "."}
    ),
    column("spaces around numbers stay", "string", " 1", "2 "),
    column("spaces around numbers when trimmed", "int64", 1, 2, file=[" 1", "2\t"], options={"trim": True}),
    column("digits of other scripts", "string", "١٢", "１２"),
    column("ones and zeros are integers", "int64", "0", "1"),
    column("a float among integers at the end", "double", *[str(n) for n in range(500)], "0.5"),
    column("the smallest integers", "int8", "1", "-128", "127", options={"smallest_integers": True, "full_scan": True}),
    column("the smallest integers do not fit", "int16", "1", "128", options={"smallest_integers": True, "full_scan": True}),
    case("quoted numbers are numbers", 'a,b\n"1","x"\n"2","y"\n', {"a": ["1", "2"], "b": ["x", "y"]}, types={"a": "int64"}),
    column(
        "a type that is asked for", "decimal128(20, 3)", D("12345678901234567.125"), file=["12345678901234567.125"],
        options={"types": {"a": "decimal(20,3)"}},
    ),
    column("a text that is asked for", "string", "1", "2", options={"types": {"a": "string"}}),
    case("a value that does not fit what is asked for", "a,b\n1,x\n300,y\n", {}, options={"types": {"a": "int8"}}, error=r"Line 3, column 'a'.*300"),
    case(
        "values that do not fit are set apart", "a,b\n1,x\n300,y\n2,z\n", {"a": ["1", "2"], "b": ["x", "z"]}, types={"a": "int8"},
        options={"types": {"a": "int8"}, "on_reject": "keep"}, rejects=[(3, "a")],
    ),
    case("a decimal is never rounded", "a,b\n1.25,x\n1.255,y\n", {}, options={"types": {"a": "decimal(9,2)"}}, error="Line 3, column 'a'"),
]  # fmt: skip

BOOLEANS_AND_NULLS: list[Case] = [
    column("booleans", "bool", "true", "False", "TRUE", None),
    column("yes and no", "string", "yes", "no"),
    column("booleans and a number", "string", "true", "1"),
    column("NA among integers is no value", "int64", "1", None, None, None, file=["1", "NA", "NULL", r"\N"]),
    column("NA among texts is a text", "string", "x", "NA", "null", "None"),
    column("Namibia among countries", "string", "NA", "NB", "NC"),
    column("an own word for no value", "string", "x", None, "", file=["x", "missing", '""'], options={"null_values": ["missing", ""]}),
    column("an own word for no value keeps others", "int64", "1", None, None, file=["1", "-", "NA"], options={"null_values": ["-", ""]}),
    column("nothing but no value", "string", None, None),
    case("an empty text is not no value", 'a,b\n"",1\n,2\nx,3\n', {"a": ["", None, "x"], "b": ["1", "2", "3"]}, types={"b": "int64"}),
    case("a quoted NA is a text among texts", 'a,b\n"NA",1\nx,"NA"\n', {"a": ["NA", "x"], "b": ["1", None]}, types={"b": "int64"}),
]  # fmt: skip

TIMES: list[Case] = [
    column("dates", "date32", "2013-01-31", "1900-02-28", "0001-01-01", "9999-12-31"),
    column("a day that is none", "string", "2013-01-31", "2013-02-29"),
    column("no year 0", "string", "0000-01-01", "2013-01-31"),
    column("dates as one writes them in German", "date32", date(2024, 12, 31), date(2024, 1, 2), file=["31.12.2024", "02.01.2024"]),
    column("days and months that only go one way", "date32", date(2024, 12, 31), date(2024, 1, 2), file=["31/12/2024", "02/01/2024"]),
    column("days and months that go both ways stay text", "string", "03/04/2026", "05/06/2026"),
    column(
        "days and months as asked", "date32", date(2026, 4, 3), date(2026, 6, 5), file=["03/04/2026", "05/06/2026"], options={"date_order": "dmy"}
    ),
    column(
        "months and days as asked", "date32", date(2026, 3, 4), date(2026, 5, 6), file=["03/04/2026", "05/06/2026"], options={"date_order": "mdy"}
    ),
    column("days and months that contradict", "string", "31/12/2024", "12/31/2024"),
    column("compact dates are integers", "int64", "20130131", "20131231"),
    column("compact dates when asked", "date32", date(2013, 1, 31), file=["20130131"], options={"types": {"a": "date(YYYYMMDD)"}}),
    column("seconds since 1970 are integers", "int64", "1700000000", "1700000001"),
    column(
        "seconds since 1970 when asked", "timestamp", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), file=["1700000000"],
        options={"types": {"a": "timestamp(epoch_s)"}},
    ),
    column("dates when they are not wanted", "string", "2013-01-31", options={"dates": False}),
    column("moments of mixed precision", "timestamp", "2013-01-31T05:00:00", "2013-01-31T05:00:00.123456", "2013-01-31 05:00:00.1"),
    column("nanoseconds", "timestamp[ns]", "2013-01-31T05:00:00.123456789", "2013-01-31T05:00:00"),
    column("nanoseconds and a far year", "string", "2013-01-31T05:00:00.123456789", "1500-01-31T05:00:00"),
    column("T and space may mix", "timestamp", "2013-01-31T05:00:00", "2013-07-31 05:00:00"),
    column("UTC", "timestamp[us, tz=UTC]", "2013-01-31T05:00:00Z", "2013-07-31 05:00:00Z"),
    column(
        "one offset", "timestamp[us, tz=+02:00]", datetime(2013, 1, 31, 5, tzinfo=_TWO_HOURS), file=["2013-01-31T05:00:00+02:00"],
    ),
    column("mixed offsets stay text", "string", "2013-01-31T05:00:00+01:00", "2013-07-31T05:00:00+02:00"),
    column("with and without a zone stay text", "string", "2013-01-31T05:00:00Z", "2013-07-31T05:00:00"),
    column("an offset that says it is unknown", "string", "2013-01-31T05:00:00-00:00"),
    column("no hour 24", "string", "2013-01-31T24:00:00", "2013-01-31T05:00:00"),
    column("a leap second", "string", "2016-12-31T23:59:60", "2016-12-31T23:59:59"),
    column("a time of day", "string", "05:00:00", "23:59:59"),
    column(
        "half past twelve at night", "timestamp", datetime(2024, 1, 31, 0, 30), datetime(2024, 1, 31, 12, 30),
        file=["01/31/2024 12:30:00 AM", "01/31/2024 12:30:00 PM"],
    ),
    column(
        "dates of mails", "timestamp", datetime(2024, 1, 31, 5, tzinfo=UTC), file=["Wed, 31 Jan 2024 05:00:00 +0000"],
    ),
]  # fmt: skip

CASES = [*NUMBERS, *BOOLEANS_AND_NULLS, *TIMES]
