"""CSV and NDJSON that we write say each value in the one way that our own readers give back as it was."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.columns.schema import Schema
from portal.tabular.conversion.converting import convert_object
from portal.tabular.options import ConvertOptions
from portal.tabular.output.text_file import text_schema
from portal.tabular.proving.digest import OrderedDigest
from portal.tabular.proving.of_text import TextDigest
from tests.arrow_tables import TEXTUAL, batches, exact, tables, written
from tests.tabular import key_of, local_store

OURS = {kind: values for kind, values in TEXTUAL.items() if not pa.types.is_map(kind) and kind != pa.large_string()}
OUTPUTS = pytest.mark.parametrize("output", ["csv", "ndjson"])


def text_of(table: pa.Table, folder: Path, output: Any, **options: Any) -> bytes:
    parts, _ = written(table, folder, ConvertOptions(output=output, **options))
    return b"".join(part.path.read_bytes() for part in parts)


def as_read(path: Path, schema: pa.Schema) -> pa.Table:
    """What our own readers make of a file under a schema."""
    store = local_store(path.parent)
    options = ConvertOptions(schema_document=Schema.from_arrow(schema).to_json(), header="yes")
    convert_object(store, store.stat(key_of(path)), store, key_of(path.parent / "back.parquet"), options)
    return pq.read_table(path.parent / "back.parquet").cast(schema)


@OUTPUTS
@given(table=tables(OURS, min_columns=2, min_rows=1, max_rows=12), cuts=st.lists(st.integers(0, 12), max_size=2))
@settings(max_examples=25, deadline=None)
def test_our_own_readers_get_the_same_values_back(output: Any, table: pa.Table, cuts: list[int]) -> None:
    if output == "ndjson":
        table = table.drop([item.name for item in table.schema if pa.types.is_floating(item.type)])
    if not table.num_columns:
        return
    with tempfile.TemporaryDirectory() as name:
        parts, _ = written(table, Path(name), ConvertOptions(output=output), cuts)
        schema = text_schema(table.schema, output)
        digest = TextDigest(OrderedDigest, table.schema, output)
        for batch in batches(as_read(parts[0].path, schema), ()):
            digest.update(batch)
        given_ = TextDigest(OrderedDigest, table.schema, output)
        for batch in batches(table, cuts):
            given_.update(batch)
        assert given_.difference(digest) == ""


@OUTPUTS
def test_numbers_need_no_schema_to_come_back_as_such(output: Any, tmp_path: Path) -> None:
    table = pa.table(
        {"whole": [1.0, -0.0, 1e16, 2e300], "some": [0.1, 5e-324, None, 1.0], "n": [1, 2, None, -(2**63)], "yes": [True, False, None, True]}
    )
    parts, _ = written(table, tmp_path, ConvertOptions(output=output))
    store = local_store(tmp_path)
    convert_object(store, store.stat(key_of(parts[0].path)), store, key_of(tmp_path / "back.parquet"))
    back = pq.read_table(tmp_path / "back.parquet")
    assert back.schema.types == table.schema.types
    assert exact(back) == exact(table)


ODD = pa.table({
    "text": ['q"x', "", None, "a,b\r\n\t", "\0\x1f\\é\u2028"], "number": [1.0, 0.1, None, -0.0, 1e300],
    "exact": pa.array([decimal.Decimal("0.0000001"), decimal.Decimal("-5"), None, decimal.Decimal("1.5"), None], pa.decimal128(30, 7)),
    "day": [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None, datetime.date(2026, 1, 2), datetime.date(1969, 12, 31)],
    "list": pa.array([[1, None], [], None, [3], [4]]), "struct": pa.array([{"x": "a"}, {"x": None}, None, {"x": '"'}, {"x": ""}]),
    "zoned": pa.array([0, 1, None, 3, 4], pa.timestamp("us", "Europe/Berlin")), "small": pa.array([0.1, 1, None, 2, 3], pa.float32()),
})  # fmt: skip


def test_every_value_has_one_text(tmp_path: Path) -> None:
    lines = text_of(ODD.select(["text", "number", "exact", "day", "list"]).slice(0, 3), tmp_path, "csv").decode().split("\r\n")
    assert lines == [
        '"text","number","exact","day","list"', '"q""x",1.0,0.0000001,0001-01-01,"[1,null]"', '"",0.1,-5.0000000,9999-12-31,"[]"', ",,,,", "",
    ]  # fmt: skip
    rows = text_of(ODD, tmp_path, "ndjson").decode().split("\n")
    assert rows[0].startswith('{"text":"q\\"x","number":1.0,"exact":0.0000001,"day":"0001-01-01","list":[1,null],"struct":{"x":"a"},')
    assert rows[0].endswith('"zoned":"1970-01-01 00:00:00.000000Z","small":0.10000000149011612}')
    assert rows[2] == '{"text":null,"number":null,"exact":null,"day":null,"list":null,"struct":null,"zoned":null,"small":null}'


def test_other_readers_agree(tmp_path: Path) -> None:
    expected = ODD.select(["text", "list", "struct", "number"]).to_pylist()
    assert [
        {name: row[name] for name in ("text", "list", "struct", "number")}
        for row in map(json.loads, text_of(ODD, tmp_path, "ndjson").decode().removesuffix("\n").split("\n"))
    ] == expected
    rows = csv.reader(io.StringIO(text_of(ODD, tmp_path, "csv").decode(), newline=""))
    assert [row[0] for row in rows] == ["text", *(row["text"] or "" for row in expected)]


@pytest.mark.parametrize(
    ("output", "column", "reason"),
    [
        ("ndjson", pa.array([float("nan")]), "which JSON has not"), ("ndjson", pa.array([[float("inf")]]), "which JSON has not"),
        ("csv", pa.array([[float("inf")]]), "which JSON has not"), ("csv", pa.array([3_000_000], pa.date32()), "outside the years 1 to 9999"),
        ("ndjson", pa.array([-(2**60)], pa.timestamp("ms")), "outside the years"), ("csv", pa.array([b"x"]), "no values of that type"),
        ("ndjson", pa.array([{"x": b"x"}]), "no values of that type"), ("csv", pa.array([5], pa.duration("s")), "no values of that type"),
        ("csv", pa.array([None], pa.string()), "would be a blank line"),
    ],
)  # fmt: skip
def test_what_has_no_text_is_refused(output: Any, column: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match=reason) as caught:
        text_of(pa.table({"a": column}), tmp_path, output)
    assert "'a" in caught.value.message
    assert not list(tmp_path.iterdir())


@OUTPUTS
def test_texts_that_outgrow_an_array_are_refused_and_others_are_not(output: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = pa.table({"a": ['"' * 40, 'x"\n\\' * 3, None, ""], "b": [1, 2, 3, 4]})
    usual = text_of(near, tmp_path, output)
    monkeypatch.setattr("portal.tabular.output.cells.MOST_BYTES", 110)
    assert text_of(near, tmp_path / "near", output) == usual
    with pytest.raises(ConversionFailed, match="the rows 1 to 3 would be longer than 2 GiB") as told:
        text_of(pa.table({"a": ["", '"' * 40, '"' * 40]}), tmp_path / "beyond", output)
    assert told.value.hint


@OUTPUTS
def test_a_table_of_no_rows_and_odd_names_is_read_back(output: Any, tmp_path: Path) -> None:
    table = pa.table({'a"\n,b': pa.array([], pa.int64()), "é": pa.array([], pa.string())})
    assert text_of(table, tmp_path, output) == ('"a""\n,b","é"\r\n'.encode() if output == "csv" else b"")
