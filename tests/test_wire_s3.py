"""Buckets as ends of the thin path, on two servers: moto, and SeaweedFS, which checks signatures and checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from urllib.request import urlopen

import pytest

from portal.connections import S3Connection
from portal.errors import AccessDenied, AlreadyExists, NotFound, ProofFailed, SourceChanged, UploadGone, explain
from portal.stores.checksums import crc64, crc64_hex
from portal.stores.opening import open_account
from portal.wire.ends import About, Access, Block, Pin, Written
from portal.wire.opening import open_end
from portal.wire.s3_end import S3End
from tests.servers import Server
from tests.weed import KEYS

ODD_KEYS = ["plain", "a b+c%20d~e", "ü/日本/😀.bin", "a/./b", "?&=#;:@!$'()*,[]<>\"", "x" * 200, "tab\tand\x01control", "trailing."]
PART = 5 << 20


def access_to(url: str, bucket: str, keys: tuple[str, str, str]) -> Access:
    host, _, port = url.removeprefix("http://").partition(":")
    return Access("s3", bucket, scheme="http", host=host, port=int(port), region="us-east-1", path_style=True, keys=keys)


@pytest.fixture(params=["moto", "weed"])
def end(request: pytest.FixtureRequest, unique: str) -> Iterator[S3End]:
    """A fresh bucket."""
    if request.param == "moto":
        server: Server = request.getfixturevalue("s3_server")
        url, keys = server.url, {"access_key_id": "testing", "secret_access_key": "testing-secret"}
    else:
        url, keys = request.getfixturevalue("strict_s3"), KEYS
    open_account(S3Connection(endpoint_url=url, **keys)).create_container(unique)
    found = open_end(access_to(url, unique, (keys["access_key_id"], keys["secret_access_key"], "")))
    assert isinstance(found, S3End)
    yield found
    found.close()


def is_weed(end: S3End) -> bool:
    return bool(end.access.keys and end.access.keys[0] == KEYS["access_key_id"])


def put(end: S3End, key: str, body: bytes, about: About | None = None, *, overwrite: bool = False) -> Written:
    return end.put(key, memoryview(body), about or About(), overwrite=overwrite, crc64=crc64(body))


def got(end: S3End, pin: Pin, start: int = 0, size: int | None = None) -> bytes:
    buffer = bytearray(pin.size_bytes if size is None else size)
    end.read(pin, memoryview(buffer), start=start)
    return bytes(buffer)


def put_parts(end: S3End, key: str, bodies: list[bytes], *, overwrite: bool = False) -> Written:
    whole = b"".join(bodies)
    upload = end.begin(key, About(), len(whole), overwrite=overwrite)
    blocks, start = [], 0
    for number, body in enumerate(bodies):
        mark = end.put_block(key, upload, number, start, memoryview(body), crc64=crc64(body))
        blocks.append(Block(number, len(body), crc64(body), mark))
        start += len(body)
    return end.commit(key, upload, blocks, About(), overwrite=overwrite, crc64=crc64(whole))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_what_is_put_under_any_key_is_found_listed_and_read(end: S3End, key: str) -> None:
    if key == "a/./b" and is_weed(end):
        pytest.skip("SeaweedFS takes the key for a path")
    body = key.encode() * 100
    written = put(end, key, body, About("text/x-test"))
    found = end.find(key)
    assert (found.size_bytes, found.etag, found.about.content_type) == (len(body), written.etag, "text/x-test")
    assert found.checksums["crc64nvme"] == crc64_hex(crc64(body))
    assert got(end, Pin(key, len(body), written.etag)) == body
    assert end.list_page("").keys == [key]


def test_what_belongs_to_an_object_is_kept(end: S3End) -> None:
    about = About(
        "text/csv", {"content-encoding": "gzip", "cache-control": "no-cache", "content-language": "de", "content-disposition": "inline"},
        {"portal_copy": "job.1", "two-words": "a  b"}, {"team": "a b+c", "year": "2026"}, "STANDARD",
    )  # fmt: skip
    put(end, "k", b"body", about)
    found = end.find("k")
    assert found.about.headers == about.headers
    assert (found.about.metadata["portal_copy"], found.about.content_type, found.tag_count) == ("job.1", "text/csv", 2)
    assert found.about.modified.endswith("Z")
    assert end.tags(Pin("k", 4, found.etag)) == about.tags


def test_parts_of_an_object_are_read(end: S3End) -> None:
    body = bytes(range(256)) * 8
    etag = put(end, "k", body).etag
    for start, size in ((0, 10), (100, 1000), (2000, 48), (0, 2048), (5, 0)):
        assert got(end, Pin("k", len(body), etag), start, size) == body[start : start + size]


def test_an_empty_object_is_one(end: S3End) -> None:
    etag = put(end, "k", b"").etag
    assert got(end, Pin("k", 0, etag)) == b""
    assert end.find("k").size_bytes == 0


def test_reading_tells_the_stored_checksums(end: S3End) -> None:
    etag = put(end, "k", b"0123456789").etag
    found = end.read(Pin("k", 10, etag), memoryview(bytearray(10)))
    assert found.checksums["crc64nvme"] == crc64_hex(crc64(b"0123456789"))
    assert found.checksums["md5"] == hashlib.md5(b"0123456789").hexdigest()


def test_a_source_that_was_replaced_or_deleted_or_grew_is_not_read(end: S3End) -> None:
    etag = put(end, "k", b"0123456789").etag
    put(end, "k", b"9876543210", overwrite=True)
    for pin in (Pin("k", 10, etag), Pin("k", 11)):
        for start, size in ((0, pin.size_bytes), (2, 5)):
            with pytest.raises(SourceChanged):
                got(end, pin, start, size)
    end.delete("k")
    with pytest.raises(SourceChanged, match="deleted"):
        got(end, Pin("k", 10, etag))
    with pytest.raises(SourceChanged):
        end.tags(Pin("k", 10, etag))


def test_an_existing_object_is_kept_unless_it_may_be_replaced(end: S3End) -> None:
    put(end, "k", b"old")
    with pytest.raises(AlreadyExists):
        put(end, "k", b"new")
    assert got(end, Pin("k", 3)) == b"old"
    put(end, "k", b"new", overwrite=True)
    assert got(end, Pin("k", 3)) == b"new"


def test_a_body_that_arrives_as_another_is_refused(end: S3End) -> None:
    if not is_weed(end):
        pytest.skip("moto compares no checksums")
    with pytest.raises(ProofFailed):
        end.put("k", memoryview(b"body"), About(), overwrite=False, crc64=crc64(b"bodx"))
    upload = end.begin("k", About(), 4, overwrite=False)
    with pytest.raises(ProofFailed):
        end.put_block("k", upload, 0, 0, memoryview(b"body"), crc64=crc64(b"bodx"))
    with pytest.raises(NotFound):
        end.find("k")


def test_the_md5_that_is_sent_along_is_compared(end: S3End) -> None:
    if not is_weed(end):
        pytest.skip("moto compares no checksums")
    end.put("k", memoryview(b"body"), About(), overwrite=False, crc64=crc64(b"body"), md5=hashlib.md5(b"body").digest())
    with pytest.raises(ProofFailed):
        end.put("other", memoryview(b"body"), About(), overwrite=False, crc64=crc64(b"body"), md5=hashlib.md5(b"bodx").digest())


def test_an_object_of_parts_appears_whole_with_the_checksum_of_the_whole(end: S3End) -> None:
    bodies = [b"a" * PART, b"b" * PART, b"c"]
    written = put_parts(end, "large", bodies)
    found = end.find("large")
    assert (found.size_bytes, found.etag, found.parts) == (2 * PART + 1, written.etag, 3)
    assert got(end, Pin("large", 2 * PART + 1, found.etag), PART - 1, 2) == b"ab"
    assert found.checksums.get("crc64nvme") in (crc64_hex(crc64(b"".join(bodies))), None)
    assert end.part_sizes(Pin("large", found.size_bytes, found.etag), 3) == [PART, PART, 1]


def test_parts_are_taken_in_any_order_and_twice_and_by_another_process(end: S3End) -> None:
    upload = end.begin("large", About(metadata={"portal_copy": "job.7"}), PART + 1, overwrite=False)
    other = open_end(end.access)
    last = other.put_block("large", upload, 1, PART, memoryview(b"z"), crc64=crc64(b"z"))
    for _ in range(2):
        first = end.put_block("large", upload, 0, 0, memoryview(b"a" * PART), crc64=crc64(b"a" * PART))
    with pytest.raises(NotFound):
        end.find("large")
    blocks = [Block(0, PART, crc64(b"a" * PART), first), Block(1, 1, crc64(b"z"), last)]
    other.commit("large", upload, blocks, About(), overwrite=False, crc64=crc64(b"a" * PART + b"z"))
    other.close()
    assert (end.find("large").size_bytes, end.find("large").about.metadata) == (PART + 1, {"portal_copy": "job.7"})


def test_an_object_that_appeared_meanwhile_is_kept(end: S3End) -> None:
    upload = end.begin("k", About(), 1, overwrite=False)
    mark = end.put_block("k", upload, 0, 0, memoryview(b"x"), crc64=crc64(b"x"))
    put(end, "k", b"theirs")
    with pytest.raises(AlreadyExists):
        end.commit("k", upload, [Block(0, 1, crc64(b"x"), mark)], About(), overwrite=False, crc64=crc64(b"x"))
    end.abort("k", upload, 1)
    assert got(end, Pin("k", 6)) == b"theirs"


def test_what_was_aborted_is_gone(end: S3End) -> None:
    upload = end.begin("k", About(), 1, overwrite=False)
    end.abort("k", upload, 1)
    end.abort("k", upload, 1)
    if not is_weed(end):
        pytest.skip("moto answers that it is broken")
    with pytest.raises(UploadGone):
        end.commit("k", upload, [Block(0, 1, crc64(b"x"), "mark")], About(), overwrite=False, crc64=crc64(b"x"))
    with pytest.raises(UploadGone):
        end.put_block("k", upload, 0, 0, memoryview(b"x"), crc64=crc64(b"x"))


def test_pages_follow_each_other_in_another_process_too(end: S3End) -> None:
    keys = sorted([f"p/{number:02}" for number in range(7)] + ["p/ü +%&<x>", "p/a\x02b"], key=str.encode)
    for key in [*keys, "other"]:
        put(end, key, key.encode())
    rows, continuation = [], None
    while True:
        fresh = open_end(end.access)
        page = fresh.list_page("p/", continuation=continuation, limit=4)
        fresh.close()
        rows += list(zip(page.keys, page.sizes, page.folders, strict=True))
        assert len(page.etags) == len(page.modified) == len(page.classes) == len(page.sources) == len(page.md5s) == len(page.keys) <= 4
        continuation = page.continuation
        if continuation is None:
            break
    assert rows == [(key, len(key.encode()), False) for key in keys]


def test_a_listing_says_what_finding_says(end: S3End) -> None:
    put(end, "k", b"0123456789")
    page, found = end.list_page(""), end.find("k")
    assert (page.sizes, page.etags, page.classes, page.continuation) == ([10], [found.etag], ["STANDARD"], None)
    assert page.modified[0][:19] == found.about.modified[:19]
    assert end.list_page("nothing/").keys == []


def test_deleting_takes_only_what_was_meant(end: S3End) -> None:
    etag = put(end, "k", b"old").etag
    put(end, "k", b"new", overwrite=True)
    with pytest.raises(SourceChanged):
        end.delete("k", etag=etag)
    end.delete("k", etag=end.find("k").etag)
    end.delete("k", etag=etag)
    end.delete("k")
    assert end.list_page("").keys == []


def test_a_presigned_url_reads_the_object(end: S3End) -> None:
    put(end, "a b/ü+", b"0123456789")
    with urlopen(end.presigned(Pin("a b/ü+", 10), expires_s=60)) as answer:
        assert answer.read() == b"0123456789"


def test_a_missing_bucket_is_told_from_a_missing_object(end: S3End) -> None:
    with pytest.raises(NotFound, match=r"no object s3://.*/none"):
        end.find("none")
    gone = S3End(replace(end.access, container="no-such-bucket-here"))
    writes = () if is_weed(end) else (lambda: put(gone, "k", b""),)  # SeaweedFS makes a bucket of whatever is written to
    try:
        for act in (lambda: gone.find("k"), lambda: gone.list_page(""), lambda: got(gone, Pin("k", 1)), *writes):
            with pytest.raises(NotFound, match="no bucket 'no-such-bucket-here'"):
                act()
    finally:
        gone.close()


def test_wrong_keys_are_refused_and_not_shown(strict_s3: str, unique: str) -> None:
    for keys in (("strict", "not-the-secret", ""), ("nobody", "not-the-secret", "")):
        end = S3End(access_to(strict_s3, unique, keys))
        for act in (lambda end=end: end.find("k"), lambda end=end: end.list_page(""), lambda end=end: put(end, "k", b"")):
            with pytest.raises(AccessDenied, match="the credentials are wrong") as caught:
                act()
            assert "not-the-secret" not in explain(caught.value)
        end.close()


def test_an_object_is_copied_by_the_store_itself(end: S3End) -> None:
    body, about = b"0123456789" * 100, About("text/csv", metadata={"portal_copy": "job.1"}, tags={"a": "b c"})
    etag = put(end, "a b/ü+%", body, About("text/x-other", metadata={"old": "1"})).etag
    written, crc = end.copy(Pin("a b/ü+%", len(body), etag), end.access.container, "copy", about, overwrite=False)
    found = end.find("copy")
    assert crc in (None, crc64(body))
    assert written.checked == (crc is not None)
    assert (found.etag, found.about.content_type, found.about.metadata) == (written.etag, "text/csv", {"portal_copy": "job.1"})
    assert got(end, Pin("copy", len(body), written.etag)) == body
    if is_weed(end):  # moto overwrites
        with pytest.raises(AlreadyExists):
            end.copy(Pin("a b/ü+%", len(body), etag), end.access.container, "copy", about, overwrite=False)


def test_a_source_that_changed_is_not_copied(end: S3End) -> None:
    etag = put(end, "k", b"old").etag
    put(end, "k", b"new", overwrite=True)
    for pin in (*([Pin("k", 3, etag)] if is_weed(end) else []), Pin("none", 3, etag)):  # moto knows no condition on the source
        with pytest.raises(SourceChanged, match=f"{pin.key} was replaced or deleted"):
            end.copy(pin, end.access.container, "copy", About(), overwrite=False)
    upload = end.begin("copy", About(), 3, overwrite=False)
    with pytest.raises(SourceChanged):
        end.copy_block("copy", upload, 0, Pin("none", 3, etag), end.access.container, start=0, size_bytes=3)
    end.abort("copy", upload, 3)
    assert end.list_page("copy").keys == []


def test_a_large_object_is_copied_by_parts(end: S3End) -> None:
    body = b"a" * PART + b"b"
    etag = put(end, "k", body).etag
    pin, upload, blocks = Pin("k", len(body), etag), end.begin("copy", About(), len(body), overwrite=False), []
    for number, (start, size) in enumerate(((0, PART), (PART, 1))):
        mark, crc = end.copy_block("copy", upload, number, pin, end.access.container, start=start, size_bytes=size)
        assert crc in (None, crc64(body[start : start + size]))
        blocks.append(Block(number, size, crc64(body[start : start + size]), mark))
    end.commit("copy", upload, blocks, About(), overwrite=False, crc64=crc64(body))
    assert got(end, Pin("copy", len(body))) == body
