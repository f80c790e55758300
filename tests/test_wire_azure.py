"""Azure's Blob and dfs endpoints as ends of the thin path, against the box."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from azure.storage.blob import BlobClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.errors import (
    AccessDenied,
    AlreadyExists,
    NameNotAllowed,
    NotFound,
    ProofFailed,
    SourceChanged,
    StoreError,
    TargetLeased,
    Unreachable,
    UploadGone,
    explain,
)
from portal.stores.checksums import crc64
from portal.wire.azure_about import CONTENT_HEADERS, FOLDER_MARK, found_of, path_lines
from portal.wire.blob_end import BlobEnd
from portal.wire.connection import Connection
from portal.wire.dfs_end import DfsEnd
from portal.wire.ends import About, Block, Found, Pin
from tests.adls_client import RawClient
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server
from tests.wire_azure import Ends, container_sas, end_to, make_container, put, stage

KEYS = [
    "plain.csv", "a/b c/d+e.csv", "100%/50%25.csv", "x#y?z&w=1;v.csv", "Ünï/日本/😀.csv", "~tilde/'quote'\"/[x]{y}|<z>.csv", "..a/...b..c",
    "=,@$!*()",
]  # fmt: skip
SEGMENT = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"], exclude_characters="/\\\ufffe\uffff"), min_size=1, max_size=12
).filter(lambda name: not name.endswith("."))
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40).map(str.strip).filter(bool)
METADATA = st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,15}", fullmatch=True).filter(lambda name: name != FOLDER_MARK), VALUE, max_size=4)


@pytest.fixture(scope="module")
def container(adls_server: Server) -> str:
    make_container(adls_server, "wireazure")
    return "wireazure"


@pytest.fixture(params=["blob", "dfs"])
def end(request: pytest.FixtureRequest, adls_server: Server, container: str) -> Iterator[Ends]:
    made = end_to(adls_server, container, request.param)
    yield made
    made.close()


@pytest.fixture
def opened(end: Ends) -> Iterator[Callable[..., Ends]]:
    """Opens further ends of the same kind, with another Access."""
    with contextlib.ExitStack() as stack:
        yield lambda **changes: stack.enter_context(contextlib.closing(type(end)(replace(end.access, **changes))))


@pytest.fixture
def blob(adls_server: Server, container: str) -> Iterator[BlobEnd]:
    made = end_to(adls_server, container)
    assert isinstance(made, BlobEnd)
    yield made
    made.close()


def read(end: Ends, pin: Pin, *, start: int = 0, length: int | None = None) -> bytes:
    buffer = bytearray(pin.size_bytes - start if length is None else length)
    end.read(pin, memoryview(buffer), start=start)
    return bytes(buffer)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_any_kind_is_written_listed_found_and_read(end: Ends, unique: str, key: str) -> None:
    key = f"{unique}/{key}"
    written = put(end, key, b"hello", About(metadata={"source_etag": "e1"}))
    listed = end.list_page(f"{unique}/")
    assert [name for name, folder in zip(listed.keys, listed.folders, strict=True) if not folder] == [key]
    at = listed.keys.index(key)
    assert (listed.sizes[at], listed.etags[at]) == (5, written.etag)
    found = end.find(key)
    assert (found.size_bytes, found.etag, found.about.metadata) == (5, written.etag, {"source_etag": "e1"})
    assert listed.modified[at] == found.about.modified
    assert read(end, Pin(key, 5, written.etag)) == b"hello"
    end.delete(key, etag=written.etag)
    with pytest.raises(NotFound, match="There is no"):
        end.find(key)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(SEGMENT, min_size=1, max_size=3),
    metadata=METADATA,
    data=st.binary(max_size=100),
)
def test_keys_metadata_and_bytes_come_back_as_they_went(end: Ends, parts: list[str], metadata: dict[str, str], data: bytes) -> None:
    key = "/".join(["property", *parts])
    written = put(end, key, data, About(metadata=metadata))
    assert key in end.list_page(key).keys
    found = end.find(key)
    assert (found.size_bytes, found.about.metadata) == (len(data), metadata)
    assert read(end, Pin(key, len(data), written.etag)) == data
    end.delete(key)
    for depth in range(len(parts) - 1, 0, -1):  # a later name may be a file where this one has a folder
        end.delete("/".join(["property", *parts[:depth]]))


@pytest.mark.parametrize("size", [0, 1, 100_000, 3 << 20])
def test_sizes_headers_and_md5_are_kept(end: Ends, unique: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    kept = {"content-encoding": "gzip", "content-language": "de", "content-disposition": 'attachment; filename="x.csv"', "cache-control": "no-cache"}
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    written = put(end, unique, data, About("text/csv; charset=utf-8", {**kept, "expires": "never"}, {"a": "1"}), md5=md5)
    assert written.checked
    buffer = bytearray(size)
    for found in (end.find(unique), end.read(Pin(unique, size, written.etag), memoryview(buffer))):
        assert (found.size_bytes, found.etag) == (size, written.etag)
        assert (found.about.content_type, found.about.headers, found.about.metadata) == ("text/csv; charset=utf-8", kept, {"a": "1"})
        assert found.checksums == {"md5": md5.hex()}
    assert bytes(buffer) == data


def test_a_range_is_read(end: Ends, unique: str) -> None:
    data = bytes(range(250))
    pin = Pin(unique, 250, put(end, unique, data).etag)
    assert read(end, pin, start=17, length=100) == data[17:117]
    assert read(end, pin, start=249) == data[249:]
    assert read(end, pin, start=250, length=0) == b""
    assert read(end, pin) == data


def test_a_source_that_changed_is_told(end: Ends, unique: str) -> None:
    pin = Pin(unique, 5, put(end, unique, b"first").etag)
    again = put(end, unique, b"again", overwrite=True)
    with pytest.raises(SourceChanged, match=rf"{unique} was replaced after it was listed"):
        read(end, pin)
    with pytest.raises(SourceChanged, match="has 5 bytes now; 4 were listed"):
        read(end, Pin(unique, 4))
    with pytest.raises(SourceChanged, match="has 5 bytes now; 9 were listed"):
        read(end, Pin(unique, 9), start=1, length=3)
    with pytest.raises(SourceChanged, match="was replaced"):
        read(end, Pin(unique, 9), start=6, length=3)
    assert read(end, Pin(unique, 5, again.etag)) == b"again"
    end.delete(unique)
    with pytest.raises(SourceChanged, match="was deleted after it was listed"):
        read(end, Pin(unique, 5, again.etag))


def test_nothing_is_overwritten_unless_asked(end: Ends, unique: str) -> None:
    first = put(end, unique, b"mine")
    with pytest.raises(AlreadyExists, match=f"{unique} exists already"):
        put(end, unique, b"yours")
    upload = end.begin(unique, About(), 5, overwrite=False)
    blocks = [stage(end, unique, upload, 0, 0, b"yours")]
    with pytest.raises(AlreadyExists, match=f"{unique} exists already"):
        end.commit(unique, upload, blocks, About(), overwrite=False, crc64=0)
    end.abort(unique, upload, 5)
    assert read(end, Pin(unique, 4, first.etag)) == b"mine"
    assert put(end, unique, b"yours", overwrite=True).etag == end.find(unique).etag != first.etag
    assert end.list_page(unique).keys == [unique]


def test_a_folder_is_no_object_and_no_target(end: Ends, unique: str) -> None:
    put(end, f"{unique}/below", b"x")
    listed = end.list_page(unique)
    assert dict(zip(listed.keys, listed.folders, strict=True)) == {unique: True, f"{unique}/below": False}
    with pytest.raises(NotFound, match="is a folder"):
        end.find(unique)
    for overwrite in (False, True):
        with pytest.raises(AlreadyExists):
            put(end, unique, b"x", overwrite=overwrite)
    with pytest.raises(AlreadyExists):
        put(end, f"{unique}/below/deeper", b"x")
    with pytest.raises(StoreError, match="a folder that is not empty"):
        end.delete(unique)


def test_other_bytes_than_the_checksum_says_are_refused(end: Ends, unique: str) -> None:
    with pytest.raises(ProofFailed, match="did not arrive as it was sent"):
        end.put(unique, memoryview(b"hello"), About(), overwrite=False, crc64=crc64(b"hallo"))
    assert end.list_page(unique).keys == []
    upload = end.begin(unique, About(), 5, overwrite=False)
    with pytest.raises(ProofFailed, match="did not arrive as it was sent"):
        end.put_block(unique, upload, 0, 0, memoryview(b"hello"), crc64=crc64(b"hallo"))
    end.abort(unique, upload, 5)


def test_blocks_may_come_in_any_order_and_twice(end: Ends, unique: str) -> None:
    about = About("text/csv", {"cache-control": "no-store"}, {"portal_copy": "job.7"})
    upload = end.begin(unique, about, 250, overwrite=False)
    parts = [bytes([n]) * 100 for n in range(2)] + [b"z" * 50]
    blocks = [stage(end, unique, upload, n, n * 100, parts[n]) for n in (2, 0, 1, 0)]
    assert end.list_page(unique).keys == []
    md5 = hashlib.md5(b"".join(parts), usedforsecurity=False).digest()
    written = end.commit(unique, upload, blocks[:3], about, overwrite=False, crc64=0, md5=md5)
    found = end.find(unique)
    assert (found.etag, found.about.metadata, found.about.content_type) == (written.etag, {"portal_copy": "job.7"}, "text/csv")
    assert (found.checksums, found.about.headers) == ({"md5": md5.hex()}, {"cache-control": "no-store"})
    assert written.checked
    assert read(end, Pin(unique, 250, written.etag)) == b"".join(parts)


def test_blocks_are_put_by_several_connections_at_once(end: Ends, adls_server: Server, container: str, unique: str) -> None:
    upload = end.begin(unique, About(), 8 * 50_000, overwrite=False)
    found: list[Block] = []

    def run(numbers: range) -> None:
        own = type(end)(end.access)
        found.extend(stage(own, unique, upload, n, n * 50_000, bytes([n]) * 50_000) for n in numbers)
        own.close()

    threads = [threading.Thread(target=run, args=(range(first, 8, 4),)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = end.commit(unique, upload, found, About(), overwrite=False, crc64=0)
    assert read(end, Pin(unique, 400_000, written.etag)) == b"".join(bytes([n]) * 50_000 for n in range(8))


def test_an_upload_whose_blocks_are_gone_says_so(end: Ends, unique: str) -> None:
    upload = end.begin(unique, About(), 10, overwrite=False)
    there = stage(end, unique, upload, 0, 0, b"hello")
    missing = Block(1, 5, crc64(b"there"), there.mark and there.mark[:-1] + "Q")
    with pytest.raises(UploadGone, match="no longer there"):
        end.commit(unique, upload, [there, missing], About(), overwrite=False, crc64=0)
    assert end.list_page(unique).keys == []
    end.abort(unique, upload, 10)


def test_an_upload_that_was_taken_back_leaves_nothing(end: Ends, adls_server: Server, container: str, unique: str) -> None:
    upload = end.begin(f"{unique}/x", About(), 5, overwrite=False)
    stage(end, f"{unique}/x", upload, 0, 0, b"hello")
    end.abort(f"{unique}/x", upload, 5)
    end.abort(f"{unique}/x", upload, 5)
    with RawClient(adls_server) as client:
        assert [path for path in client.paths(container) if path.startswith(f"{unique}/")] == []


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_answer_leaves_no_hidden_file(
    monkeypatch: pytest.MonkeyPatch, adls_server: Server, container: str, unique: str, lost: int
) -> None:
    """Of the requests that make, fill and flush it."""
    real, count = Connection.request, itertools.count(1)

    def request(self: Connection, method: str, target: str, lines: Any = "", body: Any = b"") -> Any:
        answer = real(self, method, target, lines, body)
        if next(count) == lost:
            raise Unreachable("lost")
        return answer

    monkeypatch.setattr(Connection, "request", request)
    with contextlib.closing(end_to(adls_server, container, "dfs")) as end, pytest.raises(Unreachable, match="lost"):
        put(end, f"{unique}/x", b"hello")
    with RawClient(adls_server) as client:
        assert [path for path in client.paths(container) if path.startswith(f"{unique}/")] == []


def test_what_is_there_after_the_rename_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, adls_server: Server, container: str, unique: str
) -> None:
    monkeypatch.setattr(DfsEnd, "find", lambda *_: Found(4))
    with contextlib.closing(end_to(adls_server, container, "dfs")) as end, pytest.raises(ProofFailed, match="holds 4 bytes instead of the 5"):
        put(end, unique, b"hello")


def test_no_rename_is_asked_for_over_a_file_that_somebody_leases(
    monkeypatch: pytest.MonkeyPatch, adls_server: Server, container: str, unique: str
) -> None:
    """The service would break the lease."""
    real, renames = Connection.request, []

    def request(self: Connection, method: str, target: str, lines: Any = "", body: Any = b"") -> Any:
        renames.extend([target] * ("x-ms-rename-source" in str(lines)))
        return real(self, method, target, lines, body)

    with contextlib.closing(end_to(adls_server, container, "dfs")) as end:
        put(end, f"{unique}/x", b"theirs")
        url = f"{adls_server.url}/{ADLS_ACCOUNT}"
        with BlobClient(url, container, f"{unique}/x", credential=ADLS_KEY) as blob, monkeypatch.context() as patch:
            lease = blob.acquire_lease()
            patch.setattr(Connection, "request", request)
            with pytest.raises(TargetLeased, match="holds a lease"):
                put(end, f"{unique}/x", b"ours", overwrite=True)
            assert renames == [] and read(end, Pin(f"{unique}/x", 6)) == b"theirs"
            lease.release()
            put(end, f"{unique}/x", b"ours", overwrite=True)
            put(end, f"{unique}/fresh", b"ours", overwrite=True)
            assert len(renames) == 2
    with RawClient(adls_server) as client:
        assert [path for path in client.paths(container) if path.startswith(f"{unique}/")] == [f"{unique}/fresh", f"{unique}/x"]


def test_the_blocks_of_two_attempts_never_mix(blob: BlobEnd, unique: str) -> None:
    first, second = blob.begin(unique, About(), 10, overwrite=False), blob.begin(unique, About(), 10, overwrite=False)
    old = [stage(blob, unique, first, n, n * 5, b"old__") for n in range(2)]
    new = [stage(blob, unique, second, n, n * 5, b"new__") for n in range(2)]
    assert len({block.mark for block in old + new}) == 4 and len({len(block.mark) for block in old + new}) == 1
    assert all(block.mark.isalnum() for block in old + new)
    written = blob.commit(unique, second, new, About(), overwrite=False, crc64=0)
    assert read(blob, Pin(unique, 10, written.etag)) == b"new__new__"
    with pytest.raises(UploadGone):
        blob.commit(unique, first, old, About(), overwrite=True, crc64=0)
    assert read(blob, Pin(unique, 10, written.etag)) == b"new__new__"


def test_the_list_of_committed_blocks_is_compared(blob: BlobEnd, unique: str) -> None:
    upload = blob.begin(unique, About(), 5, overwrite=False)
    block = stage(blob, unique, upload, 0, 0, b"hello")
    with pytest.raises(ProofFailed, match="not made of the 1 blocks"):
        blob.commit(unique, upload, [block._replace(size_bytes=6)], About(), overwrite=False, crc64=0)
    with pytest.raises(ProofFailed, match="replaced by somebody else"):
        blob._compare(unique, "0x1", [block])


def test_credentials_that_may_not_read_write_without_the_comparison(blob: BlobEnd, container: str, unique: str) -> None:
    writer = BlobEnd(replace(blob.access, sas=container_sas(container, "cw")))
    upload = writer.begin(unique, About(), 5, overwrite=False)
    assert not writer.commit(unique, upload, [stage(writer, unique, upload, 0, 0, b"hello")], About(), overwrite=False, crc64=0).checked
    assert put(writer, f"{unique}2", b"x").checked
    assert read(blob, Pin(unique, 5)) == b"hello"
    writer.close()


@pytest.mark.parametrize(
    ("granted", "act", "needed"),
    [
        ("l", lambda end: read(end, Pin("x", 1)), "read (r)"),
        ("r", lambda end: end.list_page(""), "list (l)"),
        ("rl", lambda end: put(end, "new", b"x"), "create"),
        ("rl", lambda end: end.delete("x"), "delete (d)"),
    ],
)
def test_what_is_not_granted_is_named(
    end: Ends, opened: Callable[..., Ends], container: str, granted: str, act: Callable[[Ends], object], needed: str
) -> None:
    put(end, "x", b"x", overwrite=True)
    with pytest.raises(AccessDenied, match="is not allowed with these credentials") as caught:
        act(opened(sas=container_sas(container, granted)))
    text = explain(caught.value)
    assert "Ask for a role" in text and needed in text and "sig=" not in text


@pytest.mark.parametrize(
    "act",
    [
        lambda gone: read(gone, Pin("x", 1)), lambda gone: gone.list_page("a/"), lambda gone: put(gone, "x", b"1"), lambda gone: gone.delete("x"),
        lambda gone: gone.find("x"),
    ],
)  # fmt: skip
def test_a_missing_container_is_told_by_every_call(adls_server: Server, end: Ends, act: Callable[[Ends], object]) -> None:
    with contextlib.closing(end_to(adls_server, "nosuchcontainer", end.access.kind)) as gone, pytest.raises(NotFound) as caught:
        act(gone)
    assert caught.value.message == "There is no container 'nosuchcontainer' in the account 'devaccount'."


def test_deleting_is_only_of_the_one_that_was_meant(end: Ends, unique: str) -> None:
    old = put(end, unique, b"1").etag
    put(end, unique, b"2", overwrite=True)
    with pytest.raises(SourceChanged, match="another object"):
        end.delete(unique, etag=old)
    end.delete(unique, etag=end.find(unique).etag)
    end.delete(unique)


def test_pages_follow_each_other(end: Ends, opened: Callable[..., Ends], unique: str) -> None:
    for n in range(7):
        put(end, f"{unique}/{n}", b"x" * n)
    put(end, f"{unique}x", b"")
    keys: list[str] = []
    continuation: str | None = None
    for _ in range(10):
        page = opened().list_page(f"{unique}/", continuation=continuation, limit=3)
        columns = (page.keys, page.sizes, page.etags, page.modified, page.classes, page.folders, page.sources, page.md5s)
        assert len(page.keys) <= 3 and len({len(column) for column in columns}) == 1
        keys += page.keys
        continuation = page.continuation
        if continuation is None:
            break
    assert keys == [f"{unique}/{n}" for n in range(7)]
    assert end.list_page(f"{unique}/no/such/").keys == end.list_page(f"{unique}/1/").keys == []
    assert end.list_page(f"{unique}x").keys == [f"{unique}x"]


def test_what_is_being_written_is_not_listed(end: Ends, adls_server: Server, container: str, unique: str) -> None:
    dfs = end_to(adls_server, container, "dfs")
    upload = dfs.begin(f"{unique}/x", About(), 1, overwrite=False)
    put(end, f"{unique}/y", b"")
    assert end.list_page(f"{unique}/").keys == [f"{unique}/y"]
    dfs.abort(f"{unique}/x", upload, 1)
    dfs.close()


def test_the_listing_of_blobs_tells_where_they_came_from(blob: BlobEnd, unique: str) -> None:
    put(blob, unique, b"hello", About(metadata={"source_etag": "a&b<c>", "x": "1"}))
    page = blob.list_page(unique)
    assert page.sources == ["a&b<c>"]
    assert page.md5s == [hashlib.md5(b"hello", usedforsecurity=False).hexdigest()]
    assert page.classes == ["Hot"]


def test_tiers_are_set_and_archived_blobs_are_known(blob: BlobEnd, unique: str) -> None:
    put(blob, f"{unique}/cool", b"x", About(storage_class="Cool"))
    put(blob, f"{unique}/archive", b"x", About(storage_class="Archive"))
    put(blob, f"{unique}/plain", b"x")
    assert [blob.find(f"{unique}/{name}").about.storage_class for name in ("cool", "plain")] == ["Cool", ""]
    assert [blob.find(f"{unique}/{name}").archived for name in ("cool", "archive")] == [False, True]
    assert blob.list_page(f"{unique}/").classes == ["Archive", "Cool", "Hot"]


def test_the_dfs_endpoint_refuses_what_it_has_no_place_for(adls_server: Server, container: str, unique: str) -> None:
    end = end_to(adls_server, container, "dfs")
    for about, what in ((About(storage_class="Cool"), "access tier"), (About(tags={"a": "b"}), "tags")):
        with pytest.raises(StoreError, match=f"stores no {what}"):
            put(end, unique, b"x", about)
    end.close()


def test_there_are_no_tags_with_a_hierarchical_namespace(end: Ends, unique: str) -> None:
    etag = put(end, unique, b"x").etag
    assert end.tags(Pin(unique, 1, etag)) == {}
    assert end.part_sizes(Pin(unique, 1, etag), 0) == []


@pytest.mark.parametrize("key", ["..", "a/../../other/x", "./x", "a/.", "x\ud800y"])
def test_a_key_never_leads_out_of_the_container(opened: Callable[..., Ends], key: str) -> None:
    """Nothing is sent: there is nobody at this end's address."""
    end = opened(port=1)
    for act in (lambda: put(end, key, b"x"), lambda: end.find(key), lambda: end.delete(key), lambda: read(end, Pin(key, 1))):
        with pytest.raises(NameNotAllowed, match="cannot be a name in ADLS"):
            act()


@pytest.mark.parametrize(
    "about",
    [
        About(metadata={"a": "x\r\nx-ms-meta-b: y"}), About(metadata={"a b": "x"}), About(metadata={"ä": "x"}), About(metadata={"a": "ü"}),
        About("text/csv\n"), About(headers={"cache-control": "a\r\nb: c"}), About(storage_class="Hot\r\nx: y"), About(metadata={"1a": "x"}),
    ],
)  # fmt: skip
def test_nothing_slips_into_the_headers(opened: Callable[..., Ends], about: About) -> None:
    """Nothing is sent: there is nobody at this end's address."""
    with pytest.raises((NameNotAllowed, StoreError), match=r"printable ASCII|letters, digits and '_'|stores no"):
        put(opened(port=1), "x", b"x", about)


def test_no_etag_ends_the_line_of_its_condition(opened: Callable[..., Ends]) -> None:
    """What a listing tells of an object is sent again when it is read, pulled or deleted."""
    nowhere, etag = opened(port=1), 'x"\r\nx-ms-meta-a: "b'
    acts = [lambda: read(nowhere, Pin("x", 1, etag)), lambda: nowhere.delete("x", etag=etag)]
    if isinstance(nowhere, BlobEnd):
        acts.append(lambda: nowhere.put_block_from_url("x", "0" * 16, 0, "https://a/b", start=0, size_bytes=1, source_etag=etag))
    for act in acts:
        with pytest.raises(StoreError, match="control character"):
            act()


@given(metadata=METADATA, kept=st.dictionaries(st.sampled_from(sorted(CONTENT_HEADERS)), VALUE))
def test_what_the_dfs_endpoint_is_told_is_what_it_tells(metadata: dict[str, str], kept: dict[str, str]) -> None:
    lines = path_lines(About("text/csv", kept, metadata)).split("\r\n")[:-1]
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    told = {name.removeprefix("x-ms-") if name != "x-ms-properties" else name: value for name, value in headers.items()}
    about = found_of(told, 0, "x").about
    assert (about.content_type, about.headers, about.metadata) == ("text/csv", kept, metadata)


def test_a_service_that_is_not_there_is_unreachable(opened: Callable[..., Ends]) -> None:
    nowhere = opened(port=1)
    for act in (lambda: read(nowhere, Pin("x", 1)), lambda: put(nowhere, "x", b""), lambda: nowhere.list_page("")):
        with pytest.raises(Unreachable):
            act()
    nowhere.abort("x", "y", 1)


def test_a_process_that_moves_objects_does_not_load_the_sdk() -> None:
    code = (
        "import sys, portal.wire.blob_end, portal.wire.dfs_end;"
        "heavy = [name for name in ('azure', 'boto3', 'pydantic', 'pyarrow', 'ssl', 'asyncio') if name in sys.modules];"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
