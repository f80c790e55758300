"""The types of columns end to end: what is decided is what stands in the file, with every value (see test_columns_guess for the decisions)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from portal.tabular.columns.schema import Schema
from tests.tabular import convert
from tests.test_columns_casting import ASKED
from tests.test_columns_guess import TYPES

KINDS = ["integers", "leading zeros", "long decimals", "German dates", "the month is first", "twelve hours", "mail", "two offsets",
"nanoseconds", "UTC"]


@pytest.mark.parametrize("name", KINDS)
def test_type_holds_every_value(name: str, tmp_path: Path) -> None:
    values, kind, note = TYPES[name]
    rows = "".join(f'"{value}";x\n' for value in values)
    result = convert(tmp_path, f"a;b\n{rows}", delimiter=";", header="yes")
    assert note in result.note("a")
    written = Schema.from_json((tmp_path / "_file.parquet.schema.json").read_text()).columns[0]
    assert result.table.schema.field("a").type == written.type.arrow
    if kind == "string":
        assert result.table["a"].to_pylist() == values


def test_the_last_row_of_a_long_file_decides_as_much_as_the_first(tmp_path: Path) -> None:
    """More rows than the samples see, and more than one chunk."""
    zips = "".join(f"{n},{n % 90000 + 10000},x\n" for n in range(600_000))
    half = len(zips) // 2
    at = zips.index("\n", half) + 1
    content = f"n,zip,x\n{zips[:at]}600000,00501,x\n{zips[at:]}"
    result = convert(tmp_path, content, full_scan=True, sample_bytes=1 << 12)
    assert result.types == {"n": "int64", "zip": "string", "x": "string"}
    assert "00501" in result.table["zip"].to_pylist()
    assert result.table["zip"][0].as_py() == "10000"


def test_dates_stay_text_when_not_wanted(tmp_path: Path) -> None:
    assert convert(tmp_path, "a,b\n2013-01-31,2013-01-31T05:00:00Z\n", dates=False).types == {"a": "string", "b": "string"}


@pytest.mark.parametrize("name", ["text", "a small integer", "a decimal with zeros behind", "a compact timestamp", "a timestamp with a zone", "JSON"])
def test_type_that_is_asked_for_is_taken(name: str, tmp_path: Path) -> None:
    kind, text, value = ASKED[name]
    quoted = text.replace('"', '""')
    result = convert(tmp_path, f'a,b\n"{quoted}",x\n', types={"a": kind})
    assert result.rows == [{"a": value, "b": "x"}]
    assert result.note("a") == "type as asked for"


@pytest.mark.parametrize(
    ("content", "options", "row"),
    [
        ("a;b\n1.234,50;2.000\n,5;3\n", {"decimal_point": ",", "thousands": "."}, (1234.5, 2000)),
        ("a;b\n1,50;7\n", {"decimal_point": ",", "decimals": "decimal"}, (Decimal("1.50"), 7)),
        ("a;b\n03/04/2013;04/03/2013 5:00 PM\n", {"date_order": "dmy"}, (date(2013, 4, 3), datetime(2013, 3, 4, 17))),
    ],
)  # fmt: skip
def test_numbers_and_dates_as_they_are_written_elsewhere(content: str, options: dict[str, Any], row: tuple[Any, ...], tmp_path: Path) -> None:
    result = convert(tmp_path, content, **options)
    assert tuple(result.rows[0].values()) == row


def test_a_schema_document_wins(tmp_path: Path) -> None:
    document = Schema.from_arrow(pa.schema([("a", pa.decimal128(9, 2)), ("b", pa.string())])).to_json()
    result = convert(tmp_path, "b,a\n1,2.5\n", schema_document=document, types={"b": "int64"})
    assert result.rows == [{"b": "1", "a": Decimal("2.50")}]
