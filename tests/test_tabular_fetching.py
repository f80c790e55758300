"""Bringing a source to clean text: encodings, compression, checksums, and sources that are not what they seem."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from awscrt import checksums

from portal.errors import ConversionFailed, SourceChanged
from portal.tabular.converting import suits, target_name
from portal.tabular.fetching import fetch
from tests.tabular import convert, key_of, local_store

TEXT = "name,city\nJosé,Zürich\n"
ROWS = [{"name": "José", "city": "Zürich"}]


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (TEXT.encode(), {}, "utf-8"),
        (TEXT.encode("utf-8-sig"), {}, "utf-8"),
        (TEXT.encode("utf-8-sig"), {"encoding": "utf-8"}, "utf-8"),
        (TEXT.encode("utf-16"), {}, "utf-16-le"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), {}, "utf-16-be"),
        (TEXT.encode("utf-16"), {"encoding": "UTF-16"}, "utf-16-le"),
        (TEXT.encode("utf-16-be"), {"encoding": "utf-16-be"}, "utf-16-be"),
        (TEXT.encode("utf-32"), {}, "utf-32-le"),
        (TEXT.encode("cp1252"), {"encoding": "cp1252"}, "cp1252"),
        (TEXT.encode("latin-1"), {"encoding": "latin-1"}, "latin-1"),
    ],
)
def test_encoding_is_told_by_its_mark_or_asked_for(content: bytes, options: dict[str, str], told: str, tmp_path: Path) -> None:
    result = convert(tmp_path, content, **options)
    assert result.rows == ROWS
    assert result.done.reading["encoding"] == told


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (TEXT.encode("cp1252"), {}, r"not utf-8: byte 13 \(0xe9\)"),
        (b"a,b\n" + b"x,y\n" * 1_000_000 + b"\xff,1\n", {}, r"not utf-8: byte 4000004 \(0xff\)"),
        (b"\xef\xbb\xbfa\n\xff\n", {}, r"byte 5 \(0xff\)"),
        (b"a\nx\xc3", {}, "byte 3"),
        (TEXT.encode("utf-16-le"), {}, "begins with a zero byte"),
        (b"a\n\x81\n", {"encoding": "cp1252"}, r"not cp1252: byte 2 \(0x81\)"),
        (b"\xff\xfea\0\n\0x", {}, "not utf-16-le: byte 6"),
        (b"a\n1\n", {"encoding": "ebcdic-x"}, "Nobody knows the encoding 'ebcdic-x'"),
        (b"a\n1\n", {"encoding": "base64"}, "Nobody knows the encoding 'base64'"),
        (b"PAR1....", {}, "a Parquet file already"),
        (b"PK\x03\x04....", {}, "a zip archive"),
    ],
)
def test_wrong_encoding_names_the_byte(content: bytes, options: dict[str, str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match=reason) as caught:
        convert(tmp_path, content, **options)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["file.csv.gz", "file.csv"])
def test_gzip_is_unpacked_whatever_the_name_and_summed_packed(name: str, tmp_path: Path) -> None:
    packed = gzip.compress(TEXT.encode()) + gzip.compress(b"Ana,Bern\n")
    result = convert(tmp_path, packed, name)
    assert result.rows == [*ROWS, {"name": "Ana", "city": "Bern"}]
    assert result.done.source_crc64 == f"{checksums.crc64nvme(packed):016x}"
    assert result.done.source_bytes == len(packed)


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def test_zstd_is_unpacked(tmp_path: Path) -> None:
    packed = zstd(TEXT.encode()) + zstd(b"Ana,Bern\n")
    result = convert(tmp_path, packed, "file.csv.zst")
    assert result.rows == [*ROWS, {"name": "Ana", "city": "Bern"}]
    assert result.done.source_crc64 == f"{checksums.crc64nvme(packed):016x}"


@pytest.mark.parametrize(("damage", "pack"), [("cut", gzip.compress), ("flipped", gzip.compress), ("cut", zstd)])
def test_broken_compression_fails(damage: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = bytearray(pack("".join(f"{n},{n * n}\n" for n in range(3000)).encode()))
    if damage == "cut":
        del packed[-20:]
    else:
        packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(ConversionFailed, match="broken or was cut off"):
        convert(tmp_path, bytes(packed), "file.csv.gz")


def test_an_empty_gzip_is_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match="The file is empty"):
        convert(tmp_path, gzip.compress(b""), "file.csv.gz")


def test_other_bytes_than_listed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(TEXT)
    store = local_store(tmp_path)
    info = store.stat(key_of(path))
    path.write_text(TEXT * 2)
    with pytest.raises(SourceChanged):
        fetch(store, info, tmp_path / "text")


def test_progress_adds_up_to_the_source(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("a\n" + "12345\n" * 500_000)
    store = local_store(tmp_path)
    seen: list[int] = []
    fetch(store, store.stat(key_of(path)), tmp_path / "text", passed=seen.append)
    assert sum(seen) == path.stat().st_size
    assert len(seen) > 2


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
