"""Checksums of tables depend on every value and on nothing else: not on batches, layouts, or, where that is meant, the order of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from portal.native.hash_kernel import hash_kernel
from portal.tabular.proving import hashing
from portal.tabular.proving.any_order import AnyOrderDigest
from portal.tabular.proving.digest import Digest, OrderedDigest
from tests.arrow_tables import FLAT, NESTED, batches, exact, tables

DIGESTS = pytest.mark.parametrize("kind", [OrderedDigest, AnyOrderDigest])
CUTS = st.lists(st.integers(0, 1000), max_size=4)
SOME = settings(max_examples=30, deadline=None)
MODULUS = 1 << 64


def digest(kind: Any, table: pa.Table, cuts: Any = ()) -> Digest:
    found: Digest = kind(table.schema)
    for batch in batches(table, cuts):
        found.update(batch)
    return found


def same(kind: Any, one: pa.Table, other: pa.Table) -> bool:
    first, second = digest(kind, one), digest(kind, other)
    assert bool(first.difference(second)) == bool(second.difference(first))
    return not first.difference(second)


@DIGESTS
@given(table=tables(), cuts=CUTS, order=st.randoms())
@SOME
def test_batches_do_not_matter_and_order_only_where_it_shall(kind: Any, table: pa.Table, cuts: list[int], order: Any) -> None:
    whole = digest(kind, table)
    assert whole.difference(digest(kind, table, cuts)) == ""
    assert whole.columns() == digest(kind, table, cuts).columns()
    assert whole.nulls() == {name: table[name].null_count for name in table.column_names}
    places = list(range(table.num_rows))
    order.shuffle(places)
    mixed = table.take(pa.array(places, pa.int64()))
    assert same(kind, table, mixed) == (kind is AnyOrderDigest or exact(table) == exact(mixed))


@DIGESTS
@given(table=tables(min_rows=1), other=tables(min_rows=1), data=st.data())
@SOME
def test_a_changed_value_is_always_told(kind: Any, table: pa.Table, other: pa.Table, data: st.DataObject) -> None:
    column = data.draw(st.integers(0, table.num_columns - 1))
    row = data.draw(st.integers(0, table.num_rows - 1))
    field = table.schema.field(column)
    value = data.draw(st.none() | {**FLAT, **NESTED}[field.type])
    values = table.column(column).to_pylist()
    values[row] = value
    changed = table.set_column(column, field, pa.array(values, field.type))
    assume(exact(changed) != exact(table))
    first, second = digest(kind, table), digest(kind, changed)
    assert f"column {field.name!r}" in first.difference(second)


@DIGESTS
@given(table=tables(min_rows=1), data=st.data())
@SOME
def test_a_lost_or_doubled_row_is_always_told(kind: Any, table: pa.Table, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, table.num_rows - 1))
    without = pa.concat_tables([table.slice(0, row), table.slice(row + 1)])
    assert "rows" in digest(kind, table).difference(digest(kind, without))
    other = data.draw(st.integers(0, table.num_rows - 1))
    swapped = pa.concat_tables([without, table.slice(other, 1)])
    assume(sorted(exact(swapped)) != sorted(exact(table)))
    assert not same(kind, table, swapped)


@DIGESTS
@given(table=tables({kind: FLAT[kind] for kind in (pa.int64(), pa.string())}, min_rows=2, min_columns=2), data=st.data())
@SOME
def test_values_that_change_places_are_always_told(kind: Any, table: pa.Table, data: st.DataObject) -> None:
    """Between two columns of a row, and between two rows of a column: the columns hold the same values in the latter case."""
    names = table.column_names
    if table.schema.field(0).type == table.schema.field(1).type:
        exchanged = table.select([names[1], names[0], *names[2:]]).rename_columns(names)
        alike = sorted(exact(table)) == sorted(exact(exchanged)) if kind is AnyOrderDigest else exact(table) == exact(exchanged)
        assert same(kind, table, exchanged) == alike
    values = table.column(0).to_pylist()
    swapped = table.set_column(0, table.schema.field(0), pa.array([values[1], values[0], *values[2:]], table.schema.field(0).type))
    alike = sorted(exact(table)) == sorted(exact(swapped)) if kind is AnyOrderDigest else exact(table) == exact(swapped)
    assert same(kind, table, swapped) == alike


@DIGESTS
def test_layouts_do_not_matter(kind: Any) -> None:
    texts, lists = ["a", None, "", "a"], [[1], None, [], [2, None]]
    pairs = [[("a", 1)], None, [], [("b", None)]]
    plain = pa.table({
        "t": pa.array(texts), "b": pa.array([b"x", None, b"", b"yz"]), "l": pa.array(lists, pa.list_(pa.int64())),
        "m": pa.array([pair and [{"key": k, "value": v} for k, v in pair] for pair in pairs],
                      pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())]))),
        "f": pa.array([[1, 2], None, [3, None], [4, 5]], pa.list_(pa.int64())),
    })  # fmt: skip
    other = [
        pa.array(texts).dictionary_encode(), pa.array([b"x", None, b"", b"yz"], pa.large_binary()), pa.array(lists, pa.large_list(pa.int64())),
        pa.array([[] if pair == [] else pair for pair in pairs], pa.map_(pa.string(), pa.int64())),
        pa.array([[1, 2], None, [3, None], [4, 5]], pa.list_(pa.int64(), 2)),
    ]  # fmt: skip
    views = [pa.array(texts, pa.string_view()), *other[1:]]
    for columns in (other, views):
        table = pa.table(dict(zip(plain.column_names, columns, strict=True)))
        assert digest(kind, plain).columns() == digest(kind, table).columns()


@DIGESTS
def test_what_stands_in_memory_where_there_is_no_value_does_not_matter(kind: Any) -> None:
    mask = np.array([False, True, False])
    one, other = (pa.array(np.array([1, hidden, 3]), mask=mask) for hidden in (2, 7))
    assert digest(kind, pa.table({"a": one})).columns() == digest(kind, pa.table({"a": other})).columns()


@DIGESTS
def test_what_looks_alike_is_told_apart(kind: Any) -> None:
    pairs: list[tuple[Any, Any]] = [
        (pa.array(["ab", "c"]), pa.array(["a", "bc"])), (pa.array(["", "a"]), pa.array([None, "a"])), (pa.array([0, 1]), pa.array([None, 1])),
        (pa.array([0.0]), pa.array([-0.0])), (pa.array([[1], [2, 3]]), pa.array([[1, 2], [3]])), (pa.array(["a"]), pa.array(["a\0"])),
        (pa.array([[], None], pa.list_(pa.int64())), pa.array([None, None], pa.list_(pa.int64()))),
        (pa.array([{"a": 1, "b": 2}]), pa.array([{"a": 2, "b": 1}])),
        (pa.array([{"a": None}, None]), pa.array([None, None], pa.struct([("a", pa.null())]))),
        (pa.array(["x" * 8]), pa.array(["x" * 16])), (pa.array([[None]], pa.list_(pa.int64())), pa.array([[]], pa.list_(pa.int64()))),
        (pa.array([1, 1, 2]), pa.array([1, 2, 2])), (pa.array([1, 1]), pa.array([2, 2])),
    ]  # fmt: skip
    for one, other in pairs:
        assert not same(kind, pa.table({"a": one}), pa.table({"a": other.cast(one.type)}))


def mix(word: int) -> int:
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % MODULUS
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % MODULUS
    return word ^ (word >> 31)


def one_hash(words: list[int], size: int) -> int:
    total = sum(mix((word + place * int(hashing.GOLDEN)) % MODULUS) for place, word in enumerate(words, 1))
    return mix((total + size * int(hashing.LENGTH)) % MODULUS)


def text_hash(data: bytes) -> int:
    return one_hash([int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)], len(data))


@given(st.lists(st.none() | st.text(max_size=40), max_size=9), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=9))
def test_hashes_are_those_that_are_written_down(texts: list[str | None], numbers: list[int | None]) -> None:
    expected = [int(hashing.NULL) if text is None else text_hash(text.encode()) for text in texts]
    assert hashing.hashes(pa.array(texts, pa.string())).tolist() == expected
    assert hashing.hashes(pa.array(numbers, pa.int64())).tolist() == [
        int(hashing.NULL) if number is None else one_hash([number % MODULUS], 0) for number in numbers
    ]


@given(table=tables(), start=st.integers(0, 9))
@SOME
def test_the_kernel_gives_the_same_numbers(table: pa.Table, start: int) -> None:
    if hash_kernel() is None:
        pytest.skip("there is no kernel on this machine")
    columns = [column.combine_chunks().slice(start) for column in table.columns]
    native = [(hashing.hashes(column), hashing.totals(hashing.hashes(column))) for column in columns]
    rows = hashing.members(columns, len(columns[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "hash_kernel", lambda: None)
        for column, (values, sums) in zip(columns, native, strict=True):
            assert np.array_equal(hashing.hashes(column), values)
            assert hashing.totals(values) == sums
        assert np.array_equal(hashing.members(columns, len(columns[0])), rows)


@pytest.mark.parametrize("kernel", [True, False])
def test_long_texts_are_hashed_in_pieces(kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel:
        monkeypatch.setattr(hashing, "hash_kernel", lambda: None)
    texts = pa.array(["é" * (n % 50) for n in range(300)])
    whole = hashing.hashes(texts)
    monkeypatch.setattr(hashing, "_WORDS_AT_ONCE", 3)
    assert np.array_equal(hashing.hashes(texts), whole)
    assert np.array_equal(hashing.hashes(texts.slice(7, 100)), whole[7:107])
