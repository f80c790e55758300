"""From a store's object to text: compression, checksums, samples by ranges, and sources that are not what they seem."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from awscrt import checksums
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import Cancelled, ConversionFailed, ProofFailed, SourceChanged
from portal.stores.base import ObjectInfo, Store
from portal.tabular.options import ConvertOptions
from portal.tabular.text.objects import StoreObject
from portal.tabular.text.sampling import places
from portal.tabular.text.text import Text
from tests.tabular import key_of, local_store
from tests.texts import read_all, text_of
from tests.transferring import Clouds

CONTENT = "".join(f"{n},{n * n}\n" for n in range(3000)).encode()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


HEX = st.binary(max_size=300).map(lambda data: data.hex().encode())
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd}


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("name", ["file.csv", "file.csv.gz"])
def test_packed_files_of_several_pieces_are_unpacked_whatever_the_name(kind: str, name: str) -> None:
    packed = PACKERS[kind](CONTENT) + PACKERS[kind](b"") + PACKERS[kind]("é,ü\n".encode("utf-16"))
    text = text_of(PACKERS[kind](CONTENT) + PACKERS[kind](b"1,2\n"), name)
    assert text.facts["compression"] == kind
    assert not text.facts["plain"]
    assert read_all(text) == CONTENT + b"1,2\n"
    with pytest.raises(ConversionFailed, match=f"byte {len(CONTENT)} "):
        read_all(text_of(packed, name))


@settings(max_examples=40, deadline=None)
@given(st.lists(HEX, min_size=1, max_size=4), st.sampled_from([*PACKERS]), st.integers(4, 99))
def test_any_content_is_unpacked_whatever_the_blocks(pieces: list[bytes], kind: str, size: int) -> None:
    content = b"x".join([b"", *pieces])
    packed = b"".join(PACKERS[kind](piece) for piece in (b"x" + piece for piece in pieces))
    assert read_all(text_of(packed), size) == content


def test_zeros_behind_gzip_are_padding() -> None:
    assert read_all(text_of(gzip.compress(b"a\n1\n") + bytes(2000))) == b"a\n1\n"


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_text_in_another_encoding_is_decoded(kind: str) -> None:
    text = text_of(PACKERS[kind]("é,ü\n".encode("utf-16")))
    assert read_all(text).decode() == "é,ü\n"
    assert text.facts["encoding"] == "utf-16-le"


@pytest.mark.parametrize(
    ("kind", "damage"),
    [("gzip", "cut"), ("gzip", "cut in the header"), ("gzip", "flipped"), ("gzip", "followed"), ("zstd", "cut"), ("zstd", "followed")],
)
def test_broken_packing_is_told(kind: str, damage: str) -> None:
    packed = bytearray(PACKERS[kind](CONTENT))
    if damage == "cut":
        del packed[-9:]
    elif damage == "cut in the header":
        del packed[5:]
    elif damage == "flipped":
        packed[len(packed) // 2] ^= 0xFF
    else:
        packed += b"something else"
    with pytest.raises(ConversionFailed, match=f"The {kind} file is broken or was cut off"):
        read_all(text_of(bytes(packed)))


def test_a_small_file_that_unpacks_to_a_large_one_is_read_piece_by_piece() -> None:
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = packed.compress(bytes(16 << 20).replace(b"\0", b"1")) + packed.flush()
    text = text_of(content)
    with text.open() as stream:
        sizes = [len(block) for block in iter(lambda: stream.read(1 << 18), b"")]
    assert sum(sizes) == 16 << 20
    assert max(sizes) <= 1 << 18


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty"), (b"\xef\xbb\xbf", "The file is empty"), (b"\xff\xfe", "The file is empty"),
        (gzip.compress(b""), "The file is empty"), (zstd(b""), "The file is empty"), (b"PAR1....", "a Parquet file already"),
        (b"PK\x03\x04....", "a zip archive"), (gzip.compress(b"PAR1...."), "a Parquet file already"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_told(content: bytes, reason: str) -> None:
    with pytest.raises(ConversionFailed, match=reason) as caught:
        text_of(content).samples()
    assert caught.value.hint


def test_samples_are_head_middle_and_tail_with_their_offsets() -> None:
    content = "".join(f"é{n:07}\n" for n in range(1000)).encode()
    samples = text_of(content, sample_bytes=1024).samples()
    assert [sample.first for sample in samples] == [True, False, False]
    assert [sample.last for sample in samples] == [False, False, True]
    for sample in samples:
        assert content[sample.offset : sample.offset + len(sample.data)] == sample.data
        assert len(sample.data) > 1000
    [whole] = text_of(content, sample_bytes=1 << 20).samples()
    assert (whole.data, whole.first, whole.last) == (content, True, True)


def test_offsets_do_not_count_the_byte_order_mark() -> None:
    content = "".join(f"é{n:07}\n" for n in range(1000))
    for sample in text_of(content.encode("utf-8-sig"), sample_bytes=1024).samples():
        assert content.encode()[sample.offset :].startswith(sample.data)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252", "utf-16-be"])
def test_samples_of_other_encodings_are_pieces_of_the_text(encoding: str) -> None:
    content = "".join(f"é{n:07}{'😀' if encoding.startswith('utf') else ''}\n" for n in range(1000))
    samples = text_of(content.encode(encoding), sample_bytes=1024, encoding=encoding).samples()
    assert [sample.offset for sample in samples] == [0, -1, -1]
    assert all(sample.data.decode() in content for sample in samples)
    assert samples[-1].data.decode().endswith(content[-20:])


@pytest.mark.parametrize("encoding", ["gb18030", "utf-7", "shift-jis"])
def test_what_can_only_be_read_from_its_start_has_one_long_sample(encoding: str) -> None:
    content = "".join(f"東{n:07}\n" for n in range(1000))
    [sample] = text_of(content.encode(encoding), sample_bytes=1024, encoding=encoding).samples()
    assert content.encode().startswith(sample.data)
    assert 2000 < len(sample.data) <= 3 * 1024 * 2


def test_a_packed_text_has_one_long_sample() -> None:
    [sample] = text_of(gzip.compress(CONTENT), sample_bytes=1024).samples()
    assert (len(sample.data), sample.first, sample.last) == (3 * 1024, True, False)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 20_000))
def test_places_of_samples_lie_within_the_source_and_do_not_meet(size: int, each: int) -> None:
    found = places(size, each)
    assert found[0][0] == 0
    assert found[-1][0] + found[-1][1] == size
    for (start, length), (following, _) in pairwise(found):
        assert start + length <= following
    assert all(start % 4 == 0 for start, _ in found)


def text_in(store: Store, path: Path) -> Text:
    return Text(StoreObject(store, store.stat(key_of(path))), ConvertOptions())


def test_an_object_is_summed_as_it_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "file.csv.gz"
    path.write_bytes(gzip.compress(CONTENT))
    seen: list[int] = []
    with text_in(local_store(tmp_path), path).open(seen.append) as stream:
        while stream.read(1000):
            pass
    assert stream.source_crc64 == f"{checksums.crc64nvme(path.read_bytes()):016x}"
    assert stream.source_bytes == path.stat().st_size == sum(seen)
    assert stream.text_bytes == len(CONTENT)


def test_an_object_that_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(CONTENT)
    text = text_in(local_store(tmp_path), path)
    text.samples()
    path.write_bytes(CONTENT * 2)
    with pytest.raises(SourceChanged):
        read_all(text)


def test_a_read_of_another_length_than_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(CONTENT)
    store = local_store(tmp_path)
    source = StoreObject(store, store.stat(key_of(path))).open(lambda _: None)
    monkeypatch.setattr(source, "_info", ObjectInfo("file.csv", len(CONTENT) + 1))
    with pytest.raises(SourceChanged, match=f"{len(CONTENT)} came"):
        source.finish()
    source.close()


def test_progress_can_cancel(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(CONTENT)

    def cancel(size_bytes: int) -> None:
        raise Cancelled

    with text_in(local_store(tmp_path), path).open(cancel) as stream, pytest.raises(Cancelled):
        stream.read(1000)


def test_the_checksum_that_the_store_keeps_is_compared(clouds: Clouds) -> None:
    with clouds.s3.open_write("file.csv", size_bytes=len(CONTENT)) as writer:
        writer.write(CONTENT)
        writer.commit()
    text = Text(StoreObject(clouds.s3, clouds.s3.stat("file.csv")), ConvertOptions(sample_bytes=1024))
    assert len(text.samples()) == 3
    with text.open() as stream:
        assert stream.read(len(CONTENT)) == CONTENT
        assert stream.compared == ""
        assert stream.read(1) == b""
    assert stream.compared == f"crc64nvme:{checksums.crc64nvme(CONTENT):016x}"


def test_bytes_that_differ_from_the_stored_checksum_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(CONTENT)
    store = local_store(tmp_path)
    text = text_in(store, path)
    stream = text.open()
    reader = stream._source._reader  # type: ignore[attr-defined]
    monkeypatch.setattr(stream._source, "_algorithm", "crc64nvme")
    object.__setattr__(reader.info, "checksums", {"crc64nvme": "0" * 16})
    with stream, pytest.raises(ProofFailed, match="stored is 0000"):
        while stream.read(1000):
            pass
