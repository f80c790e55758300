"""One contract, three stores, each on a real server."""

from __future__ import annotations

import gzip
import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from azure.storage.filedatalake import ContentSettings

from portal.connections import AdlsConnection, LocalConnection, S3Connection
from portal.errors import AlreadyExists, NotFound, SourceChanged
from portal.stores import checksums, s3_copy
from portal.stores.base import Copies, ObjectInfo, Renames, Store, walk
from portal.stores.opening import open_account, open_store
from portal.stores.seekable import SeekableReader
from portal.stores.url import StoreURL
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server

KINDS = ("s3", "adls", "local")


def connection_to(kind: str, request: pytest.FixtureRequest, folder: Path) -> Any:
    if kind == "local":
        return LocalConnection(roots=(str(folder),))
    server: Server = request.getfixturevalue(f"{kind}_server")
    if kind == "s3":
        return S3Connection(endpoint_url=server.url, access_key_id="testing", secret_access_key="testing-secret")
    return AdlsConnection(account=ADLS_ACCOUNT, endpoint_url=f"{server.url}/{ADLS_ACCOUNT}", account_key=ADLS_KEY)


class Place:
    """A fresh container in one store and a prefix in it that is ours ('' but for local files)."""

    def __init__(self, kind: str, connection: Any, folder: Path, name: str) -> None:
        self.kind, self.connection = kind, connection
        self.account = open_account(connection)
        if kind != "local":
            self.account.create_container(name)
        self.base = f"{str(folder)[1:]}/" if kind == "local" else ""
        self.store: Store = self.account.store(name)

    def put(self, key: str, data: bytes, **options: Any) -> ObjectInfo:
        with self.store.open_write(self.base + key, **options) as writer:
            writer.write(data)
            return writer.commit()

    def get(self, key: str, **options: Any) -> bytes:
        with self.store.open_read(self.base + key, **options) as reader:
            return b"".join(iter(lambda: reader.read(1 << 20), b""))

    def keys(self, prefix: str = "", **options: Any) -> list[str]:
        return [info.key.removeprefix(self.base) for info in walk(self.store, self.base + prefix, **options)]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, unique: str) -> Iterator[Place]:
    found = Place(request.param, connection_to(request.param, request, tmp_path), tmp_path, unique)
    yield found
    found.store.close()


@pytest.mark.parametrize("size", [0, 1, 5_000, (8 << 20) + 1])
def test_what_is_written_is_read(place: Place, size: int) -> None:
    data = os.urandom(size)
    written = place.put("a/b.bin", data)
    found = place.store.stat(place.base + "a/b.bin")
    assert written.size_bytes == found.size_bytes == size
    assert written.etag == found.etag != ""
    assert place.get("a/b.bin") == data
    assert not found.is_folder


def test_blocks_of_any_size_make_one_object(place: Place) -> None:
    blocks = [os.urandom(size) for size in (3, 9 << 20, 0, 8 << 20, 17)]
    with place.store.open_write(place.base + "big") as writer:
        for block in blocks:
            assert writer.write(memoryview(block)) == len(block)
        writer.commit()
    assert place.get("big") == b"".join(blocks)


def test_content_type_and_metadata_are_kept(place: Place) -> None:
    if place.kind == "local":
        pytest.skip("a file has no place for them")
    place.put("typed", b"a,b", content_type="text/csv", metadata={"origin": "here"})
    found = place.store.stat("typed")
    assert (found.content_type, dict(found.metadata)) == ("text/csv", {"origin": "here"})


def test_a_range_is_read(place: Place) -> None:
    place.put("x", b"0123456789")
    assert place.get("x", start=3, length=4) == b"3456"
    assert place.get("x", start=8) == b"89"
    assert place.get("x", start=10) == b""
    assert place.get("x", start=4, length=0) == b""
    with place.store.open_read(place.base + "x", start=3, length=4) as reader:
        assert reader.info.size_bytes == 10


def test_nothing_is_seen_before_the_commit_and_nothing_stays_after_an_abort(place: Place) -> None:
    with place.store.open_write(place.base + "half") as writer:
        writer.write(os.urandom(9 << 20))
        assert place.keys() == []
        with pytest.raises(NotFound):
            place.store.stat(place.base + "half")
    assert place.keys() == []
    if place.kind == "local":
        assert not any(Path("/", place.base).iterdir())


def test_an_existing_object_is_not_overwritten_unless_asked(place: Place) -> None:
    place.put("x", b"old")
    with pytest.raises(AlreadyExists):
        place.put("x", b"new")
    assert place.get("x") == b"old"
    place.put("x", b"new", overwrite=True)
    assert place.get("x") == b"new"


def test_of_two_writers_of_one_name_the_second_to_commit_fails(place: Place) -> None:
    with place.store.open_write(place.base + "x") as first, place.store.open_write(place.base + "x") as second:
        first.write(b"first")
        second.write(b"second")
        first.commit()
        with pytest.raises(AlreadyExists):
            second.commit()
    assert place.get("x") == b"first"
    assert place.keys() == ["x"]


def test_a_pinned_read_refuses_what_was_replaced(place: Place) -> None:
    listed = place.put("x", b"old")
    assert place.get("x", pin=listed) == b"old"
    place.put("x", b"newer", overwrite=True)
    with pytest.raises(SourceChanged, match="replaced"):
        place.get("x", pin=listed)
    with pytest.raises(SourceChanged, match="replaced"):
        place.get("x", pin=listed, start=1, length=1)


def test_a_pinned_read_refuses_what_was_deleted(place: Place) -> None:
    listed = place.put("x", b"old")
    place.store.delete(place.base + "x")
    with pytest.raises(SourceChanged, match="deleted"):
        place.get("x", pin=listed)
    with pytest.raises(NotFound):
        place.get("x")


def test_the_listings_etag_pins(place: Place) -> None:
    place.put("x", b"old")
    (listed,) = walk(place.store, place.base)
    assert place.get("x", pin=listed) == b"old"


def test_a_listing_pages_through_everything(place: Place) -> None:
    names = [f"d{n % 3}/e/f{n:02}" for n in range(20)] + ["d1.txt", "top"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: place.put(name, name.encode()), names))
    assert sorted(place.keys(page_size=7)) == sorted(names)
    assert sorted(place.keys("d1/")) == sorted(name for name in names if name.startswith("d1/"))
    assert sorted(place.keys("d1")) == sorted(name for name in names if name.startswith("d1"))
    assert place.keys("nothing/") == []
    sizes = {info.key.removeprefix(place.base): info.size_bytes for info in walk(place.store, place.base)}
    assert sizes == {name: len(name) for name in names}


def test_a_flat_listing_names_the_folders(place: Place) -> None:
    for name in ("a/1", "a/b/2", "c", "d/3"):
        place.put(name, b"x")
    page = place.store.list_page(place.base, recursive=False)
    assert [info.key.removeprefix(place.base) for info in page.objects] == ["c"]
    assert sorted(prefix.removeprefix(place.base) for prefix in page.prefixes) == ["a/", "d/"]
    below = place.store.list_page(f"{place.base}a/", recursive=False)
    assert [info.key.removeprefix(place.base) for info in below.objects] == ["a/1"]
    assert [prefix.removeprefix(place.base) for prefix in below.prefixes] == ["a/b/"]


@pytest.mark.parametrize("name", ["with space", "per%20cent", "a+b&c=d?e#f", "ünï-日本", "quote'\"", "~tilde,;:@!$(){}[]"])
def test_names_are_taken_literally(place: Place, name: str) -> None:
    place.put(f"{name}/{name}.csv", b"1")
    assert place.keys() == [f"{name}/{name}.csv"]
    assert place.get(f"{name}/{name}.csv") == b"1"
    place.put(f"{name}/{name}.csv", b"2", overwrite=True)
    place.store.delete(f"{place.base}{name}/{name}.csv")
    assert place.keys() == []


def test_what_is_not_there_is_named(place: Place) -> None:
    with pytest.raises(NotFound, match="missing"):
        place.store.stat(place.base + "missing")
    with pytest.raises(NotFound, match="missing"):
        place.get("missing")
    place.store.delete(place.base + "missing")


def test_a_missing_container_is_named(place: Place) -> None:
    if place.kind == "local":
        pytest.skip("folders are made as needed")
    store = place.account.store("not-there-at-all")
    calls: list[Callable[[], object]] = [
        lambda: store.list_page(), lambda: store.stat("x"), lambda: store.open_read("x"), lambda: store.open_write("x"),
        lambda: store.open_write("x", overwrite=True).commit(),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(NotFound, match="not-there-at-all"):
            call()


def test_containers_are_made_once(place: Place, unique: str) -> None:
    name = f"{place.base}{unique}x" if place.kind == "local" else f"{unique}x"
    place.account.create_container(name)
    place.account.create_container(name)
    if place.kind != "local":
        assert name in place.account.containers()


def test_a_store_serves_many_threads(place: Place) -> None:
    data = {f"k{n}": os.urandom(3_000) for n in range(24)}
    gate = threading.Barrier(8)

    def turn(name: str) -> bytes:
        if int(name[1:]) < 8:
            gate.wait(10)
        place.put(name, data[name])
        return place.get(name)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(turn, data)) == list(data.values())


def test_a_rename_is_atomic_and_keeps_what_exists(place: Place) -> None:
    if not isinstance(place.store, Renames):
        pytest.skip("no atomic rename")
    place.put("old %41", b"1")
    place.put("there", b"2")
    with pytest.raises(AlreadyExists):
        place.store.rename(place.base + "old %41", place.base + "there")
    place.store.rename(place.base + "old %41", place.base + "new %42")
    assert sorted(place.keys()) == ["new %42", "there"]
    place.store.rename(place.base + "new %42", place.base + "there", overwrite=True)
    assert (place.keys(), place.get("there")) == (["there"], b"1")


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_copy_within_the_bucket_replaces_and_holds_to_its_source(place: Place, in_parts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(place.store, Copies):
        pytest.skip("it renames instead")
    if in_parts:
        monkeypatch.setattr(s3_copy, "MAX_COPY_BYTES", 1)
        monkeypatch.setattr(s3_copy, "_PART_BYTES", 5 << 20)
    data = os.urandom((6 << 20) + 1)
    first = place.put("é a.bin", data, metadata={"rows": "4"}, content_type="text/csv")
    place.put("b.bin", b"old")
    done = place.store.copy(first, "b.bin")
    assert (place.get("b.bin"), done.metadata, done.content_type) == (data, {"rows": "4"}, "text/csv")
    assert done.checksums.get("crc64nvme", crc64nvme(data)) == crc64nvme(data)
    place.store.delete("é a.bin")
    with pytest.raises(SourceChanged):
        place.store.copy(first, "b.bin")
    assert place.get("b.bin") == data


def crc64nvme(data: bytes) -> str:
    return checksums.crc64_hex(checksums.crc64(data))


def test_a_seekable_reader_is_a_file(place: Place) -> None:
    data = os.urandom(3 << 20)
    info = place.put("x", data)
    with SeekableReader(place.store, info) as raw, io.BufferedReader(raw) as file:
        file.seek(-8, io.SEEK_END)
        assert file.read() == data[-8:]
        file.seek(100)
        assert file.read(50) == data[100:150]
        file.seek(2_000_000)
        assert file.read() == data[2_000_000:]
        assert file.read(1) == b""


def test_the_url_opens_the_store(place: Place) -> None:
    place.put("x", b"1")
    store = open_store(place.store.url, place.connection)
    assert store.stat(place.base + "x").size_bytes == 1
    store.close()


def test_the_checksum_a_store_keeps_is_ours(place: Place) -> None:
    data = os.urandom((8 << 20) + 5)
    place.put("x", data)
    stored = place.store.stat(place.base + "x").checksums.get("crc64nvme")
    if place.kind == "s3":
        assert stored == checksums.crc64_hex(checksums.crc64(data))
    else:
        assert stored is None


def test_md5_is_kept_where_there_is_a_place(place: Place) -> None:
    with place.store.open_write(place.base + "x") as writer:
        writer.write(b"hello")
        writer.commit(md5="5d41402abc4b2a76b9719d911017c592")
    if place.kind != "local":
        assert place.store.stat("x").checksums["md5"] == "5d41402abc4b2a76b9719d911017c592"


def test_a_store_and_a_connection_of_different_kinds_do_not_meet(place: Place) -> None:
    other = "abfss://c@a/" if place.kind != "adls" else "s3://b/"
    with pytest.raises(Exception, match="connection of kind"):
        open_store(StoreURL.parse(other), place.connection)


def test_what_adls_calls_gzip_is_read_as_it_is_stored(request: pytest.FixtureRequest, tmp_path: Path, unique: str) -> None:
    place = Place("adls", connection_to("adls", request, tmp_path), tmp_path, unique)
    packed = gzip.compress(b"a,b\n1,2\n" * 1000)
    place.put("a.csv.gz", packed)
    client: Any = place.store.client  # type: ignore[attr-defined]
    client.get_file_client("a.csv.gz").set_http_headers(ContentSettings(content_type="text/csv", content_encoding="gzip"))
    assert place.get("a.csv.gz") == packed
    assert place.get("a.csv.gz", start=5, length=10) == packed[5:15]
    place.store.close()
