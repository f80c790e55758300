"""Rows that are not in the order that was asked for are told when they are read back, whatever the type, the direction and the batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import ProofFailed
from portal.tabular.options import ConvertOptions
from portal.tabular.output import sorting
from portal.tabular.output.opening import order_in_files
from portal.tabular.output.sorting import order_of, sort
from portal.tabular.proving.order import Order
from portal.tabular.proving.read_back import read_back
from tests.arrow_tables import FLAT, batches, published, tables, written
from tests.tabular import convert, local_store

_KEYS = {kind: values for kind, values in FLAT.items() if kind != pa.float64()} | {
    pa.float64(): st.floats() | st.sampled_from([0.0, -0.0, float("nan")]), pa.large_string(): st.text("ab", max_size=2), pa.null(): st.none(),
}  # fmt: skip


def taken(table: pa.Table, keys: list[tuple[str, str]], cuts: list[int]) -> str:
    order = Order(keys, "f")
    try:
        for batch in batches(table, cuts):
            order.update(batch)
    except ProofFailed as error:
        return error.message
    return ""


@settings(max_examples=60)
@given(tables(_KEYS), st.data())
def test_what_is_sorted_passes_and_any_other_order_is_told(table: pa.Table, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(table.schema.names), unique=True, min_size=1))
    keys = order_of(table.schema, [data.draw(st.sampled_from(["", "-"])) + name for name in names])
    cuts = data.draw(st.lists(st.integers(0, 50), max_size=4))
    right = sort(table, keys)
    assert taken(right, keys, cuts) == ""
    other = right.take(pa.array(data.draw(st.permutations(range(table.num_rows))), pa.int64()))
    again = sort(other, keys)  # stable: only rows that tie keep other places
    in_order = again.select(names).equals(other.select(names)) or again.equals(other)
    ties = [str(row) for row in again.select(names).to_pylist()] == [str(row) for row in other.select(names).to_pylist()]
    if not (in_order or ties):
        assert "comes before the row in front of it" in taken(other, keys, cuts) or _equal_zeros(again, other, names)


def _equal_zeros(one: pa.Table, other: pa.Table, names: list[str]) -> bool:
    return str(one.select(names).to_pylist()).replace("-0.0", "0.0") == str(other.select(names).to_pylist()).replace("-0.0", "0.0")


@pytest.mark.parametrize("cut", range(5))
@pytest.mark.parametrize(
    ("values", "key", "row"),
    [([1, 2, 3, 2], "a", 4), ([2, 1, 3, 4], "a", 2), ([3, 2, 1, 2], "-a", 4), ([1, None, 2, 3], "a", 3), ([3, None, 2, 1], "-a", 3),
     ([1.0, float("nan"), 2.0, None], "a", 3), ([1.0, None, float("nan"), None], "-a", 3), ([1, 1, 1, 0], "a", 4)],
)  # fmt: skip
def test_the_row_that_is_out_of_order_is_named(values: list[Any], key: str, row: int, cut: int) -> None:
    table = pa.table({"a": values})
    assert taken(table, order_of(table.schema, [key]), [cut]).startswith(f"Row {row} ")


@pytest.mark.parametrize("output", ["parquet", "csv", "ndjson"])
@pytest.mark.parametrize("more", [{}, {"split_bytes": 40}, {"partition_by": ("p",)}])
def test_output_that_is_not_sorted_fails_its_proof(output: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"a": [1, 3, 2, 4, 5, 6], "p": ["x", "y", "x", "y", "x", "x"]})
    options = ConvertOptions(output=output, sort_by=("-a",), **more)

    def proven() -> None:
        parts, digest = written(table, tmp_path / "scratch", options)
        done = published(parts, tmp_path / "target")
        read_back(done, digest, local_store(tmp_path / "target"), lambda: None, order=order_in_files(table.schema, options))

    proven()
    monkeypatch.setattr(sorting, "sort", lambda given, order: given)
    if "split_bytes" not in more:
        with pytest.raises(ProofFailed, match=r"in the order of a \(descending\)"):
            proven()


def test_a_conversion_proves_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row["a"] for row in convert(tmp_path, "a\n3\n1\n2\n", sort_by=("a",)).rows] == [1, 2, 3]
    monkeypatch.setattr(sorting, "sort", lambda given, order: given)
    with pytest.raises(ProofFailed, match=r"Row 2 of .* comes before"):
        convert(tmp_path, "a\n3\n1\n2\n", sort_by=("a",))
