"""Sources of any encoding and compression, converted; and which files suit a conversion."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from awscrt import checksums

from portal.errors import ConversionFailed
from portal.tabular.options import suits, target_name
from tests.tabular import convert

TEXT = "name,city\nJosé,Zürich\n"
ROWS = [{"name": "José", "city": "Zürich"}]


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (TEXT.encode("utf-8-sig"), {}, "utf-8"),
        (TEXT.encode("utf-16"), {"encoding": "UTF-16"}, "utf-16-le"),
        (TEXT.encode("utf-16-be"), {}, "utf-16-be"),
        (TEXT.encode("cp1252"), {}, "cp1252"),
        (TEXT.encode("latin-1"), {"encoding": "latin-1"}, "latin-1"),
    ],
)
def test_texts_of_any_encoding_are_converted_and_it_is_told(content: bytes, options: dict[str, str], told: str, tmp_path: Path) -> None:
    result = convert(tmp_path, content, **options)
    assert result.rows == ROWS
    assert result.done.reading["encoding"] == told


def test_a_guess_at_the_encoding_is_a_warning(tmp_path: Path) -> None:
    assert any("'José', 'Zürich'" in warning for warning in convert(tmp_path, TEXT.encode("cp1252")).done.warnings)
    assert convert(tmp_path, TEXT).done.warnings == ()


def test_packed_sources_are_unpacked_and_summed_packed(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT.encode()) + gzip.compress(b"Ana,Bern\n")
    result = convert(tmp_path, packed, "file.csv.gz")
    assert result.rows == [*ROWS, {"name": "Ana", "city": "Bern"}]
    assert result.done.source_crc64 == f"{checksums.crc64nvme(packed):016x}"
    assert result.done.source_bytes == len(packed)


def test_bytes_that_are_no_text_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match=r"not utf-8: byte 400004 \(0xff\)"):
        convert(tmp_path, b"a,b\n" + b"x,y\n" * 100_000 + b"\xff,1\n" + b"x,y\n" * 1_000_000)
    assert not (tmp_path / "file.parquet").exists()


@pytest.mark.parametrize(
    ("key", "name", "fits"),
    [
        ("a/b.csv", "a/b.parquet", True), ("a/b.CSV.gz", "a/b.parquet", True), ("a/b.tsv", "a/b.parquet", True),
        ("b.json", "b.parquet", True),
        ("b.ndjson.gz", "b.parquet", True), ("b.jsonl.zst", "b.parquet", True), ("a/b.txt", "a/b.txt.parquet", False),
        ("a/.csv", "a/.csv.parquet", True),
        ("a.csv/b", "a.csv/b.parquet", False), ("b.parquet", "b.parquet.parquet", False),
    ],
)  # fmt: skip
def test_names(key: str, name: str, fits: bool) -> None:
    assert target_name(key) == name
    assert suits(key) is fits
