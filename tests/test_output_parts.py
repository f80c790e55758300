"""Rows in any batches, written under any options, are read back as they were: in their order, or as the same set where the order is another."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import Cancelled, ConversionFailed
from portal.tabular.options import ConvertOptions
from portal.tabular.output import parquet, partitions, sorting
from portal.tabular.output.folders import NULL_FOLDER, folder_name, values_of
from portal.tabular.output.opening import makes_one_file, open_sink
from tests.arrow_tables import FLAT, TEXTUAL, exact, proven, read, tables, written

CUTS = st.lists(st.integers(0, 1000), max_size=4)
FEW = settings(max_examples=25, deadline=None)
NAMING = {kind: values for kind, values in FLAT.items() if kind not in (pa.float64(), pa.string())} | {
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
}


@given(table=tables(), cuts=CUTS, rows=st.integers(1, 50), split=st.sampled_from([0, 1, 500, 100_000]))
@FEW
def test_any_batches_are_read_back_in_order(table: pa.Table, cuts: list[int], rows: int, split: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ConvertOptions(row_group_rows=rows, split_bytes=split)
        done = proven(table, Path(folder), options, cuts)
        assert exact(read(done, table.schema)) == exact(table)
        assert [each.part.name for each in done] == sorted(each.part.name for each in done)
        assert not makes_one_file(options) or len(done) == 1


@pytest.mark.parametrize("output", ["csv", "ndjson"])
@given(table=tables(TEXTUAL, min_columns=2), cuts=CUTS, split=st.sampled_from([0, 1, 500, 100_000]), data=st.data())
@FEW
def test_text_files_are_read_back_in_order_or_sorted(output: Any, table: pa.Table, cuts: list[int], split: int, data: st.DataObject) -> None:
    sort = data.draw(st.sampled_from([(), ("a",)])) if not pa.types.is_nested(table.schema.field("a").type) else ()
    if output == "ndjson":
        table = table.select([item.name for item in table.schema if not pa.types.is_floating(item.type)])
        sort = tuple(key for key in sort if key in table.column_names)
        if not table.num_columns:
            return
    with tempfile.TemporaryDirectory() as folder:
        done = proven(table, Path(folder), ConvertOptions(output=output, split_bytes=split, sort_by=sort), cuts)
        assert sum(each.part.rows for each in done) == table.num_rows
        assert split != 1 or len(done) == max(1, table.num_rows)


@given(table=tables(FLAT), cuts=CUTS, data=st.data(), run_bytes=st.sampled_from([1, 200, 1 << 20]), rows=st.sampled_from([7, 100_000]))
@FEW
def test_sorted_rows_are_those_written_in_order_and_equal_keys_keep_theirs(
    table: pa.Table, cuts: list[int], data: st.DataObject, run_bytes: int, rows: int
) -> None:
    keys = data.draw(st.lists(st.sampled_from(table.column_names), min_size=1, max_size=2, unique=True))
    keys = [data.draw(st.sampled_from(["", "-"])) + key for key in keys]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "RUN_BYTES", run_bytes)
        patch.setattr(sorting, "_BLOCK_BYTES", 64)
        done = proven(table, Path(folder), ConvertOptions(sort_by=tuple(keys), row_group_rows=rows), cuts)
        order = [(key.removeprefix("-"), "descending" if key[0] == "-" else "ascending") for key in keys]
        numbered = table.append_column("#", pa.array(range(table.num_rows), pa.int64()))
        expected = numbered.take(pc.sort_indices(numbered, sort_keys=[*order, ("#", "ascending")])).drop(["#"])
        assert exact(read(done, table.schema)) == exact(expected)
        assert not [path for path in (Path(folder) / "scratch").iterdir() if path.suffix == ".arrow"]


@given(
    table=tables(NAMING, max_rows=9),
    other=tables(min_rows=9),
    cuts=CUTS,
    sort=st.booleans(),
    most_open=st.sampled_from([1, 64]),
    round_bytes=st.sampled_from([1, 200, 1 << 20]),
    split=st.sampled_from([0, 400]),
)
@FEW
def test_values_that_name_folders_come_back(
    table: pa.Table, other: pa.Table, cuts: list[int], sort: bool, most_open: int, round_bytes: int, split: int
) -> None:
    rows = table.num_rows
    whole = table
    for name in other.column_names:
        whole = whole.append_column(f"x{name}", other.column(name).slice(0, rows))
    options = ConvertOptions(partition_by=tuple(table.column_names), sort_by=("a",) if sort else (), split_bytes=split)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "MOST_OPEN", most_open)
        patch.setattr(partitions, "PENDING_BYTES", 300)
        patch.setattr(partitions, "ROUND_BYTES", round_bytes)
        done = proven(whole, Path(folder), options, cuts)
        assert Counter(exact(read(done, whole.schema))) == Counter(exact(whole))
        assert split or len(done) == len(set(map(str, table.to_pylist())))
        assert all(not set(pq.read_schema(Path("/") / each.object.key).names) & set(table.column_names) for each in done)


@pytest.mark.parametrize("sort", [(), ("a", "n")])
@pytest.mark.parametrize("round_bytes", [1, 1 << 20])
def test_many_folders_are_one_file_each_with_the_rows_in_their_order(
    round_bytes: int, sort: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """However often a folder comes back: what it costs grows with the rows and the folders, not with one times the other."""
    opened: list[Path] = []
    real = parquet.ParquetFile._opened

    def watched(self: parquet.ParquetFile, table: pa.Table) -> Any:
        opened.append(self._path)
        return real(self, table)

    monkeypatch.setattr(parquet.ParquetFile, "_opened", watched)
    monkeypatch.setattr(partitions, "ROUND_BYTES", round_bytes)
    table = pa.table({"a": [place % 100 for place in range(1000)], "n": range(1000)})
    done = proven(table, tmp_path, ConvertOptions(partition_by=("a",), sort_by=sort), cuts=[30, *range(50, 1000, 70)])
    assert sorted(each.part.name for each in done) == sorted(f"a={a}/part-00000.parquet" for a in range(100))
    assert len(opened) == 100
    found = read(done, table.schema).to_pylist()
    assert sorted(found, key=lambda row: (row["a"], row["n"])) == sorted(found, key=lambda row: row["a"]), "in a folder they keep their order"
    assert not list((tmp_path / "scratch").glob("*.arrow"))


@pytest.mark.parametrize("output", ["parquet", "csv"])
def test_many_folders_that_are_cancelled_while_they_are_finished_leave_nothing(output: Any, tmp_path: Path) -> None:
    calls = []

    def check() -> None:
        calls.append(0)
        if len(calls) > 20:
            raise Cancelled

    table = pa.table({"a": range(200), "n": range(200)})
    sink = open_sink(tmp_path, table.schema, ConvertOptions(partition_by=("a",), output=output), check)
    sink.write(table.to_batches()[0])
    with pytest.raises(Cancelled):
        sink.close()
    sink.abort()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@given(column=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), text=st.none() | NAMING[pa.string()])
def test_names_of_folders_say_one_value(column: str, text: str | None) -> None:
    name = folder_name(column, text)
    assert "/" not in name and name.count("=") == 1 and not any(ord(letter) < 32 for letter in name)
    assert values_of(f"some/{name}/part.parquet", (column,)) == {column: text}


def test_folders_are_what_other_readers_take_for_partitions(tmp_path: Path) -> None:
    values = ["a b", "x/y=z%41", "é", None, "50%", "."]
    table = pa.table({"kind": pa.array(values), "n": range(6)})
    proven(table, tmp_path, ConvertOptions(partition_by=("kind",)))
    kinds = ds.partitioning(pa.schema([("kind", pa.string())]), flavor="hive")
    found = ds.dataset(tmp_path / "target", partitioning=kinds, format="parquet").to_table()
    assert sorted(zip(found["n"].to_pylist(), found["kind"].to_pylist(), strict=True)) == list(enumerate(values))


@pytest.mark.parametrize(
    ("table", "options", "reason"),
    [
        ({"a": [""], "b": [1]}, {"partition_by": ["a"]}, "'a' holds an empty text"),
        ({"a": [NULL_FOLDER], "b": [1]}, {"partition_by": ["a"]}, "means 'no value'"),
        ({"a": ["x" * 300], "b": [1]}, {"partition_by": ["a"]}, "too long for a folder's name"),
        ({"a": [1.5], "b": [1]}, {"partition_by": ["a"]}, "no folders can be made of it"),
        ({"a": [1]}, {"partition_by": ["a"]}, "no column would be left"),
        ({"a": [1], "b": [1]}, {"partition_by": ["c"]}, "no column 'c' to make folders of"),
        ({"a": [1]}, {"sort_by": ["c"]}, "no column 'c' to sort by"),
        ({"a": [[1]]}, {"sort_by": ["a"]}, "such values have no order"),
        ({"a": [1]}, {"bloom_filters": ["c"]}, "no column 'c' for a bloom filter"),
        ({"a": [True]}, {"bloom_filters": ["a"]}, "no bloom filter for it"),
        ({"a": [10**18], "b": [1]}, {"partition_by": ["a"]}, ""),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(table: Any, options: Any, reason: str, tmp_path: Path) -> None:
    if not reason:
        proven(pa.table(table), tmp_path, ConvertOptions(**options))
        return
    with pytest.raises(ConversionFailed, match=reason):
        written(pa.table(table), tmp_path, ConvertOptions(**options))


def test_a_date_that_no_name_of_a_folder_holds_is_refused(tmp_path: Path) -> None:
    table = pa.table({"day": pa.array([5_000_000], pa.date32()), "n": [1]})
    with pytest.raises(ConversionFailed, match="would not be read back"):
        written(table, tmp_path, ConvertOptions(partition_by=("day",)))


def test_files_have_about_the_size_asked_for(tmp_path: Path) -> None:
    table = pa.table({"a": [f"{n * 7919 % 100_003:09}" * 3 for n in range(60_000)]})
    sizes = [each.part.size_bytes for each in proven(table, tmp_path, ConvertOptions(split_bytes=60_000), cuts=[10_000, 50_000])]
    assert len(sizes) > 2
    assert all(45_000 < size < 90_000 for size in sizes[:-1])


def test_more_folders_than_anybody_wants_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "MOST_FOLDERS", 3)
    with pytest.raises(ConversionFailed, match="More than 3 folders"):
        written(pa.table({"a": range(4), "b": range(4)}), tmp_path, ConvertOptions(partition_by=("a",)))


@pytest.mark.parametrize("options", [{}, {"partition_by": ("a",)}, {"sort_by": ("a",)}, {"split_bytes": 10}, {"output": "csv"}, {"output": "ndjson"}])
def test_what_is_given_up_leaves_nothing(options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "RUN_BYTES", 1)
    table = pa.table({"a": [1, 2, 3], "b": [4, 5, 6]})
    sink = open_sink(tmp_path, table.schema, ConvertOptions(row_group_rows=1, **options))
    for batch in table.to_batches(max_chunksize=1):
        sink.write(batch)
    assert any(path.is_file() for path in tmp_path.rglob("*"))
    sink.abort()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_batch_of_another_schema_is_never_written(tmp_path: Path) -> None:
    sink = open_sink(tmp_path, pa.schema([("a", pa.int64())]), ConvertOptions())
    with pytest.raises(ValueError, match="another schema"):
        sink.write(pa.record_batch({"a": [1.0]}))
