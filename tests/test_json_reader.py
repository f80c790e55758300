"""JSON texts cut into whole records, counted apart, looked at in samples, and read under a schema: each record a row or a misfit that is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.json_format.counting import counter_of
from portal.tabular.json_format.limits import limited
from portal.tabular.json_format.parsing import JsonParser
from portal.tabular.json_format.reader import JsonReader
from portal.tabular.json_format.scanning import PythonScan, new_scan, records_of
from portal.tabular.json_format.shape import Kind, Shape, shape_of
from portal.tabular.json_format.splitting import chunk_of_sample, chunks_of_lines, chunks_of_values
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk
from portal.tabular.text.sampling import Sample
from tests.json_texts import Read, chunk_of, columnar, layouts, objects, values

MANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
OPTIONS = ConvertOptions()


class Scans:
    """Both scans, by name."""

    python = staticmethod(lambda array: PythonScan(array=array))
    kernel = staticmethod(new_scan)


def cut(text: bytes, kind: Any, block: int, limit: int = 1 << 20, scan: Any = new_scan) -> Iterator[Chunk]:
    if kind == "lines":
        return chunks_of_lines(BytesIO(text), limit, block_bytes=block)
    return chunks_of_values(BytesIO(text), limit, scan, array=kind == "array", block_bytes=block)


def counted(text: bytes, kind: Any, block: int) -> int:
    counter = counter_of(kind)
    for start in range(0, len(text), block):
        counter.update(text[start : start + block])
    return counter.finish()


@MANY
@given(st.data(), st.integers(1, 90), st.sampled_from([Scans.python, Scans.kernel]))
def test_records_are_cut_and_counted_alike_whatever_way_the_text_falls_into_blocks(data: st.DataObject, block: int, scan: Any) -> None:
    records = data.draw(st.lists(st.one_of(objects(values(2)), values(1)), max_size=7))
    text, kind = data.draw(layouts(records))
    encoded = text.encode()
    found = []
    for chunk in cut(encoded, kind, block, scan=scan):
        assert encoded[chunk.offset : chunk.offset + len(chunk.data)] == chunk.data
        assert chunk.line == 1 + encoded.count(b"\n", 0, chunk.offset)
        found += [chunk.data[start:end].decode() for start, end in records_of(chunk.data, kind)]
    if kind == "array" or all(record[:1] in '{["' for record in records):
        wanted = [record.replace("\n", " ").replace("\r", " ") for record in records] if kind == "lines" else records
        assert found == wanted
    assert counted(encoded, kind, block) == len(found)


@settings(MANY, max_examples=12)
@given(st.lists(columnar(values(1)), min_size=1, max_size=6), st.data())
def test_every_record_is_a_row_or_a_misfit(records: list[str], data: st.DataObject) -> None:
    text, _ = data.draw(layouts(records))
    try:
        read = Read(text)
    except ConversionFailed as failed:
        assert "no record has a name" in str(failed) or "No record could be read" in str(failed)
        return
    assert read.records == len(read.rows) + len(read.misfits) == read.counted == len(records)


@MANY
@given(st.lists(st.fixed_dictionaries({}, optional={
    "i": st.none() | st.integers(-(2**63), 2**63 - 1), "f": st.none() | st.floats(allow_nan=False, allow_infinity=False), "t": st.none() | st.text(),
    "b": st.booleans(), "l": st.lists(st.none() | st.integers(0, 99)), "o": st.fixed_dictionaries({"x": st.text(), "y": st.lists(st.text())}),
}), min_size=1, max_size=6), st.data())  # fmt: skip
def test_values_come_back_as_they_were(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    dump = data.draw(st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 1}]))
    text = data.draw(st.sampled_from([json.dumps(rows, **dump), "\n".join(json.dumps(row, **dump) for row in rows)]))
    if not any(rows):
        return
    read = Read(text, dates=False)
    assert read.misfits == []
    for row, found in zip(rows, read.rows, strict=True):
        for name, value in row.items():
            got = found[name]
            assert got == value or (isinstance(value, float) and float(got) == value) or (isinstance(got, Decimal) and got == Decimal(repr(value)))
        assert all(found[name] is None for name in found if name not in row)


BROKEN: dict[str, tuple[str, str, str]] = {
    "a lost bracket": ("array", '[{"a":1},\n{"a":[1},\n{"a":2}]', "Line 3: the file ends where ',' or ']' should stand"),
    "a lost quote": ("array", '[{"a":1},\n{"a":"x},\n{"b":1}]', "Line 2: Invalid control character at character 10; the file ends within it"),
    "no end": ("array", '[{"a":1},\n', "Line 2: the file ends where a record should stand"),
    "no end of a record": ("sequence", '{"a":1}\n{"a":', "Line 2: Expecting value at character 6; the file ends within it"),
    "a comma between records of a sequence": ("sequence", '{"a":1},\n{"a":2}', "Line 1: a record should stand here, not ','"),
    "two arrays": ("array", "[1]\n[2]", "Line 2: '[' follows the end of the array"),
    "no array": ("array", '{"a":1}', "Line 1: '[' should stand here, not '{'"),
}


@pytest.mark.parametrize("block", [1, 5, 1000])
@pytest.mark.parametrize("name", BROKEN)
def test_where_no_later_record_can_be_told_the_line_is_named(name: str, block: int) -> None:
    kind, text, reason = BROKEN[name]
    with pytest.raises(ConversionFailed) as caught:
        list(cut(text.encode(), kind, block))
    assert str(caught.value).startswith(reason)


START = {"lines": b'{"a":1}\n{"a":"', "array": b'[{"a":1},\n{"a":"', "sequence": b'{"a":1}\n{"a":"'}


@pytest.mark.parametrize("kind", START)
def test_a_record_beyond_the_limit_is_refused_and_never_held(kind: str) -> None:
    class Endless:
        given = 0

        def read(self, size: int, /) -> bytes:
            self.given += size
            assert self.given < 50_000, "the text is read on and on"
            return START[kind] if self.given == size else b"x" * size

    text = Endless()
    with pytest.raises(ConversionFailed, match="line 2 is longer than 10,000 bytes"):
        list(chunks_of_lines(text, 10_000, block_bytes=1000) if kind == "lines" else chunks_of_values(
            text, 10_000, new_scan, array=kind == "array", block_bytes=1000))  # fmt: skip


LONG = b'{"a":"' + b"[" * 1017 + b'"}'
"""A record of 1025 bytes."""


@pytest.mark.parametrize("scan", [PythonScan, None], ids=["python", "kernel"])
@pytest.mark.parametrize("record", [LONG, LONG.replace(b"[[", b"\\n"), b"[" * 500 + b"1" + b" " * 24 + b"]" * 500], ids=["text", "escapes", "nested"])
@pytest.mark.parametrize("kind", START)
def test_a_record_beyond_the_limit_is_refused_among_others(kind: Kind, record: bytes, scan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if scan:
        monkeypatch.setattr("portal.tabular.json_format.limits.new_scan", lambda array: scan(array=array))
    between = b"" if kind == "sequence" else b"\n" if kind == "lines" else b" ,\n"
    others = [b'{"a":1}', b'{"a":[{"b":"]}"}]}', LONG[:900] + b'"}'] * 300
    data = between.join([*others, record, *others])
    chunks = [Chunk(0, data, 0, 1)]
    line = 1 + data[: data.index(record)].count(b"\n")
    with pytest.raises(ConversionFailed, match=f"line {line} is longer than 1,024 bytes"):
        list(limited(chunks, kind, 1024))
    assert list(limited(chunks, kind, 1025)) == chunks


SHAPES = {
    '[{"a":1}]': "array", ' \n[\n': "array", '{"a":1}\n{"a":2}': "lines", '{"a":1}{"a":2}': "sequence", '{\n"a":1}': "sequence",
    '{"a":1}\n{\n"a":1}': "sequence", '{"a":\n[1]\n{"a":2}\n': "lines", "nonsense\n": "lines", "[1]\n[2]\n[3]": "lines", '{"a":1}\n{"a":': "lines",
    '{"a":1} x\n{"a":2}': "lines", '{"a":1}\n{"a":"\n"}\n{"a":2}\n': "lines",
}  # fmt: skip


@pytest.mark.parametrize("text", SHAPES)
def test_how_records_stand_is_told_by_the_first_lines(text: str) -> None:
    assert shape_of(text.encode(), OPTIONS, whole=True).kind == SHAPES[text]


@given(st.data(), st.integers(0, 400), st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_samples_from_within_give_whole_records_alone(data: st.DataObject, start: int, size: int) -> None:
    rows = [{"id": n, "in": [{"id": -1, "x": "}{,\n["}, {"id": -2}], "t": '{"id": 5}' * (n % 2)} for n in range(6)]
    text, kind = data.draw(layouts([json.dumps(row) for row in rows]))
    encoded = text.encode()
    piece = encoded[start : start + size]
    sample = Sample(piece, start, start == 0, start + size >= len(encoded))
    chunk = chunk_of_sample(sample, kind)
    if chunk and chunk.data:
        assert encoded[chunk.offset : chunk.offset + len(chunk.data)] == chunk.data
        assert all(json.loads(chunk.data[begin:end]) in rows for begin, end in records_of(chunk.data, kind))


def test_a_late_surprise_is_a_misfit_with_its_place_and_reason() -> None:
    text = '{"a":1,"o":{"x":[1]}}\n{"a":2}\n{"a":"7"}\n {"a":3,"b":1}\n{"o":{"x":["y"]}}\n{"o":{"z":1}}\n[2]\n{"a":-0}\n{"a":null,"b":null}\n'
    read = Read(text, look=text[:22])
    assert [row["a"] for row in read.rows] == [1, 2, None]
    assert [(m.line, m.offset, m.column, m.reason) for m in read.misfits] == [
        (3, 30, "a", "an integer should stand here, not a text ('7')"),
        (4, 41, "b", "the schema has no such column"),
        (5, 55, "o", "x[]: an integer should stand here, not a text ('y')"),
        (6, 73, "o", "the schema has no name 'z' there"),
        (7, 87, "", "a record is a JSON object, this is an array"),
        (8, 91, "a", "an integer should stand here, not a number ('-0')"),
    ]
    assert read.misfits[1].raw == '{"a":3,"b":1}'


def test_texts_of_mixed_places_are_kept_as_they_are_written() -> None:
    read = Read('[{"m": {"a" :1.50,\n"b":"\\u00e9"}}, {"m":1e5}, {"m":[ ]}, {"m":"x"}, {"m":null}, {"m":12345678901234567890123}]')
    assert [row["m"] for row in read.rows] == ['{"a" :1.50,\n"b":"\\u00e9"}', "1e5", "[ ]", '"x"', None, "12345678901234567890123"]


def test_types_that_are_asked_for_take_texts_and_numbers_alike() -> None:
    text = '{"i":"5","s":1.10,"d":"31.01.2024","e":1700000000000,"n":{"x":"2.5","y":true}}\n'
    types = {"i": "int16", "s": "string", "d": "date(DD.MM.YYYY)", "e": "timestamp(epoch_ms)", "n": "struct<x: decimal(5,2), y: string>"}
    for careful in (True, False):
        reader = Read(text, types=types)
        parsed = JsonParser(reader.schema, "lines", OPTIONS, careful=careful or None)(chunk_of(text))
        (row,) = parsed.batch.to_pylist()
        assert (row["i"], row["s"], str(row["d"]), row["e"].isoformat()) == (5, "1.10", "2024-01-31", "2023-11-14T22:13:20+00:00")
        assert row["n"] == {"x": Decimal("2.50"), "y": "true"}


def test_digits_that_a_float_cannot_keep_are_remarked() -> None:
    text = '{"a":0.5}\n{"a":0.12345678901234567890}\n'
    read = Read(text, look='{"a":0.5}\n')
    assert read.parsed[0].remarks == {"a": "correctly rounded: '0.12345678901234567890' has more digits than a double keeps"}


def test_a_schema_document_wins_and_names_it_lacks_are_misfits() -> None:
    document = json.dumps({"columns": [{"name": "b", "type": "float64"}, {"name": "a", "type": "int64"}]})
    read = Read('{"a":1,"b":2}\n{"a":1,"c":2}\n', schema_document=document)
    assert read.rows == [{"b": 2.0, "a": 1}]
    assert [misfit.column for misfit in read.misfits] == ["c"]


def test_counting_is_not_fooled_by_what_texts_hold() -> None:
    for block in (1, 2, 7, 1000):
        assert counted(rb'[ {"a": "],[{\"\\", "b": [[1,2],[3]]}, "x\\", [], 5 , {} ]', "array", block) == 5
        assert counted(b"[]", "array", block) == 0
        assert counted(b'[""]', "array", block) == 1
        assert counted(b'1 "a"2{}\n[[]]"', "sequence", block) == 6
        assert counted(b" \n{}\n\r\n\n \t\n5\n{}", "lines", block) == 3


def test_a_text_cut_wrongly_is_not_passed_over() -> None:
    reader = JsonReader(Shape("array", ""), OPTIONS)
    reader.look(chunk_of('{"a":1}'))
    for careful in (True, None):
        with pytest.raises(ConversionFailed):
            JsonParser(reader.schema(), "array", OPTIONS, careful=careful)(chunk_of('{"a":1} {"a":2}'))
