"""The kernel reads JSON as the careful reader does, whatever the records, the schema and the layout; and nothing breaks it."""

from __future__ import annotations

import random
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.native.library import absence
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.columns.type_names import parse
from portal.tabular.json_format.parsing import JsonParser
from portal.tabular.json_format.reader import JsonReader
from portal.tabular.json_format.scanning import PythonScan, Scanned, State, new_scan
from portal.tabular.json_format.shape import Shape
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk
from tests.json_texts import columnar, layouts, objects, same, values

pytestmark = pytest.mark.skipif(bool(absence()), reason="there is no kernel")

OPTIONS = ConvertOptions()
MANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
TYPES = st.sampled_from([
    "string", "json", "boolean", "int8", "int64", "uint16", "float32", "float64", "decimal(9,3)", "decimal(38,10)", "date", "timestamp",
    "timestamp(ns)", "timestamp[UTC]", "timestamp(ms)[+02:00]", "date(DD.MM.YYYY)", "timestamp(epoch_ms)", "list<int64>", "list<json>",
    "struct<a: int64, b: string>", "list<struct<a: json, c: list<float64>>>", 'struct<a: timestamp, b: json, "ä": struct<c: string>>',
])  # fmt: skip


def both(text: bytes, kind: Any, schema: Schema, offset: int = 0) -> None:
    """Read a chunk both ways and compare."""
    chunk = Chunk(0, text, offset, 1)
    careful = JsonParser(schema, kind, OPTIONS, careful=True)(chunk)
    kernel = JsonParser(schema, kind, OPTIONS, careful=False)(chunk)
    kernel.batch.validate(full=True)
    assert same(kernel, careful)
    assert set(kernel.remarks) == set(careful.remarks)


def chunks_of(text: str, kind: Any) -> list[Chunk]:
    return list(JsonReader(Shape(kind, ""), OPTIONS).chunks(BytesIO(text.encode())))


@MANY
@given(st.data())
def test_kernel_and_careful_reader_agree_under_the_schema_that_was_found(data: st.DataObject) -> None:
    records = data.draw(st.lists(columnar(values(2)), min_size=1, max_size=8))
    text, kind = data.draw(layouts(records))
    seen = data.draw(st.integers(1, len(records)))
    reader = JsonReader(Shape("lines", ""), OPTIONS)
    reader.look(Chunk(0, "\n".join(record.replace("\n", " ") for record in [*records[:seen], '{"a":null}']).encode(), 0, 1))
    for chunk in chunks_of(text, kind):
        both(chunk.data, kind, reader.schema(), chunk.offset)


@MANY
@given(st.data())
def test_kernel_and_careful_reader_agree_under_any_schema(data: st.DataObject) -> None:
    records = data.draw(st.lists(st.one_of(objects(values(2)), values(1)), min_size=1, max_size=6))
    text, kind = data.draw(layouts(records))
    names = data.draw(st.lists(st.sampled_from(["a", "b", "c", "ä", 'q"', "long name"]), min_size=3, unique=True))
    schema = Schema(tuple(Column(name, parse(data.draw(TYPES), name), asked=data.draw(st.booleans())) for name in names))
    for chunk in chunks_of(text, kind):
        both(chunk.data, kind, schema, chunk.offset)


@MANY
@given(st.data())
def test_kernel_and_careful_reader_agree_on_lines_that_are_broken_anywhere(data: st.DataObject) -> None:
    text = data.draw(columnar(values(2))).replace("\n", " ").replace("\r", " ")
    at = data.draw(st.integers(0, len(text)))
    wrong = data.draw(st.sampled_from(["", "\\", '"', "{", "}", "[", "]", ",", ":", "0", "-", ".", "e", "\x00", "\x1f", "\\ud800", "\\u00", "é"]))
    broken = text[:at] + wrong + text[at + data.draw(st.integers(0, 2)) :]
    types = {"a": "float64", "b": "timestamp", "c": "int64", "ä": "string", 'q"': "list<json>", "long name": "json"}
    schema = Schema(tuple(Column(name, parse(kind, name)) for name, kind in types.items()))
    both(f"{broken}\n{text}\n{broken}".encode(), "lines", schema)


def test_nothing_breaks_the_kernel() -> None:
    chance = random.Random(5)
    pieces = ['{"a":', "}", "[", "]", ",", '"b":', '"', "\\", "1", "-", "1e5", "null", "true", '"x"', " ", "\n", "\\ud83d", "é", '{"a":1}', ".5"]
    types = {"a": "struct<a: float64, b: list<string>>", "b": "json"}
    schema = Schema(tuple(Column(name, parse(kind, name), asked=True) for name, kind in types.items()))
    for _ in range(500):
        both("".join(chance.choices(pieces, k=chance.randint(1, 30))).encode(), "lines", schema)


@MANY
@given(st.data())
def test_scans_agree_whatever_way_the_text_falls_into_blocks(data: st.DataObject) -> None:
    pieces = st.sampled_from(['{"a":', "}", "[", "]", ",", '"', "\\", "12", "true", '"x"', " ", "\n", '{"a":[1,{}]}', '["\\""]', "é", "x" * 40])
    text = "".join(data.draw(st.lists(pieces, max_size=20))).encode()
    text = b"[" + text if (array := data.draw(st.booleans())) and data.draw(st.booleans()) else text
    ours, theirs = PythonScan(array=array), new_scan(array)
    while text:
        size = data.draw(st.integers(1, 50))
        block, text = text[:size], text[size:]
        found, other = ours.feed(block), theirs.feed(block)
        assert found == other
        assert ours.state is theirs.state
        if found.broken >= 0:
            return


def test_a_scan_tells_where_records_begin_and_end() -> None:
    for scan in (PythonScan(array=True), new_scan(True)):
        assert scan.feed(b' [ {"a":"]"} , 5') == Scanned(3, 12, 15, 1, -1)
        assert scan.state is State.SCALAR
        assert scan.feed(b"1,[2") == Scanned(18, 17, 18, 1, -1)
        assert scan.feed(b"]}") == Scanned(-1, 21, -1, 1, 21)
        assert scan.state is State.AFTER


@pytest.mark.parametrize("depth", [99, 100, 101, 102])
def test_nesting_is_refused_at_the_same_depth(depth: int) -> None:
    schema = Schema((Column("a", parse("json", "a")),))
    both(b'{"a":' + b"[" * depth + b"]" * depth + b"}", "lines", schema)


TRICKY = {
    '{"t":"x","t":"y"}': False, '{"o":{"a":1,"a":2}}': False, '{"j":{"a":1,"b":2,"a":3}}': False, '{"j":{"a":{"b":1},"\\u0061":2}}': False,
    '{"\\u0074":"x"}': True, '{"t":"\\ud83d"}': False, '{"t":"\\ude00"}': False, '{"j":["\\ud83d\\u0041"]}': False, '{"t":"\\ud83d\\ude00"}': True,
    '{"j":"\\ud83d\\ude00"}': True, '{"t":"a\\x"}': False, '{"t":"a\\u12g4"}': False, '{"t":"tab\there"}': False, '{"j":["tab\there"]}': False,
    '{"f":01}': False, '{"f":-}': False, '{"f":1.}': False, '{"f":.5}': False, '{"f":1e}': False, '{"f":+1}': False, '{"f":"1"}': False,
    '{"f":-0}': True, '{"f":-0.0}': True, '{"f":NaN}': True, '{"f":-Infinity}': True, '{"f":1e400}': False, '{"f":1e-400}': False, '{"f":2E5}': True,
    '{"f":9007199254740993}': False, '{"f":9007199254740992}': True, '{"f":1180591620717411303424}': True, '{"i":-0}': False, '{"i":1.0}': False,
    '{"i":9223372036854775807}': True, '{"i":9223372036854775808}': False, '{"i":-9223372036854775808}': True, '{"i":true}': False,
    '{"d":"2024-02-29"}': True, '{"d":"2023-02-29"}': False, '{"d":"\\u0032024-02-29"}': True, '{"d":20240229}': False, '{"d":""}': False,
    '{"o":null}': True, '{"o":{}}': True, '{"o":[]}': False, '{"o":{"z":null}}': True, '{"o":{"z":0}}': False, '{"z":null}': True, '{"l":[]}': True,
    '{"l":[null,[1],[null]]}': True, '{"l":[[1],2]}': False, '{"l":[[1],]}': False, '{"l":[,]}': False, '{"t":"x",}': False, '{"t" "x"}': False,
    '{"t":"x"}}': False, '{"t":"x"} {"t":"x"}': False, '{"t":nul}': False, '{"t":nullx}': False, "{}": True, "{": False, "[]": False, "null": False,
    '{"t":"x': False, '{"t': False, '{"j":tru}': False, '{"j":{"a":1,}}': False, '{"j":{"a"1}}': False, '{"j":[1 2]}': False,
    '{"j": {"a" : [ ] } }': True,
}  # fmt: skip


@pytest.mark.parametrize("record", TRICKY)
def test_each_of_these_records_fits_or_does_not_both_ways(record: str) -> None:
    types = {"t": "string", "o": "struct<a: int64, b: string>", "j": "json", "f": "float64", "i": "int64", "d": "date", "l": "list<list<int64>>"}
    schema = Schema(tuple(Column(name, parse(kind, name)) for name, kind in types.items()))
    text = f'{{"t":"before"}}\n{record}\n{{"t":"behind"}}\n'.encode()
    both(text, "lines", schema)
    parsed = JsonParser(schema, "lines", OPTIONS)(Chunk(0, text, 0, 1))
    assert [misfit.line for misfit in parsed.misfits] == ([] if TRICKY[record] else [2])
    assert (parsed.batch["t"][0].as_py(), parsed.batch["t"][-1].as_py()) == ("before", "behind")
