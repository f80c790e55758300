"""CSV files, the hard ones first: each converts to the values it holds, or fails and says where and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portal.errors import ConversionFailed, explain
from tests.tabular import convert

CONVERTS: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "plain": ("a,b\n1,x\n2,y\n", {}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
    "no newline at the end": ("a,b\n1,x", {}, [{"a": 1, "b": "x"}]),
    "Windows line ends": ("a,b\r\n1,x\r\n2,y\r\n", {}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
    "old Mac line ends": ("a,b\r1,x\r2,y\r", {}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
    "quoted newline, delimiter and quote": ('a,b\n1,"x\ny"\n2,"p,""q"""\n', {}, [{"a": 1, "b": "x\ny"}, {"a": 2, "b": 'p,"q"'}]),
    "newline in the header": ('"a\nb",c\n1,2\n', {}, [{"a\nb": 1, "c": 2}]),
    "a quote inside an unquoted value": ('a,b\n1,5" pipe\n', {}, [{"a": 1, "b": '5" pipe'}]),
    "spaces are kept": ("a,b\n x , y\n", {}, [{"a": " x ", "b": " y"}]),
    "semicolons": ("a;b\n1;2,5\n", {}, [{"a": 1, "b": "2,5"}]),
    "tabs": ("a\tb\n1\tx y\n", {}, [{"a": 1, "b": "x y"}]),
    "bars": ("a|b|c\n1|2|3\n", {}, [{"a": 1, "b": 2, "c": 3}]),
    "another delimiter when asked": ("a^b\n1^2\n", {"delimiter": "^"}, [{"a": 1, "b": 2}]),
    "single quotes when asked": ("a,b\n'x,y',2\n", {"quote": "'"}, [{"a": "x,y", "b": 2}]),
    "no quotes when asked": ('a,b\n"x,2\n', {"quote": ""}, [{"a": '"x', "b": 2}]),
    "one column": ("name\nx\ny\n", {}, [{"name": "x"}, {"name": "y"}]),
    "blank lines are passed over": ("\n\na,b\n\n1,2\n\n\n3,4\n\n", {}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
    "lines before the header": ("Report of today\n\na,b\n1,2\n", {"skip_lines": 2}, [{"a": 1, "b": 2}]),
    "no header when asked": ("a,b\nc,d\n", {"header": "no"}, [{"column_1": "a", "column_2": "b"}, {"column_1": "c", "column_2": "d"}]),
    "no header when it looks like data": ("1,x\n2,y\n", {}, [{"column_1": 1, "column_2": "x"}, {"column_1": 2, "column_2": "y"}]),
    "years are a header when asked": ("2013,2014\n1,2\n", {"header": "yes"}, [{"2013": 1, "2014": 2}]),
    "escaped quotes when asked": ('a,b\n"x\\"y",1\n', {"escape": "\\"}, [{"a": 'x"y', "b": 1}]),
    "comments when asked": ("#x\na,b\n#1,2\n3,4\n", {"comment": "#"}, [{"a": 3, "b": 4}]),
    "blanks left out when asked": ('a , b\n 1, " x" \n', {"trim": True}, [{"a": 1, "b": " x"}]),
    "short rows when asked": ("a,b\n1\n2,x\n", {"ragged": "pad"}, [{"a": 1, "b": None}, {"a": 2, "b": "x"}]),
    "decimal commas when asked": ("a;b\n1,5;x\n", {"decimal_point": ","}, [{"a": 1.5, "b": "x"}]),
    "Excel's line about the delimiter": ("sep=^\na^b\n1^2\n", {}, [{"a": 1, "b": 2}]),
    "names that are empty or repeated": ("a,,a,a_2\n1,2,3,4\n", {}, [{"a": 1, "column_2": 2, "a_3": 3, "a_2": 4}]),
    "only a header": ("a,b\n", {}, []),
    "unquoted empty is null, quoted empty is text": ('a,b\n,""\nx,\n', {}, [{"a": None, "b": ""}, {"a": "x", "b": None}]),
    "quoted numbers are numbers, quoted empty among them is null": ('a\n"1"\n""\n"3"\n', {}, [{"a": 1}, {"a": None}, {"a": 3}]),
    "NA among numbers is null": ("a\n1\nNA\n", {}, [{"a": 1}, {"a": None}]),
    "NA among texts is text": ("a\nNA\nx\n", {}, [{"a": "NA"}, {"a": "x"}]),
    "NA among texts is null when listed": ("a,b\nNA,1\nx,2\n", {"null_values": ("", "NA")}, [{"a": None, "b": 1}, {"a": "x", "b": 2}]),
    "a quoted NA stays text even when listed": ('a,b\n"NA",1\nx,2\n', {"null_values": ("NA",)}, [{"a": "NA", "b": 1}, {"a": "x", "b": 2}]),
    "nothing but nulls": ("a,b\n,1\n,2\n", {}, [{"a": None, "b": 1}, {"a": None, "b": 2}]),
    "a zero byte in a value": ("a,b\nx\0y,1\n", {}, [{"a": "x\0y", "b": 1}]),
    "line separators of Unicode are text in a header too": ("x\u2028y\x0b\n1\n2\n", {}, [{"x\u2028y\x0b": 1}, {"x\u2028y\x0b": 2}]),
    "line separators of Unicode are text": ("a,b\nx\u2028y\x85z,1\n", {}, [{"a": "x\u2028y\x85z", "b": 1}]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERTS)
def test_file_converts_to_exactly_these_rows(name: str, tmp_path: Path) -> None:
    content, options, rows = CONVERTS[name]
    result = convert(tmp_path, content, **options)
    assert result.rows == rows
    assert result.done.rows_in == result.done.rows_out == len(rows)
    assert result.done.read_back


FAILS: dict[str, tuple[str, dict[str, Any], str]] = {
    "empty": ("", {}, "The file is empty"),
    "only a byte order mark": ("\ufeff", {}, "The file is empty"),
    "only blank lines": ("\n\r\n\n", {}, "only blank lines"),
    "a row too short": ("a,b,c\n1,2,3\n4,5\n6,7,8\n", {}, "Line 3: 2 values, where the header has 3"),
    "a row too long": ("a,b\n1,2\n\n3,4,5\n", {}, "Line 4: 3 values, where the header has 2"),
    "a row too long after quoted newlines": ('a,b\n"x\n\ny",2\n3,4,5\n', {}, "Line 5: 3 values"),
    "a quote never closed": ('a,b\n1,2\n3,"4\n5,6\n7,8\n', {}, 'Line 3: a quote (") opens a value here (byte 10) and is never closed'),
    "a quote never closed, inside a record": ('a,b\n1,2\n"x\ny","4\n5,6\n', {}, 'Line 4: a quote (") opens a value here'),
    "text after a closing quote": ('a,b\n1,"x\ny"z\n', {}, "Line 3: text follows a closing quote (\"); the value begins in line 2"),
    "a type for a column that is not there": ("a\n1\n", {"types": {"b": "int64"}}, "There is no column 'b'"),
    "a type nobody knows": ("a\n1\n", {"types": {"a": "integre"}}, "'integre', which nobody knows"),
    "a delimiter that is none": ("a\n1\n", {"delimiter": "\n"}, "delimiter '\\n' cannot be used"),
    "a value that is not of the type asked for": ("a,b\n1,x\n2,y\nz,w\n", {"types": {"a": "int64"}}, "Line 4, column 'a': 'z' is not an integer"),
    "an integer too large": ("a\n1\n3000000000\n", {"types": {"a": "int32"}}, "Line 3, column 'a': '3000000000' does not fit int32"),
    "a rounded decimal": ("a\n1.25\n1.255\n", {"types": {"a": "decimal(6,2)"}}, "Line 3, column 'a': '1.255' does not fit decimal(6,2)"),
    "a float that is another integer": ("a\n9007199254740993\n", {"types": {"a": "float64"}}, "Line 2, column 'a': '9007199254740993'"),
    "a float that would overflow": ("a\n1e999\n", {"types": {"a": "float64"}}, "Line 2, column 'a': '1e999' does not fit float64"),
    "a float that would vanish": ("a\n1e-999\n", {"types": {"a": "float64"}}, "Line 2, column 'a': '1e-999' does not fit float64"),
    "a date that is none": ("a\n2013-02-30\n", {"types": {"a": "date"}}, "Line 2, column 'a': '2013-02-30' does not fit date."),
    "hexadecimal is no integer": ("a\n0x1F\n", {"types": {"a": "int64"}}, "'0x1F' is not an integer"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILS)
def test_file_fails_and_says_where_and_why(name: str, tmp_path: Path) -> None:
    content, options, reason = FAILS[name]
    with pytest.raises(ConversionFailed) as caught:
        convert(tmp_path, content, **options)
    assert reason in explain(caught.value)
    assert caught.value.hint
    assert not (tmp_path / "file.parquet").exists()


def test_line_is_right_where_values_span_lines(tmp_path: Path) -> None:
    rows = "".join(f'{n},"line\nbreak {n}"\n' for n in range(5000))
    with pytest.raises(ConversionFailed, match="Line 10002, column 'n': 'oops'"):
        convert(tmp_path, f'n,text\n{rows}oops,"x\ny"\n', types={"n": "int64"})


def test_rows_that_do_not_fit_are_kept_apart_with_line_column_reason_and_raw_text(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.ndjson"
    content = 'id,text\n1,a\n2\nx,"b\nc"\n4,d\n5,e,f\n6,g\n'
    result = convert(tmp_path, content, rejects=rejects, types={"id": "int64"}, on_reject="keep")
    assert [row["id"] for row in result.rows] == [1, 4, 6]
    assert (result.done.rows_in, result.done.rows_out, result.done.rows_rejected) == (6, 3, 3)
    assert [json.loads(line) for line in rejects.read_text().splitlines()] == [
        {"line": 3, "offset": 12, "column": "", "reason": "1 values, where the header has 2", "raw": "2"},
        {"line": 4, "offset": 14, "column": "id", "reason": "'x' is not an integer", "raw": 'x,"b\nc"'},
        {"line": 7, "offset": 26, "column": "", "reason": "3 values, where the header has 2", "raw": "5,e,f"},
    ]


def test_too_many_rejects_end_the_conversion(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match="More than 2 rows do not fit; the last: Line 5"):
        convert(tmp_path, "a,b\n1,2\n3\n4\n5\n", on_reject="keep", max_rejects=2)


def test_rejects_of_both_kinds_count_together(tmp_path: Path) -> None:
    content = "a,b\n1,2\n3\nx,4\ny,5\n6,7\n"
    with pytest.raises(ConversionFailed, match="More than 2 rows do not fit; the last: Line 5"):
        convert(tmp_path, content, on_reject="keep", max_rejects=2, types={"a": "int64"})


def test_a_file_without_one_row_that_fits_fails(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match="None of the 2 rows fits"):
        convert(tmp_path, "a\nx\ny\n", on_reject="keep", types={"a": "int64"})


def test_a_row_larger_than_a_block_is_read(tmp_path: Path) -> None:
    text = "x" * (9 << 20)
    result = convert(tmp_path, f"a,b\n1,{text}\n2,y\n")
    assert result.table["b"].to_pylist() == [text, "y"]


def test_what_was_done_to_names_and_doubtful_dialects_is_told(tmp_path: Path) -> None:
    warnings = "\n".join(convert(tmp_path, ",a,a\n1,2,3\n").done.warnings)
    assert "Column 1 has no name; it is called 'column_1'" in warnings
    assert "Column 3 has the name 'a' again; it is called 'a_2'" in warnings
    assert "looks like data" in "\n".join(convert(tmp_path, "1,2\n3,4\n").done.warnings)
    assert "as well with the delimiters ',' and ';'" in "\n".join(convert(tmp_path, "a,b;c\n1,2;3\n").done.warnings)


def test_line_ends_that_mix_are_told(tmp_path: Path) -> None:
    result = convert(tmp_path, "a,b\n1,2\n\r,3\n4,5\n")
    assert "1 rows end in a carriage return alone" in "\n".join(result.done.warnings)
    assert "carriage" not in "\n".join(convert(tmp_path, "a,b\r1,2\r").done.warnings)


def test_text_that_might_mean_null_is_told(tmp_path: Path) -> None:
    result = convert(tmp_path, "a,b\nNA,NA\nx,1\n")
    assert result.note("a") == "1 × NA kept as text (list it in null_values to read it as no value)"
    assert result.note("b") == "1 × NA read as no value"
    assert any("'a'" in warning for warning in result.done.warnings)
