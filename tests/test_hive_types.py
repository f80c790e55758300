"""Hive's types and the names of its partitions: what is written is read again, as Hive itself writes and reads it; what becomes of each type."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.lake.hive import spark_schema
from portal.lake.hive.hive_type import PRIMITIVES, HiveType
from portal.lake.hive.partitions import NOTHING, escaped, parsed, partition_name, unescaped, value_of
from portal.lake.hive.type_mapping import mapped

FIELDS = st.text(st.sampled_from("aZ_9é .:<>,`'$"), min_size=1, max_size=6)
LEAVES = (
    st.sampled_from(PRIMITIVES).map(HiveType)
    | st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: HiveType("decimal", (p, s))))
    | st.integers(1, 255).map(lambda n: HiveType("char", (n,)))
    | st.integers(1, 65535).map(lambda n: HiveType("varchar", (n,)))
)


def nested(inside: st.SearchStrategy[HiveType]) -> st.SearchStrategy[HiveType]:
    struct = st.lists(st.tuples(FIELDS, inside), min_size=1, max_size=3).map(
        lambda pairs: HiveType("struct", (), tuple(kind for _, kind in pairs), tuple(name for name, _ in pairs))
    )
    return (
        struct
        | inside.map(lambda kind: HiveType("array", (), (kind,)))
        | st.tuples(inside, inside).map(lambda pair: HiveType("map", (), pair))
        | st.lists(inside, min_size=1, max_size=3).map(lambda kinds: HiveType("uniontype", (), tuple(kinds)))
    )


TYPES = st.recursive(LEAVES, nested, max_leaves=8)


@given(TYPES)
def test_a_type_that_is_written_is_read_again(kind: HiveType) -> None:
    assert HiveType.parse(str(kind)) == kind


@given(st.text(st.sampled_from("struct<map,array>:int()18 `'decimal."), max_size=30))
def test_any_text_is_a_type_or_refused(text: str) -> None:
    try:
        kind = HiveType.parse(text)
    except ValueError as error:
        assert repr(text)[:10] in str(error) or "a type inside of" in str(error)
    else:
        assert HiveType.parse(str(kind)) == kind


@pytest.mark.parametrize(("text", "means"), [
    ("DECIMAL", "decimal(10,0)"), ("decimal( 12 )", "decimal(12,0)"), ("integer", "int"), ("timestamplocaltz", "timestamp with local time zone"),
    ("Timestamp  With Local Time Zone", "timestamp with local time zone"), ("struct< a : int comment 'it''s', b:string>", None),
    ("struct<a:int comment 'first, or <not>',b:map<string, array<date>>>", "struct<a:int,b:map<string,array<date>>>"),
    ("struct<`a:b`:int>", "struct<`a:b`:int>"), ("struct<my col:int>", "struct<my col:int>"),
    ("decimal(39,1)", None), ("decimal(5,6)", None), ("char", None), ("char(0)", None), ("varchar(70000)", None), ("map<int>", None),
    ("array<int,int>", None), ("struct<>", None), ("struct<a>", None), ("array<int", None), ("int>", None), ("", None), ("geometry", None),
    ("array<" * 200 + "int" + ">" * 200, None),
])  # fmt: skip
def test_types_as_people_write_them(text: str, means: str | None) -> None:
    if means is None:
        with pytest.raises(ValueError, match=r"expected|a type inside of"):
            HiveType.parse(text)
    else:
        assert str(HiveType.parse(text)) == means


@pytest.mark.parametrize(("text", "spark", "iceberg", "notes"), [
    ("bigint", "bigint", "long", 0), ("decimal(18,4)", "decimal(18,4)", "decimal(18, 4)", 0), ("tinyint", "int", "int", 1),
    ("char(5)", "string", "string", 1), ("timestamp", "timestamp", "timestamptz", 1),
    ("map<string,array<struct<a:smallint,b:varchar(3)>>>", "map<string,array<struct<a:int,b:string>>>",
     "map<string, list<struct<a: int, b: string>>>", 2),
])  # fmt: skip
def test_what_becomes_of_a_type(text: str, spark: str, iceberg: str, notes: int) -> None:
    found = mapped(HiveType.parse(text))
    assert (found.spark, found.iceberg, len(found.notes), found.refused) == (spark, iceberg, notes, ())


def test_a_timestamp_may_stay_a_wall_clock() -> None:
    assert mapped(HiveType.parse("array<timestamp>"), "timestamp").iceberg == "list<timestamp>"


@given(TYPES)
def test_every_type_is_mapped_or_refused_with_a_reason(kind: HiveType) -> None:
    found = mapped(kind)
    bad = {"void", "interval_year_month", "interval_day_time", "uniontype", "timestamp with local time zone"}
    assert bool(found.refused) == bool(bad & set(_names(kind))) == (not found.iceberg) == (not found.spark)
    assert all(": " in why for why in found.refused)


def _names(kind: HiveType) -> list[str]:
    return [kind.name, *(name for child in kind.children for name in _names(child))]


@given(st.lists(st.tuples(st.text(min_size=1), st.none() | st.text(min_size=1).filter(lambda text: text != NOTHING)), min_size=1, max_size=3))
def test_a_partitions_name_is_read_again(pairs: list[tuple[str, str | None]]) -> None:
    columns, values = [column.lower() for column, _ in pairs], [value for _, value in pairs]
    name = partition_name(columns, values)
    assert name.count("/") == len(pairs) - 1
    assert parsed(name) == list(zip([column.lower() for column in columns], values, strict=True))


@given(st.text())
def test_escaping_is_undone(text: str) -> None:
    assert unescaped(escaped(text)) == text


@pytest.mark.parametrize("name", ["", "a", "=1", "a=1//b=2", "a=1/b"])
def test_what_is_no_partition_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a partition"):
        parsed(name)


@pytest.mark.parametrize(("text", "kind", "value"), [
    ("007", "int", 7), ("-128", "tinyint", -128), ("9223372036854775807", "bigint", 2**63 - 1), ("a b", "string", "a b"), ("", "string", ""),
    ("1.50", "decimal(10,2)", Decimal("1.50")), ("1.500", "decimal(10,2)", Decimal("1.50")), ("2024-02-29", "date", date(2024, 2, 29)),
    ("2024-01-01 12:34:56.1", "timestamp", datetime(2024, 1, 1, 12, 34, 56, 100000)), ("2024-01-01", "timestamp", datetime(2024, 1, 1)),
    ("TRUE", "boolean", True), ("1.5", "double", 1.5), ("ü", "binary", "ü".encode()), (NOTHING, "int", None), (None, "string", None),
])  # fmt: skip
def test_what_a_partitions_text_means(text: str | None, kind: str, value: Any) -> None:
    found = value_of(text, HiveType.parse(kind))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("text", "kind"), [
    ("128", "tinyint"), ("1e3", "int"), ("1_0", "int"), ("٣", "int"), ("", "int"), ("1.234", "decimal(10,2)"), ("100", "decimal(4,2)"),
    ("nan", "decimal(4,2)"), ("x", "decimal(4,2)"), ("2024-02-30", "date"), ("2024-01-01 00:00:00.0000001", "timestamp"), ("soon", "timestamp"),
    ("yes", "boolean"), ("x", "double"), ("1", "array<int>"),
])  # fmt: skip
def test_a_partitions_text_of_another_type_is_refused(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match="is no "):
        value_of(text, HiveType.parse(kind))


@pytest.mark.parametrize("parameters", [{}, {"spark.sql.sources.schema": "{"}, {"spark.sql.sources.schema.numParts": "2"},
                                        {"spark.sql.sources.schema": '{"fields": [{"name": "a", "type": "variant"}]}'}])  # fmt: skip
def test_a_schema_of_sparks_that_is_of_no_use_is_left_alone(parameters: dict[str, str]) -> None:
    assert spark_schema.columns(parameters) is None
