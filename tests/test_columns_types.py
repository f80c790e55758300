"""Types and their names: what people write is understood, what is kept is given back."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.columns import column_types
from portal.tabular.columns.column_types import ColumnType, decimal, list_of, of_arrow, struct, timestamp
from portal.tabular.columns.formats import DATE_FORMS, EPOCH, RFC_2822, TIMESTAMP_FORMS
from portal.tabular.columns.type_names import name_of, parse

quick = settings(max_examples=60, deadline=None)

ZONES = st.sampled_from([None, "UTC", "+02:00", "-11:30", "Europe/Berlin", "Etc/GMT+5"])
SIMPLE = st.one_of(
    st.sampled_from([column_types.TEXT, column_types.JSON_TEXT, column_types.BOOLEAN, column_types.FLOAT, *column_types.INTEGERS]),
    st.sampled_from([ColumnType("integer", pa.uint64()), ColumnType("float", pa.float32()), ColumnType("other", pa.binary())]),
    st.sampled_from([ColumnType("other", pa.binary(16)), ColumnType("other", pa.time64("us")), ColumnType("other", pa.duration("ms"))]),
    st.integers(1, 76).flatmap(lambda precision: st.integers(0, precision).map(lambda scale: decimal(precision, scale))),
    st.sampled_from(DATE_FORMS).map(column_types.date),
    st.builds(timestamp, st.sampled_from(["ms", "us", "ns"]), ZONES, st.sampled_from([form for form in TIMESTAMP_FORMS if form != RFC_2822])),
    st.builds(timestamp, st.sampled_from(["us", "ns"]), ZONES.filter(bool), st.just(RFC_2822)),
    st.sampled_from(sorted(EPOCH)).map(lambda form: timestamp(EPOCH[form], "UTC", form)),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["a", "b_1", "struct", "a: int64", '"', "\\", ">"])
TYPES = st.recursive(
    SIMPLE,
    lambda inner: inner.map(list_of) | st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(lambda fields: struct(tuple(fields.items()))),
    max_leaves=6,
)


@quick
@given(TYPES)
@example(struct((("\rA", column_types.TEXT), ("A ", column_types.DATE))))
def test_a_name_gives_its_type_back(kind: ColumnType) -> None:
    assert parse(name_of(kind), "a") == kind


@quick
@given(TYPES, st.integers(0, 30), st.text("<>(),:[]\" aint64struct", max_size=3))
def test_a_broken_name_is_refused_or_is_a_name(kind: ColumnType, at: int, noise: str) -> None:
    name = name_of(kind)
    broken = name[:at] + noise + name[at + 1 :]
    try:
        again = parse(broken, "a")
    except ConversionFailed as error:
        assert "'a'" in error.message
    else:
        assert parse(name_of(again), "a") == again


@pytest.mark.parametrize(
    ("name", "arrow"),
    [
        ("Int", pa.int64()), (" double ", pa.float64()), ("decimal( 10 , 2 )", pa.decimal128(10, 2)), ("timestamp[utc]", pa.timestamp("us", "UTC")),
        ("timestamp[+00:00]", pa.timestamp("us", "UTC")), ("TIMESTAMP(NS, dd.mm.yyyy)", pa.timestamp("ns")), ("date(dd/mm/yyyy)", pa.date32()),
        ("timestamp(epoch_ms)", pa.timestamp("ms", "UTC")), ("timestamp(rfc2822)", pa.timestamp("us", "UTC")), ("smallint", None),
        ('struct < a : int8 , "b c" : list < bool > >', pa.struct([("a", pa.int8()), ("b c", pa.list_(pa.bool_()))])),
        ("map<string, list<date>>", pa.map_(pa.string(), pa.list_(pa.date32()))),
    ],
)  # fmt: skip
def test_names_as_people_write_them(name: str, arrow: Any) -> None:
    if arrow is None:
        with pytest.raises(ConversionFailed, match="which nobody knows"):
            parse(name, "a")
    else:
        assert parse(name, "a").arrow == arrow


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("decimal(77,2)", "nobody"), ("decimal(2,3)", "nobody"), ("struct<>", "a name is missing"), ("struct<a: int64, a: date>", "twice"),
        ("list<int64", "> is missing"), ("int64 x", "the end is missing"), ("int64[UTC]", "nobody"), ("timestamp[-00:00]", "unknown"),
        ("timestamp[+25:00]", "no time zone"), ("timestamp(epoch_ms)[UTC]", "UTC already"), ("date(YYYY)", "no form"), ("date(epoch_ms)", "no form"),
        ("", "missing"), ("list<" * 200 + "date" + ">" * 200, "nested"), ("struct<\"\\x\": date>", "no JSON string"),
    ],
)  # fmt: skip
def test_names_nobody_knows_say_why(name: str, why: str) -> None:
    with pytest.raises(ConversionFailed, match=why) as raised:
        parse(name, "price")
    assert "'price'" in raised.value.message


@pytest.mark.parametrize(
    ("arrow", "name"),
    [
        (pa.large_string(), "string"), (pa.dictionary(pa.int8(), pa.string()), "string"), (pa.timestamp("s"), "timestamp(ms)"),
        (pa.date64(), "date"), (pa.float16(), "float32"), (pa.decimal256(60, 3), "decimal(60,3)"), (pa.large_list(pa.int8()), "list<int8>"),
        (pa.struct([("x y", pa.timestamp("ns", "UTC"))]), 'struct<"x y": timestamp(ns)[UTC]>'), (pa.time32("s"), "time(ms)"),
        (pa.map_(pa.large_string(), pa.int64()), "map<string, int64>"), (pa.large_binary(), "binary"), (pa.null(), "string"),
    ],
)  # fmt: skip
def test_types_of_existing_files(arrow: Any, name: str) -> None:
    assert name_of(of_arrow(arrow)) == name
    assert parse(name, "a") == of_arrow(arrow)


@pytest.mark.parametrize("name", ["timestamp(ns, MM/DD/YYYY 12h)[Europe/Berlin]", "timestamp(epoch_s)", "date(YYYYMMDD)", "timestamp(12h)"])
def test_names_with_forms_stay_as_they_are(name: str) -> None:
    assert name_of(parse(name, "a")) == name
