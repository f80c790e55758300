"""Any table, in any dialect, arrives as it was: found by hypothesis, or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.options import TYPED_NULLS
from tests.tabular import Conversion, convert

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
CELLS = [
    st.integers(-(10**20), 10**20).map(str),
    st.integers(-100, 100).map(str),
    st.floats(allow_nan=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9).map(str),
    st.integers(0, 999).map("{:05}".format),
    st.sampled_from(["true", "false", "True", "FALSE"]),
    st.dates().map(date.isoformat),
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    WORDS,
    st.sampled_from(['"', '""', "'", ",", ";", "\n", "\r\n", "\r", "NA", "null", " ", "\\", "é", "\0", "1,5", "0x1F", "+1", "-0", "1e5", "\ufeff"]),
]  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> list[list[str]]:
    rows = draw(st.integers(0, 8))
    kinds = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=4))
    return [draw(st.lists(st.one_of(kind, st.sampled_from(["", "", "NA"])), min_size=rows, max_size=rows)) for kind in kinds]


def written(table: list[list[str]], delimiter: str, line_end: str, quoting: Any, quote: str) -> tuple[str, list[str]]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=line_end, quoting=quoting, quotechar=quote)
    names = [f"name {n}" for n in range(len(table))]
    writer.writerow(names)
    writer.writerows(zip(*table, strict=True))
    return buffer.getvalue(), names


def converted(content: str | bytes, name: str, **options: Any) -> Conversion:
    with tempfile.TemporaryDirectory() as folder:
        return convert(Path(folder), content, name, **options)


def holds(text: str, value: Any) -> bool:
    """Whether a value is exactly what a text says."""
    if value is None:
        return text == "" or text in TYPED_NULLS
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int):
        return text == str(value)
    if isinstance(value, float):
        return float(text) == value and math.copysign(1, float(text)) == math.copysign(1, value)
    if isinstance(value, Decimal):
        return Decimal(text) == value and "e" not in text.lower()
    if isinstance(value, datetime):
        moment = datetime.fromisoformat(text)
        return moment == value and moment.utcoffset() == value.utcoffset()
    if isinstance(value, date):
        return text == value.isoformat()
    return bool(text == value)


@quick
@given(
    columns(), st.sampled_from(",;\t|^ "), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from("\"'"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)  # fmt: skip
@example([["1"], ["\n"]], ",", "\r\n", csv.QUOTE_MINIMAL, '"', "utf-8")
@example([["-0", "1"]], ",", "\n", csv.QUOTE_ALL, '"', "utf-8")
def test_any_table_in_any_dialect(table: list[list[str]], delimiter: str, line_end: str, quoting: Any, quote: str, encoding: str) -> None:
    if any("\r" in cell or "\n" in cell for cells in table for cell in cells):
        quoting = csv.QUOTE_ALL  # Python's writer leaves line ends unquoted that are not its own
    content, names = written(table, delimiter, line_end, quoting, quote)
    result = converted(content.encode(encoding), "file.csv", delimiter=delimiter, quote=quote, header="yes")
    assert result.table.column_names == names
    assert result.done.rows_in == result.done.rows_out == len(table[0])
    for name, cells in zip(names, table, strict=True):
        values = result.table[name].to_pylist()
        assert len(values) == len(cells)
        wrong = [pair for pair in zip(cells, values, strict=True) if not holds(*pair)]
        assert not wrong, f"{result.types[name]}: {wrong[0]}"
        if result.types[name] == "string":
            assert all(value is not None or cell == "" for cell, value in zip(cells, values, strict=True))


@quick
@given(st.integers(2, 5), st.integers(2, 20), st.sampled_from(",;\t|"), st.booleans())
def test_delimiter_and_header_are_found(width: int, rows: int, delimiter: str, with_header: bool) -> None:
    lines = [delimiter.join(f"{row * width + column}" for column in range(width)) for row in range(rows)]
    header = [delimiter.join(f"c{column}" for column in range(width))] if with_header else []
    result = converted("\n".join(header + lines), "file.csv")
    assert result.done.reading["delimiter"] == delimiter
    assert result.done.reading["header"] is with_header
    assert result.table.num_rows == rows
    assert result.table.num_columns == width


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.integers(-5, 5) | st.floats(allow_nan=False) | WORDS | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "z", "é"]), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3), max_size=6)


def equal(original: Any, value: Any, kind: Any) -> bool:
    """Whether a value of an Arrow type holds what a JSON value says: nulls for missing names, JSON text where kinds mix."""
    if original is None or value is None:
        return original is value
    if pa.types.is_struct(kind):
        return isinstance(original, dict) and all(equal(original.get(item.name), value[item.name], item.type) for item in kind) and (
            set(original) <= {item.name for item in kind}
        )  # fmt: skip
    if pa.types.is_list(kind):
        return len(original) == len(value) and all(equal(one, other, kind.value_type) for one, other in zip(original, value, strict=True))
    if pa.types.is_string(kind):
        return bool(original == (value if isinstance(original, str) and original == value else json.loads(value)))
    if isinstance(value, date):
        return bool(original == value.isoformat())
    if isinstance(value, Decimal):
        return not isinstance(original, bool) and Decimal(repr(original)) == value
    return bool(type(original) is type(value) or {type(original), type(value)} == {int, float}) and bool(original == value)


@quick
@given(RECORDS, st.sampled_from(["array", "indented", "lines", "sequence"]), st.booleans())
@example([{"a": 2**53 + 1}, {"a": 0.5}], "lines", True)
@example([{"a": "1"}, {"a": 1}], "array", True)
def test_any_records_in_any_shape(records: list[dict[str, Any]], shape: str, ascii_only: bool) -> None:
    def dump(value: Any, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, **options)

    text = {
        "array": lambda: dump(records), "indented": lambda: dump(records, indent=1), "lines": lambda: "\n".join(map(dump, records)),
        "sequence": lambda: "\n".join(dump(record, indent=2) for record in records),
    }[shape]()  # fmt: skip
    try:
        result = converted(text, "file.json")
    except ConversionFailed as error:
        assert "The file is empty" in error.message
        assert not any(records)
        return
    assert result.done.rows_in == result.done.rows_out == len(records)
    for name, kind in zip(result.table.column_names, result.table.schema.types, strict=True):
        for record, value in zip(records, result.table[name].to_pylist(), strict=True):
            assert equal(record.get(name), value, kind), f"{name} {kind}: {record.get(name)!r} became {value!r}"
    assert {name for record in records for name in record} == set(result.table.column_names)
