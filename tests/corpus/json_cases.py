"""JSON: numbers, names, nesting, and texts of many shapes."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any

from tests.corpus.case import EXACT, Case, case

D = Decimal
_KEEP = {"on_reject": "keep"}


def lines(name: str, content: str | bytes, columns: dict[str, list[Any]] | None = None, types: dict[str, str] | None = None, **rest: Any) -> Case:
    return case(name, content, columns, types=types or {}, **{"file": "file.ndjson", **rest})


def values(name: str, kind: str, *written: str, wanted: list[Any] | None = None, **rest: Any) -> Case:
    """Records of one name whose values are written so; a text is what is written, in case none is wanted."""
    content = "".join(f'{{"a":{text}}}\n' for text in written)
    return lines(name, content, {"a": list(written) if wanted is None else wanted}, {"a": kind} if kind != "string" else {}, **rest)


VALUES: list[Case] = [
    values("integers beyond 2^53", "int64", "9007199254740993", "-9223372036854775808"),
    values("JSON integers beyond 64 bits", EXACT, "1", "9223372036854775808"),
    values("a JSON minus zero", EXACT, "-0", "1"),
    values("integers and fractions", "double", "1", "0.5", "-2e3"),
    values("an integer that a float would change, in JSON", EXACT, "0.5", "9007199254740993"),
    values("more digits than a float has, in JSON", EXACT, "0.1234567890123456789", "1.5"),
    values("a number that overflows", EXACT, "1.5", "1e999"),
    values("booleans and nulls", "bool", "true", "null", "false", wanted=[True, None, False]),
    values("numbers in quotes are texts", "string", '"1"', '"007"', wanted=["1", "007"]),
    values("NA in quotes is a text", "string", '"NA"', '""', "null", wanted=["NA", "", None]),
    values("dates in quotes", "date32", '"2024-01-31"', "null", wanted=["2024-01-31", None]),
    values("moments in quotes", "timestamp[us, tz=UTC]", '"2024-01-31T05:00:00Z"', wanted=["2024-01-31T05:00:00Z"]),
    values("texts and numbers", "string", '"x"', "1.50", wanted=['"x"', "1.50"]),
    values("numbers and booleans", "string", "1.50", "true"),
    values("an object and a list", "string", '{"b": 1.50}', "[1]"),
    values("lists", "list<", "[1, 2]", "[]", "null", wanted=[[1, 2], [], None]),
    values("lists with nulls", "list<", "[1, null]", wanted=[[1, None]]),
    values("lists of lists", "list<", "[[1], []]", wanted=[[[1], []]]),
    values("lists of mixed kinds", EXACT, '[1, "x"]', wanted=[["1", '"x"']]),
    values("objects", "struct<", '{"b": 1, "c": {"d": "x"}}', '{"b": null}', wanted=[{"b": 1, "c": {"d": "x"}}, {"b": None}]),
    values("objects in lists", "list<", '[{"b": 1}, {"c": "x"}]', wanted=[[{"b": 1}, {"c": "x"}]]),
    values("escapes", "string", r'"\u00fc\n\"\\\/"', r'"\ud83d\ude00"', r'"\u0000"', wanted=['ü\n"\\/', "😀", "\0"]),
    values("a lone surrogate", "string", r'"x"', r'"\ud83d"', error="ine 2"),
    values("a lone surrogate is set apart", "string", r'"x"', r'"\ud83d"', wanted=["x"], options=_KEEP, rejects=[(2, "")]),
    values("no number, as Python writes it", "double", "1", "NaN", "-Infinity"),
    values("a leading zero is no JSON", "string", "1", "007", error="ine 2"),
    values("nothing but nulls", "string", "null", "null", wanted=[None, None]),
    values("deep lists", "string", "[" * 5000 + "]" * 5000, error=".+"),
]  # fmt: skip

RECORDS: list[Case] = [
    lines("missing names", '{"a":1}\n{"b":"x"}\n', {"a": [1, None], "b": [None, "x"]}, {"a": "int64"}),
    lines("names in another order", '{"a":1,"b":"x"}\n{"b":"y","a":2}\n', {"a": [1, 2], "b": ["x", "y"]}, {"a": "int64"}),
    lines("names that differ in case", '{"a":1,"A":2}\n', {"a": [1], "A": [2]}, {"a": "int64", "A": "int64"}),
    lines("a name twice", '{"a":1}\n{"a":2,"a":3}\n', {}, error="ine 2"),
    lines("a name twice is set apart", '{"a":1}\n{"a":2,"a":3}\n{"a":4}\n', {"a": [1, 4]}, {"a": "int64"}, options=_KEEP, rejects=[(2, "")]),
    lines("a name twice by an escape", '{"a":1}\n{"a":2,"\\u0061":3}\n', {}, error="ine 2"),
    lines("no object", '{"a":1}\n[1]\n2\n{"a":3}\n', {"a": [1, 3]}, {"a": "int64"}, options=_KEEP, rejects=[(2, ""), (3, "")]),
    lines("a line that was cut off", '{"a":1}\n{"a":\n{"a":3}\n', {}, error="ine [23]"),
    lines("blank lines between records", '\n{"a":1}\r\n\r\n{"a":2}\n', {"a": [1, 2]}, {"a": "int64"}),
    lines("records of several lines", '{"a":\n1}\n{\n"a":2}', {"a": [1, 2]}, {"a": "int64"}),
    lines("records on one line", '{"a":1}{"a":2} {"a":3}', {"a": [1, 2, 3]}, {"a": "int64"}),
    lines("brackets and quotes in texts", '{"a":"}]\\"{"}\n{"a":"\\\\"}\n', {"a": ['}]"{', "\\"]}),
    lines("a byte order mark before JSON", b'\xef\xbb\xbf{"a":1}\n', {"a": [1]}, {"a": "int64"}),
    lines("JSON in UTF-16", '{"a":"ü"}\n'.encode("utf-16"), {"a": ["ü"]}),
    lines("JSON with a broken byte", b'{"a":"x"}\n{"a":"\xff\xc3\xbc"}\n', {}, error="byte 16"),
    lines("a record too long for the limit, in JSON", '{"a":"' + "x" * 5000 + '"}\n', {}, options={"max_record_bytes": 1024}, error="1,?024"),
    lines("a text of a megabyte", '{"a":"' + "x" * 2**20 + '"}\n', {"a": ["x" * 2**20]}),
    lines("JSON packed", gzip.compress(b'{"a":1}\n'), {"a": [1]}, {"a": "int64"}, file="file.ndjson.gz"),
    lines("an empty JSON file", "", {}, error="empty", ours_alone=True),
]  # fmt: skip

ARRAYS: list[Case] = [
    lines("an array", json.dumps([{"a": 1}, {"a": 2}]), {"a": [1, 2]}, {"a": "int64"}, file="file.json"),
    lines("an array of many lines", json.dumps([{"a": 1, "b": [1]}, {"a": 2, "b": []}], indent=2), {"a": [1, 2], "b": [[1], []]},
          {"a": "int64", "b": "list<"}, file="file.json"),
    lines("an array that ends too soon", '[{"a":1},\n{"a":2}', {}, file="file.json", error=".+"),
    lines("an array with a comma too many", '[{"a":1},\n{"a":2},]', {}, file="file.json", error=".+"),
    lines("an array and something behind it", '[{"a":1}]\nx', {}, file="file.json", error=".+"),
    lines("an array with other things", '[{"a":1},\n2,\n{"a":3}]', {"a": [1, 3]}, {"a": "int64"}, file="file.json", options=_KEEP, rejects=[(2, "")]),
    lines("one object", '{"a":1,"b":{"c":2}}', {"a": [1], "b": [{"c": 2}]}, {"a": "int64", "b": "struct<"}, file="file.json"),
]  # fmt: skip


def _late_name() -> Case:
    """A name that only one of many records has."""
    content = "".join(f'{{"n":{number}{EXTRA if number == 30_000 else ""}}}\n' for number in range(40_000))
    columns = {"n": list(range(40_000)), "late": [1 if number == 30_000 else None for number in range(40_000)]}
    return lines("a late name, widened", content, columns, {"n": "int64", "late": "int64"}, options={"on_reject": "widen", "sample_bytes": 1024})


EXTRA = ',"late":1'
CASES = [*VALUES, *RECORDS, *ARRAYS, _late_name()]
