"""JSON arrays, JSON lines and sequences: exact values, clear errors, whatever way the file falls into blocks."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from portal.errors import ConversionFailed, explain
from tests.tabular import convert

CONVERTS: dict[str, tuple[str, dict[str, Any], dict[str, str], list[dict[str, Any]]]] = {
    "array": ('[{"a":1,"b":"x"},\n {"a":2,"b":null}]', {}, {"a": "int64", "b": "string"}, [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
    "lines": ('{"a":1}\n\n{"a":2}\n', {}, {"a": "int64"}, [{"a": 1}, {"a": 2}]),
    "old Mac line ends": ('{"a":1}\r{"a":2}\r', {}, {"a": "int64"}, [{"a": 1}, {"a": 2}]),
    "a carriage return within a record": ('{"a":1}\n{"a":\r2}\r\n', {}, {"a": "int64"}, [{"a": 1}, {"a": 2}]),
    "one object over lines": ('{\n "a": 1\n}\n', {}, {"a": "int64"}, [{"a": 1}]),
    "objects one after the other": ('{"a":1}{"a":2}\n{"a":\n3}', {}, {"a": "int64"}, [{"a": 1}, {"a": 2}, {"a": 3}]),
    "spaces around": ('\n\n  [ {"a":1} ]  \n', {}, {"a": "int64"}, [{"a": 1}]),
    "a name that comes later": ('[{"a":1},{"b":true}]', {}, {"a": "int64", "b": "bool"}, [{"a": 1, "b": None}, {"a": None, "b": True}]),
    "integers beyond 2**53": ('[{"a":9007199254740993}]', {}, {"a": "int64"}, [{"a": 9007199254740993}]),
    "integers beyond 64 bits": ('[{"a":1},{"a":123456789012345678901234567890}]', {}, {"a": "string"},
                                [{"a": "1"}, {"a": "123456789012345678901234567890"}]),
    "integers and decimals": ('[{"a":1},{"a":2.5}]', {}, {"a": "double"}, [{"a": 1.0}, {"a": 2.5}]),
    "an inexact integer among decimals": ('[{"a":9007199254740993},{"a":2.50}]', {}, {"a": "decimal128(18, 2)"},
                                           [{"a": Decimal("9007199254740993.00")}, {"a": Decimal("2.50")}]),
    "an inexact integer among large numbers": ('[{"a":9007199254740993},{"a":2.5e300}]', {}, {"a": "string"},
                                               [{"a": "9007199254740993"}, {"a": "2.5e300"}]),
    "overflow": ('[{"a":1e999}]', {}, {"a": "string"}, [{"a": "1e999"}]),
    "underflow": ('[{"a":1e-999}]', {}, {"a": "string"}, [{"a": "1e-999"}]),
    "texts that look like numbers": ('[{"a":"007"},{"a":"1"}]', {}, {"a": "string"}, [{"a": "007"}, {"a": "1"}]),
    "dates": ('[{"a":"2013-01-31"},{"a":null}]', {}, {"a": "date32[day]"}, [{"a": date(2013, 1, 31)}, {"a": None}]),
    "an empty text is no date": ('[{"a":"2013-01-31"},{"a":""}]', {}, {"a": "string"}, [{"a": "2013-01-31"}, {"a": ""}]),
    "an object": ('[{"a":{"x":1,"y":"p"}},{"a":{"y":"q"}},{"a":null}]', {}, {"a": "struct<x: int64, y: string>"},
                  [{"a": {"x": 1, "y": "p"}}, {"a": {"x": None, "y": "q"}}, {"a": None}]),
    "a list": ('[{"a":[1,null,2.5]},{"a":[]},{"a":null}]', {}, {"a": "list<element: double>"}, [{"a": [1.0, None, 2.5]}, {"a": []}, {"a": None}]),
    "lists of objects": ('[{"a":[{"x":1}]},{"a":[{"x":2.5}]}]', {}, {"a": "list<element: struct<x: double>>"},
                         [{"a": [{"x": 1.0}]}, {"a": [{"x": 2.5}]}]),
    "kinds that mix": ('[{"a":1},{"a":"x"},{"a":[1.50,{"b":"é"}]}]', {}, {"a": "string"}, [{"a": "1"}, {"a": '"x"'}, {"a": '[1.50,{"b":"é"}]'}]),
    "booleans and integers do not mix": ('[{"a":1},{"a":true}]', {}, {"a": "string"}, [{"a": "1"}, {"a": "true"}]),
    "empty objects": ('[{"a":{}},{"a":null}]', {}, {"a": "string"}, [{"a": "{}"}, {"a": None}]),
    "nothing but nulls": ('[{"a":null,"b":1}]', {}, {"a": "string", "b": "int64"}, [{"a": None, "b": 1}]),
    "escapes": (r'[{"a":"x\n\"\u00e9\ud83d\ude00"}]', {}, {"a": "string"}, [{"a": 'x\n"é😀'}]),
    "a type that is asked for": ('[{"a":1.10},{"a":2}]', {"types": {"a": "string"}}, {"a": "string"}, [{"a": "1.10"}, {"a": "2"}]),
    "JSON text that is asked for": ('[{"a":{"x":[1]}},{"a":"t"}]', {"types": {"a": "json"}}, {"a": "string"}, [{"a": '{"x":[1]}'}, {"a": '"t"'}]),
    "an empty array with types": ("[ ]", {"types": {"a": "int64"}}, {"a": "int64"}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERTS)
def test_file_converts_to_exactly_these_rows(name: str, tmp_path: Path) -> None:
    content, options, types, rows = CONVERTS[name]
    result = convert(tmp_path, content, "file.json", **options)
    assert result.types == types
    assert result.rows == rows
    assert result.done.rows_in == result.done.rows_out == len(rows)


FAILS: dict[str, tuple[str, dict[str, Any], str]] = {
    "empty": ("", {}, "The file is empty"),
    "white space": (" \n ", {}, "only white space"),
    "an empty array": ("[]", {}, "no columns"),
    "empty objects": ("[{},{}]", {}, "no columns"),
    "an array cut off": ('[{"a":1},\n{"a":', {}, "Line 2"),
    "an array without its end": ('[{"a":1},\n{"a":2}\n', {}, "Line 3: the file ends where ',' or ']' should stand"),
    "a comma too many": ('[{"a":1},\n]', {}, "Line 2"),
    "a comma missing": ('[{"a":1}\n{"a":2}]', {}, "Line 2: ',' or ']' should stand here, not '{'"),
    "an error inside a record": ('[{"a":1},\n{"a":\n tru}]', {}, "Line 2: this is not JSON: Expecting value at character 2 of line 2 of the record"),
    "something after the array": ('[{"a":1}]\n[{"a":2}]', {}, "Line 2: '[' follows the end of the array"),
    "records that are no objects": ("[1,2]", {}, "Line 1: a record is a JSON object, this is an integer"),
    "a name twice": ('{"a":1}\n{"a":2,"a":3}\n', {}, "Line 2: this is not JSON: an object has the name 'a' twice"),
    "a broken line": ('{"a":1}\n{"a":}\n', {}, "Line 2: this is not JSON: Expecting value at character 6"),
    "a line cut off": ('{"a":1}\n{"a":2', {}, "Line 2: this is not JSON"),
    "half a surrogate pair": ('[{"a":"\\ud800"}]', {}, "surrogate"),
    "nested without end": ('[{"a":' + "[" * 50_000 + "]" * 50_000 + "}]", {}, "nested too deeply"),
    "nested very deep": ('[{"a":' + "[" * 150 + "]" * 150 + "}]", {}, "nested more than 100 deep"),
    "no JSON": ("<html>\n</html>\n", {}, "Line 1: this is not JSON"),
    "a value that is not of the type asked for": ('[{"a":1},\n{"a":"x"}]', {"types": {"a": "int64"}}, "Line 2, column 'a': 'x' is not an integer"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILS)
def test_file_fails_and_says_where_and_why(name: str, tmp_path: Path) -> None:
    content, options, reason = FAILS[name]
    with pytest.raises(ConversionFailed) as caught:
        convert(tmp_path, content, "file.json", **options)
    assert reason in explain(caught.value)


def test_lines_that_are_no_records_are_kept_apart(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.ndjson"
    content = '{"a":1}\n{"a":\n[1]\n{"a":"x"}\n{"a":5}\n'
    result = convert(tmp_path, content, "file.ndjson", rejects=rejects, on_reject="keep", types={"a": "int64"})
    assert result.rows == [{"a": 1}, {"a": 5}]
    assert (result.done.rows_in, result.done.rows_rejected) == (5, 3)
    kept = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(row["line"], row["column"], row["raw"]) for row in kept] == [(2, "", '{"a":'), (3, "", "[1]"), (4, "a", '{"a":"x"}')]


def test_why_a_column_holds_json_text_is_told(tmp_path: Path) -> None:
    result = convert(tmp_path, '[{"a":1,"b":{"c":[1,"x"]}},{"a":"x"}]', "file.json")
    assert result.note("a") == "JSON text, because it holds integers and texts"
    assert result.note("b") == "c: elements: JSON text, because it holds integers and texts"
    assert len(result.done.warnings) == 2


def test_a_number_with_more_digits_than_a_float_keeps_is_told(tmp_path: Path) -> None:
    result = convert(tmp_path, '[{"a":9007199254740993.0, "b":0.30000000000000004}]', "file.json")
    assert "'9007199254740993.0' has more digits" in result.note("a")
    assert any("'9007199254740993.0'" in warning for warning in result.done.warnings)
    assert result.note("b") == ""
