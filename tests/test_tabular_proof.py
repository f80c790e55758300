"""What is written is read back and compared; what differs is refused and removed; books that do not balance are no success."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portal.errors import AlreadyExists, BooksDoNotBalance, Cancelled, ProofFailed, SourceChanged, Unreachable
from portal.tabular.conversion.converting import convert_object
from portal.tabular.conversion.preview import preview_object
from portal.tabular.csv_format.parsing import CsvParser
from portal.tabular.options import ConvertOptions
from portal.tabular.proving.digest import ColumnDigest
from portal.tabular.rows import Chunk, Parsed
from tests.tabular import convert, key_of, local_store

COLUMNS = {
    "integers": pa.array([1, None, -3, 4, 5], pa.int64()),
    "floats": pa.array([0.0, -0.0, float("nan"), None, 1.5]),
    "booleans": pa.array([True, None, False, True, True]),
    "texts": pa.array(["", None, "é", "xy", "z"]),
    "dates": pa.array([1, None, 3, 4, 5], pa.date32()),
    "timestamps": pa.array([1, None, 3, 4, 5], pa.timestamp("us", tz="UTC")),
    "decimals": pa.array([1, None, 3, 4, 5], pa.decimal128(12, 2)),
    "lists": pa.array([[1, None], None, [], [3], [4, 5]], pa.list_(pa.int64())),
    "structs": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 4, "b": None}, {"a": 5, "b": "z"}]),
    "nothing": pa.array([None] * 5, pa.string()),
}


def digest(*batches: Any) -> str:
    found = ColumnDigest()
    for batch in batches:
        found.update(batch)
    return found.hexdigest()


@pytest.mark.parametrize("name", COLUMNS)
def test_checksum_depends_on_the_values_and_not_on_the_batches(name: str) -> None:
    values = COLUMNS[name]
    assert digest(values) == digest(values.slice(0, 2), values.slice(2, 0), values.slice(2))
    assert digest(values) == digest(pa.concat_arrays([values.slice(0, 3), values[3:]]))
    if name != "nothing":
        assert digest(values) != digest(values[1:], values[:1])
    assert digest(values) != digest(values[:-1])
    assert digest(values) != digest(values[:-1], pa.nulls(1, values.type)) or name == "nothing"


def test_checksum_tells_apart_what_looks_alike() -> None:
    assert digest(pa.array(["ab", "c"])) != digest(pa.array(["a", "bc"]))
    assert digest(pa.array(["", "a"])) != digest(pa.array([None, "a"], pa.string()))
    assert digest(pa.array([0, 1])) != digest(pa.array([None, 1]))
    assert digest(pa.array([0.0])) != digest(pa.array([-0.0]))
    assert digest(pa.array([[1], [2, 3]])) != digest(pa.array([[1, 2], [3]]))
    assert digest(pa.array([[], None], pa.list_(pa.int64()))) != digest(pa.array([None, []], pa.list_(pa.int64())))


def test_checksum_of_a_file_is_that_of_its_values_as_another_reader_sees_them(tmp_path: Path) -> None:
    result = convert(tmp_path, "a,b\n" + "".join(f"{n},x{n}\n" for n in range(250_000)), row_group_rows=70_000)
    for column in result.done.columns:
        assert column.checksum == digest(*result.table[column.name].chunks)
    groups = pq.ParquetFile(tmp_path / "file.parquet").metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [70_000, 70_000, 70_000, 40_000]


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "none"])
def test_compression_is_as_asked(compression: str, tmp_path: Path) -> None:
    convert(tmp_path, "a\n1\n", compression=compression)
    found = pq.ParquetFile(tmp_path / "file.parquet").metadata.row_group(0).column(0).compression
    assert found == {"none": "UNCOMPRESSED"}.get(compression, compression.upper())


class Damaging:
    """A store that gives back other bytes than were written to it."""

    def __init__(self, store: Any, damage: Any) -> None:
        self._store, self._damage = store, damage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open_read(self, key: str, *, start: int = 0, length: int | None = None, pin: Any = None) -> Any:
        if key.endswith(".csv"):
            return self._store.open_read(key, start=start, length=length, pin=pin)
        with self._store.open_read(key, pin=pin) as reader:
            return io.BytesIO(self._damage(reader.read())[start:][:length])


def damaged(tmp_path: Path, damage: Any) -> Any:
    (tmp_path / "a.csv").write_text("a\n1\n2\n3\n")
    store = Damaging(local_store(tmp_path), damage)
    return convert_object(store, store.stat(key_of(tmp_path / "a.csv")), store, key_of(tmp_path / "a.parquet"))


@pytest.mark.parametrize("place", [4, 20, 100, -1, -8])
def test_a_target_that_reads_back_otherwise_is_refused_and_removed(place: int, tmp_path: Path) -> None:
    with pytest.raises(ProofFailed):
        damaged(tmp_path, lambda data: data[:place] + bytes([data[place] ^ 1]) + (data[place + 1 :] if place != -1 else b""))
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_target_that_cannot_be_read_back_is_removed(tmp_path: Path) -> None:
    def cut_off(data: bytes) -> bytes:
        raise Unreachable("cut off")

    with pytest.raises(Unreachable):
        damaged(tmp_path, cut_off)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_row_lost_by_the_fast_reader_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = CsvParser.__call__

    def losing(parser: CsvParser, chunk: Chunk) -> Parsed:
        parsed = real(parser, chunk)
        parsed.batch = parsed.batch.slice(1)
        return parsed

    monkeypatch.setattr(CsvParser, "__call__", losing)
    with pytest.raises(BooksDoNotBalance, match="3 rows, but 2 were read"):
        convert(tmp_path, "a\n1\n2\n3\n")
    assert not (tmp_path / "file.parquet").exists()


def test_an_existing_target_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "a.parquet").write_text("precious")
    store = local_store(tmp_path)
    with pytest.raises(AlreadyExists):
        convert_object(store, store.stat(key_of(tmp_path / "a.csv")), store, key_of(tmp_path / "a.parquet"))
    assert (tmp_path / "a.parquet").read_text() == "precious"


def test_a_cancel_stops_it_and_leaves_nothing(tmp_path: Path) -> None:
    def cancelled() -> None:
        raise Cancelled

    (tmp_path / "a.csv").write_text("a\n1\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    store = local_store(tmp_path)
    with pytest.raises(Cancelled):
        convert_object(store, store.stat(key_of(tmp_path / "a.csv")), store, key_of(tmp_path / "a.parquet"), check=cancelled, scratch=scratch)
    assert not (tmp_path / "a.parquet").exists()
    assert list(scratch.iterdir()) == []


def test_a_preview_shows_schema_and_rows_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,\n3,z\n")
    store = local_store(tmp_path)
    preview = preview_object(store, store.stat(key_of(tmp_path / "a.csv")), ConvertOptions(), rows=2)
    assert [(column.name, column.type) for column in preview.columns] == [("a", "int64"), ("b", "string")]
    assert preview.rows == ({"a": "1", "b": "x"}, {"a": "2", "b": None})
    assert (preview.rows_in, preview.whole) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_preview_of_a_large_file_reads_samples_only_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n" + "1\n" * 100_000)
    store = local_store(tmp_path)
    preview = preview_object(store, store.stat(key_of(tmp_path / "a.csv")), ConvertOptions(sample_bytes=1024))
    assert not preview.whole
    assert 500 < preview.rows_in < 3000


def test_a_preview_tells_what_would_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\nz,y\n3\n")
    store = local_store(tmp_path)
    preview = preview_object(store, store.stat(key_of(tmp_path / "a.csv")), ConvertOptions(types={"a": "int64"}))
    assert (preview.rows_in, preview.rows_rejected) == (3, 2)
    assert [(misfit["line"], misfit["column"]) for misfit in preview.misfits] == [(3, "a"), (4, "")]


@pytest.mark.parametrize(("encoding", "known"), [("utf-8", True), ("utf-16", False)])
@pytest.mark.parametrize(("name", "header", "good", "bad"), [
    ("file.csv", "a,b\n", "1,xx\n", "x,yy\n"), ("file.ndjson", "", '{"a": 1}\n', '{"a": "x"}\n'),
])  # fmt: skip
def test_a_preview_says_no_line_that_it_does_not_know(
    name: str, header: str, good: str, bad: str, encoding: str, known: bool, tmp_path: Path
) -> None:  # fmt: skip
    text = f"{header}{good * 3000}{bad}{good * 3000}"
    (tmp_path / name).write_text(text, encoding=encoding)
    store = local_store(tmp_path)
    found = preview_object(store, store.stat(key_of(tmp_path / name)), ConvertOptions(types={"a": "int64"}, sample_bytes=1024))
    (misfit,) = found.misfits
    assert misfit["line"] is None
    assert misfit["offset"] == (text.index(bad) if known else None)


def test_a_source_deleted_after_listing_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    store = local_store(tmp_path)
    info = store.stat(key_of(tmp_path / "a.csv"))
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceChanged):
        convert_object(store, info, store, key_of(tmp_path / "a.parquet"))
