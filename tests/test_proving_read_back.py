"""What stands at the target is read whole and once; whatever is not as it was written is told, and taken away again."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import BooksDoNotBalance, Cancelled, ProofFailed, Unreachable
from portal.stores.checksums import crc64, crc64_hex
from portal.tabular.options import ConvertOptions
from portal.tabular.output.publish import Published
from portal.tabular.proving import window
from portal.tabular.proving.books import balance
from portal.tabular.proving.read_back import read_back
from portal.tabular.proving.window import PassingFile
from tests.arrow_tables import published, written
from tests.tabular import local_store

TABLE = pa.table({"a": [1, 2, 3, 4], "b": ["x", None, "y", "x"], "c": [5, 6, 7, 8]})
OUTPUTS = pytest.mark.parametrize("output", ["parquet", "csv", "ndjson"])


def swap_in(each: Published, data: bytes) -> Published:
    """Another file in the place of a published one, as if the sink had written that."""
    path = Path("/") / each.object.key
    path.write_bytes(data)
    return replace(each, object=local_store(path.parent).stat(each.object.key), crc64=crc64_hex(crc64(data)))


def check_again(folder: Path, options: ConvertOptions, change: Any) -> None:
    parts, digest = written(TABLE, folder / "scratch", options)
    done = published(parts, folder / "target")
    other, _ = written(change(TABLE), folder / "other", options)
    assert [part.name for part in other] == [part.name for part in parts]
    swapped = [swap_in(each, part.path.read_bytes()) for each, part in zip(done, other, strict=True)]
    read_back(swapped, digest, local_store(folder / "target"), lambda: None)


@OUTPUTS
@pytest.mark.parametrize("options", [{}, {"sort_by": ("a",)}, {"partition_by": ("b",)}, {"split_bytes": 1}])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.set_column(0, "a", pa.array([1, 2, 3, 5])), "values of column 'a'"),
        (lambda t: t.set_column(0, "a", pa.array([1, None, 3, 4])), "values of column 'a'"),
        (lambda t: t.select(["c", "b", "a"]).rename_columns(["a", "b", "c"]), "values of column 'a'"),
        (lambda t: t.set_column(0, "a", pa.array([1, 2, 4, 3])), "values of column 'a'|in other rows"),
    ],
)
def test_what_the_sink_wrote_otherwise_than_it_was_given_is_told(output: Any, options: Any, change: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ProofFailed, match=reason):
        check_again(tmp_path, ConvertOptions(output=output, **options), change)
    assert not list((tmp_path / "target").rglob("part*"))


@OUTPUTS
def test_rows_that_were_lost_are_told(output: Any, tmp_path: Path) -> None:
    with pytest.raises(ProofFailed, match="has 3 rows; 4 were written"):
        check_again(tmp_path, ConvertOptions(output=output), lambda table: table.slice(1))
    assert not list((tmp_path / "target").rglob("part*"))


@OUTPUTS
def test_rows_that_changed_places_are_told(output: Any, tmp_path: Path) -> None:
    with pytest.raises(ProofFailed, match="values of column 'a'"):
        check_again(tmp_path, ConvertOptions(output=output), lambda table: table.take([1, 0, 2, 3]))


@pytest.mark.parametrize("other", [TABLE.select(["a", "c"]), TABLE.set_column(0, "a", TABLE["a"].cast(pa.int32()))])
def test_another_schema_is_told(other: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(ProofFailed, match="another schema"):
        check_again(tmp_path, ConvertOptions(), lambda _: other)


@OUTPUTS
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_any_bit_that_flips_at_the_target_is_told_and_nothing_is_left(output: Any, place: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts, digest = written(TABLE, folder / "scratch", ConvertOptions(output=output))
        (each,) = published(parts, folder / "target")
        path = Path("/") / each.object.key
        data = bytearray(path.read_bytes())
        data[place % len(data)] ^= 1 << bit
        path.write_bytes(data)
        stored = replace(each, object=local_store(path.parent).stat(each.object.key))
        with pytest.raises(ProofFailed, match="was read back with the checksum"):
            read_back([stored], digest, local_store(path.parent), lambda: None)
        assert not path.exists()


def test_what_somebody_else_put_there_meanwhile_is_left(tmp_path: Path) -> None:
    parts, digest = written(TABLE, tmp_path / "scratch", ConvertOptions())
    (each,) = published(parts, tmp_path / "target")
    (tmp_path / "target" / parts[0].name).write_text("precious")
    with pytest.raises(Exception, match="replaced after it was listed"):
        read_back([each], digest, local_store(tmp_path / "target"), lambda: None)
    assert (tmp_path / "target" / parts[0].name).read_text() == "precious"


def test_a_target_that_cannot_be_read_is_removed(tmp_path: Path) -> None:
    def cut_off() -> None:
        raise Unreachable("cut off")

    parts, digest = written(TABLE, tmp_path / "scratch", ConvertOptions())
    done = published(parts, tmp_path / "target")
    with pytest.raises(Unreachable):
        read_back(done, digest, local_store(tmp_path / "target"), cut_off)
    assert not list((tmp_path / "target").iterdir())


def test_a_cancel_stops_it(tmp_path: Path) -> None:
    def cancelled() -> None:
        raise Cancelled

    parts, digest = written(TABLE, tmp_path / "scratch", ConvertOptions())
    with pytest.raises(Cancelled):
        read_back(published(parts, tmp_path / "target"), digest, local_store(tmp_path / "target"), cancelled)


@pytest.mark.parametrize(("rows", "group"), [(60_000, 1_000), (60_000, 20_000), (60_000, 100)])
def test_the_target_is_read_once_and_held_a_row_group_at_a_time(rows: int, group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "_BLOCK", 4096)
    monkeypatch.setattr(window, "_TAIL_BYTES", 65_536)
    table = pa.table({"a": [n * 7919**3 % 999_999_937 for n in range(rows)], "b": [f"{n * 104729 % 999_983}" for n in range(rows)]})
    most, reads = [0], [0]
    real = PassingFile._next

    def watched(self: PassingFile) -> bytes:
        block = real(self)
        most[0], reads[0] = max(most[0], len(self._held)), reads[0] + len(block)
        return block

    monkeypatch.setattr(PassingFile, "_next", watched)
    parts, digest = written(table, tmp_path / "scratch", ConvertOptions(row_group_rows=group))
    read_back(published(parts, tmp_path / "target"), digest, local_store(tmp_path / "target"), lambda: None)
    metadata = pq.ParquetFile(parts[0].path).metadata
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    largest = max(sum(each.column(n).total_compressed_size for n in range(2)) for each in groups)
    assert reads[0] == parts[0].size_bytes
    end = max(65_536, metadata.serialized_size + 8)  # is compared with what was read first
    assert most[0] <= max(largest, end) + 3 * 4096 < parts[0].size_bytes


def test_books_that_do_not_balance_are_told() -> None:
    balance(10, 7, 2, 1)
    with pytest.raises(BooksDoNotBalance, match="has 10 rows, but 7 were read, 2 rejected"):
        balance(10, 7, 2)
