"""Parquet files as one data set: types that differ become one that holds every value as it is, or the data set is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.columns.column_types import INTEGERS, ColumnType, decimal
from portal.tabular.columns.type_names import parse
from portal.tabular.conversion.converting import convert_dataset
from portal.tabular.options import ConvertOptions
from portal.tabular.parquet_format.uniting import wider
from tests.tabular import key_of, local_store

D = Decimal


def together(folder: Path, *columns: Any, **options: Any) -> pa.ChunkedArray:
    """Make a data set of files with one column, and read it."""
    store = local_store(folder)
    paths = [folder / f"{place}.parquet" for place in range(len(columns))]
    for path, column in zip(paths, columns, strict=True):
        pq.write_table(pa.table({"x": column}), path)
    done = convert_dataset(store, [store.stat(key_of(path)) for path in paths], store, key_of(folder / "set"), ConvertOptions(**options))
    return pa.concat_tables([pq.read_table(Path("/") / part.key, partitioning=None) for part in done.parts])["x"]


WIDER = [
    ([pa.array([1], pa.int8()), pa.array([2**40])], pa.int64(), [1, 2**40]),
    ([pa.array([2**40]), pa.array([255], pa.uint8())], pa.int64(), [2**40, 255]),
    ([pa.array([255], pa.uint8()), pa.array([2**63], pa.uint64())], pa.uint64(), [255, 2**63]),
    ([pa.array([1]), pa.array([1.5])], pa.float64(), [1.0, 1.5]),
    ([pa.array([0.5], pa.float32()), pa.array([0.1])], pa.float64(), [0.5, 0.1]),
    ([pa.array([2**62]), pa.array([D("0.25")], pa.decimal128(5, 2))], pa.decimal128(21, 2), [D(2**62), D("0.25")]),
    ([pa.array([D("123.5")]), pa.array([D("0.25")])], pa.decimal128(5, 2), [D("123.5"), D("0.25")]),
    ([pa.array([1], pa.timestamp("ms", "UTC")), pa.array([7], pa.timestamp("us", "UTC"))], pa.timestamp("us", "UTC"), [
        datetime(1970, 1, 1, 0, 0, 0, 1000, UTC), datetime(1970, 1, 1, 0, 0, 0, 7, UTC),
    ]),
    ([pa.nulls(1), pa.array([5]), pa.nulls(1)], pa.int64(), [None, 5, None]),
    ([pa.nulls(1), pa.array([{"a": 1}])], pa.struct({"a": pa.int64()}), [None, {"a": 1}]),
    ([pa.array(["007"]), pa.array(["NA"]).dictionary_encode(), pa.array([""], pa.large_string())], pa.string(), ["007", "NA", ""]),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "kind", "values"), WIDER, ids=lambda item: str(item)[:20] if isinstance(item, pa.DataType) else "")
def test_a_wider_type_holds_all_values_as_they_are(columns: list[Any], kind: Any, values: list[Any], tmp_path: Path) -> None:
    found = together(tmp_path, *columns)
    assert found.type == kind and found.to_pylist() == values


APART = [
    (pa.array([1, 2]), pa.array(["007", "+5", "", "NA"])),
    (pa.array(["a"]), pa.array([5])),
    (pa.array([1], pa.timestamp("us", "UTC")), pa.array(["2020-01-01T00:00:00+05:00"])),
    (pa.array([1], pa.timestamp("us", "UTC")), pa.array([1], pa.timestamp("us", "+02:00"))),
    (pa.array([1.5]), pa.array([D("0.7")])),
    (pa.array([1]), pa.array([2**63], pa.uint64())),
    (pa.array([{"a": 1}]), pa.array([{"a": "1"}])),
]


@pytest.mark.parametrize("columns", APART, ids=lambda columns: f"{columns[0].type} {columns[1].type}")
def test_types_that_no_type_holds_are_refused_and_nothing_is_written(columns: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match=r"'x' is .* in .*0\.parquet and .* in .*2\.parquet: no type holds both") as told:
        together(tmp_path, columns[0], columns[0], columns[1])
    assert "types" in told.value.hint and not list(tmp_path.glob("set/*"))


def test_a_value_that_the_wider_type_has_not_fails(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match="9007199254740993"):
        together(tmp_path, pa.array([1.5]), pa.array([2**53 + 1]))


def test_a_type_that_was_asked_for_is_that_of_all(tmp_path: Path) -> None:
    assert together(tmp_path, pa.array([1, 2]), pa.array(["007", "+5"]), types={"x": "int64"}).to_pylist() == [1, 2, 7, 5]


def test_no_text_of_a_parquet_file_means_no_value_unless_it_was_said(tmp_path: Path) -> None:
    texts = pa.array(["5", None, "NA"])
    with pytest.raises(ConversionFailed, match="'NA'"):
        together(tmp_path, texts, types={"x": "int64"})
    with pytest.raises(ConversionFailed, match="''"):
        together(tmp_path, pa.array(["5", ""]), types={"x": "int64"})
    assert together(tmp_path, texts, types={"x": "int64"}, null_values=("", "NA")).to_pylist() == [5, None, None]


NUMBERS = st.sampled_from([*INTEGERS, *(parse(name, "x") for name in ("uint8", "uint32", "uint64", "float32", "float64"))]) | st.builds(
    lambda scale, more: decimal(scale + more, scale), st.integers(0, 20), st.integers(1, 20)
)


@given(NUMBERS, NUMBERS)
def test_widening_goes_both_ways_alike_and_keeps_what_is_wide_enough(one: ColumnType, other: ColumnType) -> None:
    found = wider(one, other)
    assert found == wider(other, one) and (found is None or wider(found, one) == wider(found, other) == found)
