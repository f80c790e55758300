"""Conditions on rows: SQL's meaning, checked against SQL itself, and nothing but that."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.shaping.expression import MAX_DEPTH, parse
from portal.tabular.shaping.predicate import Predicate

BATCH = pa.record_batch({
    "a": pa.array([1, 2, None, 2**53 + 1]), "u": pa.array([2**64 - 1, 1, None, 0], pa.uint64()), "f": pa.array([0.1, float("nan"), 2.0, None]),
    "m": pa.array([Decimal("1.10"), None, Decimal("0"), Decimal(5)], pa.decimal128(9, 2)), "b": [True, False, None, True],
    "t": pa.array(["x", "Yz", None, "%"]), "dict": pa.array(["x", "y", None, "x"]).dictionary_encode(), "odd name": [1, 2, 3, 4],
    "d": [date(2026, 1, 1), None, date(1999, 1, 1), date(2030, 1, 1)], "ns": pa.array([1, 2, None, 10**18], pa.timestamp("ns")),
    "z": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None, datetime(1999, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "+02:00")),
    "geo": [{"lat": 1.5, "in": {"n": 7}}, None, {"lat": None, "in": None}, {"lat": 3.0, "in": {"n": 1}}],
})  # fmt: skip
T, F, N = True, False, None

MEANS: dict[str, list[bool | None]] = {
    "a = 1": [T, F, N, F],
    "not a = 1": [F, T, N, T],
    "a != 1 or a is null": [F, T, T, T],
    "a > 1.5": [F, T, N, T],
    "a < 1e3": [T, T, N, F],
    "a = 9007199254740992.0": [F, F, N, F],
    "a in (1, 2, null)": [T, T, N, N],
    "a not in (1, null)": [F, N, N, N],
    "a between 2 and 3": [F, T, N, F],
    "a not between 2 and 3": [T, F, N, T],
    "u > a": [T, F, N, F],
    "u = -1": [F, F, N, F],
    "u >= 18446744073709551615": [T, F, N, F],
    "u < 99999999999999999999999": [T, T, N, T],
    "u * u > 34028236692093846342648111928434910822": [T, F, N, F],
    "-u < 0": [T, T, N, F],
    "f = 0.1": [T, F, F, N],
    "m = 1.1": [T, N, F, F],
    "m * 2 + 0.8 = 3": [T, N, F, F],
    "a / 0 > 1 or u / 2 = 0.5": [N, T, N, N],
    "b": [T, F, N, T],
    "not b or a = 2": [F, T, N, F],
    "t = 'x' and 1 = 1": [T, F, N, F],
    "t like '%'": [T, T, N, T],
    r"t like '\%'": [F, F, N, T],
    "t ilike 'y_'": [F, T, N, F],
    "t not like 'Y%'": [T, F, N, T],
    "dict = 'x' and starts_with(dict, 'x')": [T, F, N, T],
    "lower(t) = 'yz' or upper(t) = 'X' or length(t) = 2": [T, T, N, F],
    "trim(' ') = '' and contains(t, 'z') and ends_with(t, 'z')": [F, T, N, F],
    "d >= '2026-01-01'": [T, N, F, T],
    "d > timestamp '2025-12-31 23:59:59.5'": [T, N, F, T],
    "year(d) = 2026 and month(d) = 1 and day(d) = 1": [T, N, F, F],
    "ns < '9999-12-31'": [T, T, N, T],
    "ns > '9999-12-31' or ns < '0001-01-01'": [F, F, N, F],
    "ns = '1970-01-01 00:00:00.000000002'": [F, T, N, F],
    "z = '2026-01-01T01:00:00+01:00'": [T, N, F, N],
    "z = '2025-12-31T22:00:00-02:00'": [T, N, F, N],
    "length('it''s') = 4": [T, T, T, T],
    'geo.lat > 1.5 or "geo"."in".n = 7': [T, N, N, T],
    '"odd name" - 1 >= 2 and `odd name` <> 4': [F, F, T, F],
    "coalesce(a, m, 0) = 0": [F, F, T, F],
    "coalesce(d, '2020-01-01') = date '2020-01-01'": [F, T, F, F],
    "null": [N, N, N, N],
    "a = null": [N, N, N, N],
    "lower(null) = 'a' or abs(null) = 1 or year(null) = 1 or not null": [N, N, N, N],
    "a is not null AND (t IS NULL Or a In (1))": [T, F, F, F],
    "(-a) = - 1 or + 5 = a": [T, F, N, F],
}  # fmt: skip


@pytest.mark.parametrize("text", MEANS)
def test_it_means_what_sql_means(text: str) -> None:
    assert Predicate(parse(text), BATCH.schema).mask(BATCH).to_pylist() == MEANS[text]


WRONG: dict[str, str] = {
    "": "character 1: a column, a value or ( was expected, not the end",
    "a =": "character 4: a column",
    "(a = 1": "')' was expected, not the end",
    "a = 1 b": "character 7: and, or, or the end was expected, not 'b'",
    "a + 1": "this is a value (int64), not a condition",
    "t": "this is a value (string), not a condition",
    "a and b": "and connects conditions, and this is a value (int64)",
    "a = 'x'": "int64 and string cannot be compared",
    "a = true": "int64 and boolean cannot be compared",
    "A = 1": "there is no column 'A'",
    "geo.long = 1": "there is no field 'long' in it",
    "geo = geo": "cannot be compared",
    "t + 1 = 2": "+ needs numbers, and this is string",
    "not a": "not needs boolean, and this is int64",
    "lower(a) = 'x'": "lower needs text, and this is int64",
    "t like a": "like needs a text in '…' here",
    "d = '2026-02-30'": "'2026-02-30' is no date",
    "d = 'today'": "'today' is no date",
    "ns = '2026-01-01T00:00:00Z'": "one has a time zone and the other has none",
    "z < '2026-01-01'": "one has a time zone and the other has none",
    "ns = '2026-01-01 24:00'": "is no timestamp",
    "z = '2026-01-01T00:00:00-00:00'": "is no timestamp",
    "a in ()": "was expected, not ')'",
    "a between 1": "and was expected",
    "a is 1": "null, or not null, was expected",
    "a = 'x": "the ' is never closed",
    "a = 1; b": "';' means nothing here",
    "__import__('os')": "there is no function '__import__'",
    "a.__class__ = 1": "there is no field '__class__' in it",
    "[x for x in a]": "'[' means nothing here",
    "lower(t, t) = 'x'": "lower takes 1 argument, not 2",
    "coalesce(a, t) = 1": "coalesce needs values of one kind",
    "a = 1234567890123456789012345678901234567890": "more than 38 digits",
    "f < 1e999": "a number that no 64-bit float holds",
    "and": "a column, a value or ( was expected, not 'and'",
    "(" * (MAX_DEPTH + 1) + "b" + ")" * (MAX_DEPTH + 1): "nested more than",
    "not " * (MAX_DEPTH + 1) + "b": "nested more than",
    "+".join(["1"] * 500) + "=1": "more than 200 times",
    " " * 30_000: "30,000 characters",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_it_cannot_mean_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(ConversionFailed) as told:
        Predicate(parse(text), BATCH.schema)
    assert WRONG[text] in str(told.value)
    assert told.value.hint


FRACTIONS = st.builds(lambda digits, scale: Decimal(digits).scaleb(-scale), st.integers(-(10**15), 10**15), st.integers(0, 20))


@settings(max_examples=60, deadline=None)
@given(FRACTIONS | st.sampled_from([Decimal("0.7"), Decimal("4.35"), Decimal("-1.005"), Decimal("0.000123")]))
def test_a_fraction_is_the_float_nearest_to_it(number: Decimal) -> None:
    batch = pa.record_batch({"x": pa.array([float(number), None]), "short": pa.array([float(number), None], pa.float32())})
    text = f"{number:f}"
    for condition in (f"x = {text}", f"x between {text} and {text}", f"coalesce(x, {text}) = {text}", f"x * 1 = {text}", f"x in ({text})"):
        assert Predicate(parse(condition), batch.schema).mask(batch)[0].as_py(), condition
    if number % 1:
        assert Predicate(parse(f"short = {text}"), batch.schema).mask(batch)[0].as_py()


def test_a_column_of_decimals_beside_floats_is_the_floats_nearest_to_it() -> None:
    numbers = [Decimal(digits).scaleb(-3) for digits in range(-5000, 5000, 7)]
    batch = pa.record_batch({"m": pa.array(numbers, pa.decimal128(20, 3)), "x": pa.array([float(number) for number in numbers])})
    assert Predicate(parse("m = x and m - x = 0"), batch.schema).mask(batch).true_count == len(numbers)


@pytest.mark.parametrize("text", ["a * 9223372036854775807 > 0", "a < f", "a * a > 0"])
def test_what_cannot_be_computed_exactly_is_refused(text: str) -> None:
    predicate = Predicate(parse(text), BATCH.schema)
    with pytest.raises(ConversionFailed, match="cannot be computed for every row"):
        predicate.mask(BATCH)


def test_a_long_chain_of_conditions_is_no_deep_one() -> None:
    text = " or ".join(f"a = {n} and b" for n in range(1000))
    assert Predicate(parse(text), BATCH.schema).mask(BATCH).to_pylist() == [T, F, N, F]


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("ab'\"`()=<>!.,+-*/ 1.e\n\\_%éandornotinlikeisnull"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        Predicate(parse(text), BATCH.schema).mask(BATCH)
    except ConversionFailed as error:
        assert error.hint


NUMBERS = st.sampled_from(["i", "j", "k", "1", "-2", "0.5", "3"])


def joined(*parts: Any) -> Any:
    return st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.sampled_from(part.split("|")) for part in parts)).map(" ".join)


SUMS = st.recursive(NUMBERS, lambda inner: joined("(", inner, "+|-|*", inner, ")"), max_leaves=3)
CONDITIONS = st.one_of(
    joined(SUMS, "=|<>|<|<=|>|>=", SUMS), joined("s|lower(s)", "like|not like", "'a%'|'_b'|'%'|''"), joined("s|'a'", "=|<|>=", "s|'ab'"),
    joined(SUMS, "is null|is not null|in (1, 2)|not in (1, null)|between 0 and j|not between i and 2"),
)  # fmt: skip
WHOLE = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join), inner.map("not ({})".format), inner.map("({})".format)
    ),
    max_leaves=5,
)  # fmt: skip
ROWS = st.lists(
    st.tuples(*[st.none() | st.integers(-3, 3)] * 2, st.none() | st.sampled_from([Decimal("0.5"), Decimal("1.0"), Decimal("-2.5")]),
              st.none() | st.sampled_from(["", "a", "ab", "B", "äb"])), min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(ROWS, WHOLE)
def test_a_database_says_the_same(rows: list[tuple[Any, ...]], text: str) -> None:
    kinds = {"i": pa.int64(), "j": pa.int32(), "k": pa.decimal128(5, 1), "s": pa.string()}
    table = pa.table([pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds.values(), strict=True)], names=list(kinds))
    with duckdb.connect() as database:
        database.register("rows", table)
        wanted = [row[0] for row in database.sql(f"select {text} from rows").fetchall()]
    assert Predicate(parse(text), table.schema).mask(table.to_batches()[0]).to_pylist() == wanted
