"""The frozen schema: its document, the schema of an existing file, what it takes from options, and when a wider one holds a narrower one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.columns import column_types
from portal.tabular.columns.casting import Caster
from portal.tabular.columns.column_types import ColumnType, decimal, list_of, struct, timestamp
from portal.tabular.columns.deciding import Guess
from portal.tabular.columns.schema import Column, Schema, asked_columns, schema_of
from portal.tabular.columns.type_names import parse
from portal.tabular.options import ConvertOptions
from tests.test_columns_types import TYPES

thorough = settings(max_examples=300, deadline=None)


def schema(**types: str) -> Schema:
    return Schema(tuple(Column(name, parse(kind, name)) for name, kind in types.items()))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.tuples(TYPES, st.text(max_size=9), st.booleans()), max_size=4), st.lists(st.text(), max_size=2))
def test_a_document_gives_its_schema_back(columns: dict[str, tuple[ColumnType, str, bool]], warnings: list[str]) -> None:
    whole = Schema(tuple(Column(name, *values) for name, values in columns.items()), tuple(warnings))
    assert Schema.from_json(whole.to_json()) == whole


def test_a_document_written_by_hand_is_asked_for() -> None:
    read = Schema.from_json('{"columns": [{"name": "a", "type": "int"}, {"name": "b", "type": "date(DD.MM.YYYY)"}]}')
    assert [(column.name, column.type.arrow, column.asked) for column in read.columns] == [("a", pa.int64(), True), ("b", pa.date32(), True)]
    assert read.arrow == pa.schema([("a", pa.int64()), ("b", pa.date32())])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read"), ("[]", "cannot be read"), ('{"columns": [1]}', "cannot be read"), ('{"columns": [{"name": "a"}]}', "cannot be read"),
        ('{"columns": [{"name": "a", "type": "int65"}]}', "nobody knows"), ("[" * 99_999, "cannot be read"),
        ('{"columns": [{"name": "a", "type": "int"}, {"name": "a", "type": "date"}]}', "'a' twice"),
    ],
)  # fmt: skip
def test_a_broken_document_says_why(text: str, why: str) -> None:
    with pytest.raises(ConversionFailed, match=why):
        Schema.from_json(text)


def test_the_schema_of_an_existing_file() -> None:
    read = Schema.from_arrow(pa.schema([("a", pa.large_string()), ("b", pa.struct([("c", pa.timestamp("ns", "UTC"))]))]))
    assert [column.asked for column in read.columns] == [True, True]
    assert read.arrow == pa.schema([("a", pa.string()), ("b", pa.struct([("c", pa.timestamp("ns", "UTC"))]))])


def test_columns_are_put_into_the_order_of_the_source() -> None:
    two = schema(a="int64", b="date")
    assert two.fitted(["b", "a"]).names == ("b", "a")
    with pytest.raises(ConversionFailed, match="The source has the column 'c', the schema does not"):
        two.fitted(["a", "b", "c"])
    with pytest.raises(ConversionFailed, match="The schema has the column 'b', the source does not"):
        two.fitted(["a"])


def test_what_the_options_set() -> None:
    assert asked_columns(ConvertOptions(), ["a"]) == {}
    (column,) = asked_columns(ConvertOptions(types={"a": "int8"}), ["a", "b"]).values()
    assert column == Column("a", column_types.INTEGERS[0], "type as asked for", True)
    document = schema(b="date", a="int64").to_json()
    assert list(asked_columns(ConvertOptions(schema_document=document, types={"a": "string"}), ["a", "b"]).values()) == list(
        schema(a="int64", b="date").columns
    )
    with pytest.raises(ConversionFailed, match="no column 'x' to give a type to"):
        asked_columns(ConvertOptions(types={"x": "int8"}), ["a"])


def test_a_schema_is_put_together_of_what_was_asked_and_guessed() -> None:
    asked = {"a": Column("a", column_types.DATE, "type as asked for", True)}
    guesses = {"b": Guess(column_types.TEXT, "1 × NA kept as text"), "c": Guess(column_types.INTEGER, "1 × NA read as no value")}
    whole = schema_of(["c", "a", "b"], asked, guesses, ["A thing."])
    assert whole.names == ("c", "a", "b")
    assert whole.warnings == ("A thing.", "Column 'b': 1 × NA kept as text.")


FLAT = [
    "string", "json", "boolean", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "float32", "float64", "decimal(5,2)", "decimal(7,2)",
    "decimal(7,3)", "decimal(10,0)", "decimal(17,0)", "decimal(20,0)",
    "decimal(38,19)", "date", "date(DD/MM/YYYY)", "date(MM/DD/YYYY)", "timestamp", "timestamp(ms)",
    "timestamp(ns)", "timestamp[UTC]", "timestamp(ms)[UTC]", "timestamp[+02:00]", "timestamp[Europe/Berlin]", "timestamp(DD/MM/YYYY)",
    "timestamp(epoch_ms)", "timestamp(epoch_s)", "timestamp(epoch_us)",
]  # fmt: skip
TEXTS = st.one_of(
    st.integers(-(2**70), 2**70).map(str), st.integers(-300, 300).map(str),
    st.sampled_from([2**n + d for n in (7, 8, 15, 24, 31, 53, 63, 64) for d in (-1, 0, 1)]).flatmap(lambda n: st.sampled_from([str(n), str(-n)])),
    st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{0,19})?", fullmatch=True), st.floats().map(repr), st.dates().map(str),
    st.sampled_from(["true", "+5", "007", "1.500", "-0", "-0.00", ".5", "5.", "NA", "", "x", "1e5", "null", "01.50"]),
    st.sampled_from(["03/04/2013", "13/04/2013", "04/13/2013", "03/04/2013 5:00", "99999999999999999", "1234567890.5"]),
    st.builds("{}T{}{}".format, st.dates(), st.sampled_from(["05:00", "05:00:00.123", "05:00:00.123456", "05:00:00.1234567"]),
              st.sampled_from(["", "Z", "+02:00"])),
)  # fmt: skip


def fits(kind: str, text: str, *, asked: bool) -> bool:
    return not Caster.make("a", parse(kind, "a"), ConvertOptions(), asked=asked).problems(pa.array([text]))


@thorough
@given(st.sampled_from(FLAT), st.sampled_from(FLAT), st.booleans(), st.booleans(), TEXTS, st.sampled_from([None, True]))
@example("float64", "int64", False, False, str(2**53 + 1), True)
@example("timestamp(ns)", "timestamp", False, False, "1500-01-01T05:00", True)
@example("int64", "int8", False, True, "+5", True)
@example("json", "boolean", False, False, "True", None)
@example("float64", "decimal(20,0)", False, False, str(2**53 + 1), None)
@example("float64", "decimal(17,0)", False, False, str(10**17 - 1), None)
@example("int64", "int64", False, True, "+5", True)
@example("decimal(10,0)", "decimal(7,3)", False, False, "1.234", True)
@example("decimal(7,3)", "int32", False, False, str(2**31 - 1), None)
def test_what_a_schema_holds_always_fits_it(wide: str, narrow: str, wide_asked: bool, narrow_asked: bool, text: str, texts: bool | None) -> None:
    one = Schema((Column("a", parse(wide, "a"), asked=wide_asked),))
    other = Schema((Column("a", parse(narrow, "a"), asked=narrow_asked),))
    if one.holds(other, texts=texts) and fits(narrow, text, asked=narrow_asked):
        assert fits(wide, text, asked=wide_asked)


@pytest.mark.parametrize(("wide", "narrow"), [
    ("int64", "int8"), ("float64", "int32"), ("string", "int64"), ("decimal(38,2)", "decimal(10,2)"), ("decimal(20,1)", "int64"),
    ("string", "date(DD/MM/YYYY)"), ("timestamp", "timestamp(ms)"), ("float64", "decimal(15,2)"), ("string", "boolean"), ("int16", "uint8"),
])  # fmt: skip
def test_common_widenings_are_known(wide: str, narrow: str) -> None:
    assert schema(a=wide).holds(schema(a=narrow), texts=True)
    assert not schema(a=narrow).holds(schema(a=wide), texts=True)


def test_what_json_values_fit() -> None:
    pairs: list[tuple[Any, Any, bool]] = [
        (column_types.JSON_TEXT, column_types.INTEGER, True), (column_types.TEXT, column_types.INTEGER, False),
        (column_types.TEXT, column_types.DATE, True), (column_types.TEXT, timestamp("ms", "UTC", "epoch_ms"), False),
        (list_of(column_types.FLOAT), list_of(column_types.INTEGERS[0]), True), (list_of(column_types.TEXT), column_types.TEXT, False),
        (struct((("a", decimal(9, 2)), ("b", column_types.TEXT))), struct((("a", decimal(5, 2)),)), True),
        (struct((("a", decimal(5, 2)),)), struct((("a", decimal(5, 2)), ("b", column_types.TEXT))), False),
        (column_types.JSON_TEXT, struct((("a", column_types.TEXT),)), True),
    ]  # fmt: skip
    for wide, narrow, held in pairs:
        assert Schema((Column("a", wide),)).holds(Schema((Column("a", narrow),)), texts=False) is held


def test_names_and_their_order() -> None:
    assert not schema(a="int64", b="date").holds(schema(b="date", a="int64"), texts=True)
    assert not schema(a="int64", b="date").holds(schema(a="int64"))
    assert schema(a="int64", b="date").holds(schema(b="date"), texts=False)
    assert not schema(a="int64").holds(schema(a="int64", b="date"), texts=False)
