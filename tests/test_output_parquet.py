"""A Parquet file has the row groups, codecs, dictionaries, statistics and filters that were asked for, or that pay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portal.tabular.options import ConvertOptions
from portal.tabular.output import parquet
from portal.tabular.output.dictionaries import leaf_paths, stored_schema, with_dictionary
from tests.arrow_tables import proven

ROWS = 2000
TABLE = pa.table({
    "few": [f"kind {n % 7}" for n in range(ROWS)], "many": [f"id {n}" for n in range(ROWS)], "number": [n / 7 for n in range(ROWS)],
    "rating": [n % 5 for n in range(ROWS)], "yes": [n % 2 == 0 for n in range(ROWS)], "empty": pa.nulls(ROWS, pa.string()),
    "list": [[f"tag {n % 3}", "x"] for n in range(ROWS)], "struct": [{"few": n % 3, "many": n} for n in range(ROWS)],
    "dotted.name": [n % 3 for n in range(ROWS)],
})  # fmt: skip


def file_of(folder: Path, table: pa.Table = TABLE, **options: Any) -> pq.ParquetFile:
    (done,) = proven(table, folder, ConvertOptions(**options), cuts=[300, 301, 1500])
    return pq.ParquetFile(Path("/") / done.object.key)


def columns(file: pq.ParquetFile, group: int = 0) -> dict[str, Any]:
    found = file.metadata.row_group(group)
    return {found.column(place).path_in_schema: found.column(place) for place in range(found.num_columns)}


def groups(file: pq.ParquetFile) -> list[int]:
    return [file.metadata.row_group(place).num_rows for place in range(file.metadata.num_row_groups)]


def test_a_dictionary_is_kept_only_where_values_repeat(tmp_path: Path) -> None:
    expected = {"few", "rating", "empty", "list.list.element", "struct.few", "dotted.name"}
    assert set(with_dictionary(TABLE)) == expected
    written = {name for name, column in columns(file_of(tmp_path)).items() if column.has_dictionary_page}
    assert written == expected


def test_row_groups_have_the_rows_asked_for(tmp_path: Path) -> None:
    assert groups(file_of(tmp_path, row_group_rows=700)) == [700, 700, 600]
    assert groups(file_of(tmp_path)) == [ROWS]


def test_row_groups_are_bounded_in_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 50_000)
    table = pa.table({"a": ["x" * 1000] * 300})
    assert max(groups(file_of(tmp_path, table))) <= 100


def test_statistics_may_be_left_out(tmp_path: Path) -> None:
    assert columns(file_of(tmp_path))["number"].statistics.max == TABLE["number"][-1].as_py()
    assert columns(file_of(tmp_path, statistics=False))["number"].statistics is None


def test_bloom_filters_are_where_they_were_asked_for(tmp_path: Path) -> None:
    def size(**options: Any) -> int:
        file_of(tmp_path, row_group_rows=1000, **options)
        (made,) = (tmp_path / "scratch").iterdir()
        return made.stat().st_size

    assert size(bloom_filters=("many",)) > size() + 2 * 1000
    assert size(bloom_filters=("many", "number")) > size(bloom_filters=("many",)) + 2 * 1000


def test_files_say_what_they_are_sorted_by(tmp_path: Path) -> None:
    found = file_of(tmp_path, TABLE.select(["few", "number"]), sort_by=("-number", "few")).metadata.row_group(0).sorting_columns
    assert [(item.column_index, item.descending, item.nulls_first) for item in found] == [(1, True, False), (0, False, False)]
    assert file_of(tmp_path).metadata.row_group(0).sorting_columns == ()


@pytest.mark.parametrize(("compression", "level"), [("zstd", None), ("zstd", 19), ("snappy", None), ("gzip", 9), ("none", None)])
def test_codec_and_level_are_as_asked(compression: str, level: int | None, tmp_path: Path) -> None:
    found = columns(file_of(tmp_path, compression=compression, compression_level=level))["many"]
    assert found.compression == {"none": "UNCOMPRESSED"}.get(compression, compression.upper())
    if level == 19:
        assert found.total_compressed_size != columns(file_of(tmp_path))["many"].total_compressed_size


def test_a_table_of_no_rows_is_a_file(tmp_path: Path) -> None:
    file = file_of(tmp_path, TABLE.slice(0, 0), bloom_filters=("many",))
    assert file.schema_arrow.equals(TABLE.schema)
    assert file.metadata.num_rows == 0


def test_what_parquet_stores_otherwise_is_known() -> None:
    schema = pa.schema([("a", pa.timestamp("s")), ("b", pa.list_(pa.struct([("x", pa.int8())])))])
    assert stored_schema(schema).field("a").type == pa.timestamp("ms")
    assert leaf_paths(schema) == ("a", "b.list.element.x")
