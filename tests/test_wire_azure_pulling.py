"""Azure fetches from a URL by itself: Put Blob From URL and Put Block From URL, from presigned S3 URLs, against the box."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from awscrt.checksums import combine_crc64nvme

from portal.errors import AlreadyExists, NotFound, ProofFailed, SourceChanged, SourceRefused, TargetLeased, explain
from portal.stores.checksums import crc64
from portal.wire.blob_end import BlobEnd
from portal.wire.ends import About, Block, Pin
from tests.adls_client import RawClient
from tests.servers import Server
from tests.wire_azure import end_to, make_container, put

DATA = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def bucket(s3_server: Server) -> Iterator[Any]:
    client = boto3.client("s3", endpoint_url=s3_server.url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
    client.create_bucket(Bucket="wirepulling")
    client.put_object(Bucket="wirepulling", Key="a b.bin", Body=DATA, ContentType="image/png", Metadata={"of": "source"})
    yield client
    client.close()


@pytest.fixture
def url(bucket: Any) -> str:
    found: str = bucket.generate_presigned_url("get_object", Params={"Bucket": "wirepulling", "Key": "a b.bin"}, ExpiresIn=600)
    return found


@pytest.fixture
def end(adls_server: Server) -> Iterator[BlobEnd]:
    make_container(adls_server, "wirepulling")
    made = end_to(adls_server, "wirepulling")
    assert isinstance(made, BlobEnd)
    yield made
    made.close()


def content(end: BlobEnd, key: str, size: int = len(DATA)) -> bytes:
    buffer = bytearray(size)
    end.read(Pin(key, size), memoryview(buffer))
    return bytes(buffer)


def test_a_small_object_is_fetched_by_one_request(end: BlobEnd, url: str, unique: str) -> None:
    md5 = hashlib.md5(DATA, usedforsecurity=False).digest()
    about = About("text/csv", {"cache-control": "no-cache"}, {"source_etag": "e"})
    assert end.put_from_url(unique, url, about, overwrite=False, md5=md5).checked
    found = end.find(unique)
    assert content(end, unique) == DATA and found.checksums == {"md5": md5.hex()}
    assert (found.about.content_type, found.about.headers, found.about.metadata) == ("text/csv", {"cache-control": "no-cache"}, {"source_etag": "e"})
    assert not end.put_from_url(f"{unique}2", url, About(), overwrite=False).checked
    bare = end.find(f"{unique}2").about
    assert (bare.content_type, bare.metadata) == ("application/octet-stream", {})  # nothing is taken over that was not asked for


def test_blocks_are_fetched_and_the_services_checksums_combine_to_the_whole(end: BlobEnd, url: str, unique: str) -> None:
    upload = end.begin(unique, About(), len(DATA), overwrite=False)
    blocks, whole = [], 0
    for number, start in enumerate(range(0, len(DATA), 4096)):
        size = min(4096, len(DATA) - start)
        mark, crc = end.put_block_from_url(unique, upload, number, url, start=start, size_bytes=size)
        assert crc == crc64(DATA[start : start + size])
        whole = combine_crc64nvme(whole, crc, size)
        blocks.append(Block(number, size, crc, mark))
    assert whole == crc64(DATA)
    assert end.commit(unique, upload, blocks, About("x/y"), overwrite=False, crc64=whole).checked
    assert content(end, unique) == DATA


def test_fetched_and_sent_blocks_make_one_object(end: BlobEnd, url: str, unique: str) -> None:
    upload = end.begin(unique, About(), 200, overwrite=False)
    mark, crc = end.put_block_from_url(unique, upload, 1, url, start=100, size_bytes=100, crc64=crc64(DATA[100:200]))
    first = end.put_block(unique, upload, 0, 0, memoryview(DATA[:100]), crc64=crc64(DATA[:100]))
    blocks = [Block(1, 100, crc, mark), Block(0, 100, crc64(DATA[:100]), first)]
    end.commit(unique, upload, blocks, About(), overwrite=False, crc64=0)
    assert content(end, unique, 200) == DATA[:200]


def test_a_checksum_that_the_source_does_not_have_is_no_success(end: BlobEnd, url: str, unique: str) -> None:
    upload = end.begin(unique, About(), 5, overwrite=False)
    with pytest.raises(ProofFailed, match="not the checksum that the source stores"):
        end.put_block_from_url(unique, upload, 0, url, start=0, size_bytes=5, crc64=1)
    with pytest.raises(ProofFailed, match="not the checksum that the source stores"):
        end.put_from_url(unique, url, About(), overwrite=False, md5=bytes(16))
    assert end.list_page(unique).keys == []


def test_the_source_must_be_the_one_that_was_meant(end: BlobEnd, bucket: Any, url: str, unique: str) -> None:
    etag = bucket.head_object(Bucket="wirepulling", Key="a b.bin")["ETag"].strip('"')
    upload = end.begin(unique, About(), 5, overwrite=False)
    assert end.put_block_from_url(unique, upload, 0, url, start=0, size_bytes=5, source_etag=etag)[1] == crc64(DATA[:5])
    with pytest.raises(SourceChanged, match="replaced or deleted"):
        end.put_block_from_url(unique, upload, 0, url, start=0, size_bytes=5, source_etag="0" * 32)


def test_a_source_that_cannot_be_read_is_told_without_its_url(end: BlobEnd, bucket: Any, unique: str) -> None:
    gone = bucket.generate_presigned_url("get_object", Params={"Bucket": "wirepulling", "Key": "no-such-key"}, ExpiresIn=600)
    nowhere = "http://127.0.0.1:1/x?X-Amz-Signature=secret"
    fetches: list[Callable[[str], object]] = [
        lambda url: end.put_from_url(unique, url, About(), overwrite=False),
        lambda url: end.put_block_from_url(unique, "0" * 16, 0, url, start=0, size_bytes=5),
    ]
    for url in (gone, nowhere, "http://[", "ftp://x/y?sig=secret", f"https://x/?sig=secret{'x' * 2048}", "https://x/\r\nsig=secret", "https://x/ä"):
        for fetch in fetches:
            with pytest.raises(SourceRefused, match=f"the source of abfss://wirepulling@devaccount/{unique}") as caught:
                fetch(url)
            text = explain(caught.value)
            assert "sig" not in text.lower() and "127.0.0.1" not in text and "no-such-key" not in text


def test_a_url_that_is_too_long_says_so(end: BlobEnd, unique: str) -> None:
    with pytest.raises(SourceRefused, match="its URL has 2049 characters, and 2048 is the limit"):
        end.put_from_url(unique, "https://x/".ljust(2049, "x"), About(), overwrite=False)


def test_what_is_there_is_kept_when_the_service_fetches_too(end: BlobEnd, url: str, unique: str) -> None:
    put(end, unique, b"mine")
    with pytest.raises(AlreadyExists):
        end.put_from_url(unique, url, About(), overwrite=False)
    assert content(end, unique, 4) == b"mine"
    end.put_from_url(unique, url, About(), overwrite=True)
    assert content(end, unique) == DATA


def test_a_missing_container_is_not_taken_for_a_missing_source(adls_server: Server, url: str) -> None:
    gone = end_to(adls_server, "nosuchcontainer")
    assert isinstance(gone, BlobEnd)
    for fetch in (
        lambda: gone.put_from_url("x", url, About(), overwrite=False), lambda: gone.put_block_from_url("x", "0" * 16, 0, url, start=0, size_bytes=5),
    ):  # fmt: skip
        with pytest.raises(NotFound, match="no container 'nosuchcontainer'"):
            fetch()
    gone.close()


class _Guarded(BaseHTTPRequestHandler):
    """A source that wants a token."""

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Bearer a.b.c"
        self.send_response(200 if known else 403)
        self.send_header("Content-Length", str(len(DATA) if known else 0))
        self.end_headers()
        self.wfile.write(DATA if known else b"")

    def log_message(self, *_: object) -> None:
        pass


def test_a_source_that_wants_a_token_is_given_it(end: BlobEnd, unique: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Guarded) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/x"
            end.put_from_url(unique, url, About(), overwrite=False, bearer="a.b.c")
            with pytest.raises(SourceRefused, match="403") as caught:
                end.put_from_url(unique, url, About(), overwrite=True, bearer="d.e.f")
        finally:
            server.shutdown()
    assert content(end, unique) == DATA and "d.e.f" not in explain(caught.value)


@pytest.mark.parametrize("kind", ["blob", "dfs"])
def test_a_leased_target_is_told(adls_server: Server, end: BlobEnd, url: str, unique: str, kind: str) -> None:
    put(end, unique, b"mine")
    with RawClient(adls_server) as client:
        leased = client.send("PUT", f"/wirepulling/{unique}", {"comp": "lease"}, x_ms_lease_action="acquire", x_ms_lease_duration="-1")
        assert leased.status == 201
        other = end_to(adls_server, "wirepulling", kind)
        for act in (
            lambda: put(other, unique, b"yours", overwrite=True), lambda: other.delete(unique),
            lambda: end.put_from_url(unique, url, About(), overwrite=True),
        ):  # fmt: skip
            with pytest.raises(TargetLeased, match="somebody holds a lease"):
                act()
        assert content(end, unique, 4) == b"mine"
        release = {"x_ms_lease_action": "release", "x_ms_lease_id": leased.headers["x-ms-lease-id"]}
        assert client.send("PUT", f"/wirepulling/{unique}", {"comp": "lease"}, **release).status == 200
        put(other, unique, b"yours", overwrite=True)
        other.close()
