"""The ADLS server fetches by itself: Put Block From URL, Put Blob From URL and Copy Blob from S3, from itself and from sources that misbehave."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from awscrt.checksums import combine_crc64nvme, crc64nvme
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock, BlobServiceClient, ContentSettings, generate_blob_sas
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.adls_client import Answer, RawClient
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server, start, stop
from tests.test_adls_server_auth import LATER

DATA = hashlib.shake_256(b"from url").digest(300_000)
LIST = '<?xml version="1.0" encoding="utf-8"?><BlockList>{}</BlockList>'


@pytest.fixture
def client(adls_server: Server) -> Iterator[RawClient]:
    with RawClient(adls_server) as made:
        yield made


@pytest.fixture
def box(client: RawClient, unique: str) -> str:
    return "/" + client.container(unique)


@pytest.fixture
def bucket(s3_server: Server, unique: str) -> Iterator[tuple[Any, str]]:
    s3 = boto3.client(
        "s3",
        endpoint_url=s3_server.url,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
        config=Config(signature_version="s3v4"),
    )
    s3.create_bucket(Bucket=unique)
    yield s3, unique
    s3.close()


def presigned(bucket: tuple[Any, str], key: str, expires_s: int = 60, **more: str) -> str:
    s3, name = bucket
    url: str = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": key, **more}, ExpiresIn=expires_s)
    return url


def block_id(number: int) -> str:
    return base64.b64encode(f"{number:06}".encode()).decode()


def crc_text(value: int) -> str:
    return base64.b64encode(value.to_bytes(8, "little")).decode()


def md5_text(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def put_block(client: RawClient, path: str, number: int, url: str, **headers: str) -> Answer:
    return client.send("PUT", path, {"comp": "block", "blockid": block_id(number)}, x_ms_copy_source=url, **headers)


def put_blob(client: RawClient, path: str, url: str, **headers: str) -> Answer:
    return client.send("PUT", path, x_ms_blob_type="BlockBlob", x_ms_copy_source=url, **headers)


def commit(client: RawClient, path: str, numbers: list[int]) -> Answer:
    return client.send("PUT", path, {"comp": "blocklist"}, LIST.format("".join(f"<Latest>{block_id(n)}</Latest>" for n in numbers)).encode())


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer


def test_blocks_come_from_s3_and_their_crcs_combine_to_the_objects_own(client: RawClient, box: str, bucket: tuple[Any, str]) -> None:
    bucket[0].put_object(Bucket=bucket[1], Key="a b/ü+%.bin", Body=DATA, ChecksumAlgorithm="CRC64NVME")
    stored = bucket[0].head_object(Bucket=bucket[1], Key="a b/ü+%.bin", ChecksumMode="ENABLED")["ChecksumCRC64NVME"]
    url, whole, sizes = presigned(bucket, "a b/ü+%.bin"), 0, []
    for number, first in enumerate(range(0, len(DATA), 100_001)):
        end = min(first + 100_001, len(DATA))
        answer = put_block(client, f"{box}/f", number, url, x_ms_source_range=f"bytes={first}-{end - 1}")
        assert answer.status == 201 and "content-md5" not in answer.headers, answer
        crc = int.from_bytes(base64.b64decode(answer.headers["x-ms-content-crc64"]), "little")
        whole = combine_crc64nvme(whole, crc, end - first)
        sizes.append(end - first)
    assert base64.b64encode(whole.to_bytes(8, "big")).decode() == stored
    assert commit(client, f"{box}/f", list(range(len(sizes)))).status == 201
    assert client.send("GET", f"{box}/f").body == DATA
    listed = client.send("GET", f"{box}/f", {"comp": "blocklist"}).xml()
    assert [int(size.text or "") for size in listed.iter("Size")] == sizes


def test_a_whole_source_may_be_one_block_and_an_open_range_goes_to_its_end(client: RawClient, box: str, bucket: tuple[Any, str]) -> None:
    bucket[0].put_object(Bucket=bucket[1], Key="o", Body=DATA)
    url = presigned(bucket, "o")
    assert put_block(client, f"{box}/f", 0, url).status == put_block(client, f"{box}/f", 1, url, x_ms_source_range="bytes=299990-").status == 201
    commit(client, f"{box}/f", [0, 1])
    assert client.send("GET", f"{box}/f").body == DATA + DATA[299_990:]


def test_what_came_is_compared_with_the_digests_that_were_sent(client: RawClient, box: str, bucket: tuple[Any, str]) -> None:
    bucket[0].put_object(Bucket=bucket[1], Key="o", Body=DATA)
    url, crc = presigned(bucket, "o"), crc_text(crc64nvme(DATA))
    assert put_block(client, f"{box}/f", 0, url, x_ms_source_content_crc64=crc).headers["x-ms-content-crc64"] == crc
    assert put_block(client, f"{box}/f", 0, url, x_ms_source_content_md5=md5_text(DATA)).headers["content-md5"] == md5_text(DATA)
    assert put_blob(client, f"{box}/g", url, x_ms_source_content_md5=md5_text(DATA)).headers["content-md5"] == md5_text(DATA)
    for send in (put_blob, lambda c, p, u, **h: put_block(c, p, 1, u, **h)):
        refused(send(client, f"{box}/h", url, x_ms_source_content_md5=md5_text(b"other")), 400, "Md5Mismatch")
        refused(send(client, f"{box}/h", url, x_ms_source_content_crc64=crc_text(crc64nvme(b"other"))), 400, "Crc64Mismatch")
        refused(
            send(client, f"{box}/h", url, x_ms_source_content_md5=md5_text(DATA), x_ms_source_content_crc64=crc), 400, "BothCrc64AndMd5HeaderPresent"
        )
    assert client.send("HEAD", f"{box}/h").status == 404 and client.send("GET", f"{box}/h", {"comp": "blocklist"}).status == 404


@pytest.mark.parametrize("data", [DATA, b""])
def test_a_blob_is_made_of_an_object_with_its_content_settings(client: RawClient, box: str, bucket: tuple[Any, str], data: bytes) -> None:
    bucket[0].put_object(
        Bucket=bucket[1],
        Key="o",
        Body=data,
        ContentType="text/csv",
        ContentEncoding="gzip",
        CacheControl="no-store",
        ContentLanguage="de",
        Metadata={"x": "y"},
    )
    url = presigned(bucket, "o")
    answer = put_blob(client, f"{box}/f", url, x_ms_blob_content_language="fr", x_ms_meta_mine="1", x_ms_access_tier="Cool")
    assert answer.status == 201 and "x-ms-content-crc64" not in answer.headers
    got = client.send("GET", f"{box}/f")
    assert got.body == data and got.headers["etag"] == answer.headers["etag"] and got.headers["content-md5"] == md5_text(data)
    names = ("content-type", "content-encoding", "cache-control", "content-language", "x-ms-meta-mine", "x-ms-access-tier")
    assert [got.headers[name] for name in names] == ["text/csv", "gzip", "no-store", "fr", "1", "Cool"]
    put_blob(client, f"{box}/f", url, x_ms_copy_source_blob_properties="false")
    got = client.send("HEAD", f"{box}/f")
    assert got.headers["content-type"] == "application/octet-stream" and "cache-control" not in got.headers


def test_conditions_on_the_source_and_on_the_target(client: RawClient, box: str, bucket: tuple[Any, str]) -> None:
    tag = bucket[0].put_object(Bucket=bucket[1], Key="o", Body=DATA)["ETag"]
    url = presigned(bucket, "o")
    for send in (put_blob, lambda c, p, u, **h: put_block(c, p, 1, u, **h)):
        assert send(client, f"{box}/f", url, x_ms_source_if_match=tag, x_ms_source_if_none_match='"other"').status == 201
        refused(send(client, f"{box}/f", url, x_ms_source_if_match='"other"'), 412, "SourceConditionNotMet")
        answer = send(client, f"{box}/f", url, x_ms_source_if_none_match=tag)
        assert (answer.status, answer.headers["x-ms-error-code"]) == (304, "CannotVerifyCopySource")
    refused(put_blob(client, f"{box}/f", url, If_None_Match="*"), 409, "BlobAlreadyExists")
    refused(put_blob(client, f"{box}/f", url, If_Match='"0x1"'), 412, "ConditionNotMet")


def test_a_source_in_azure_needs_credentials_of_its_own(adls_server: Server, client: RawClient, box: str) -> None:
    client.send("PUT", f"{box}/s", body=DATA, x_ms_blob_type="BlockBlob", x_ms_blob_content_type="a/b", x_ms_meta_kept="no")
    source = f"{adls_server.url}/{ADLS_ACCOUNT}{box}/s"
    sas = generate_blob_sas(ADLS_ACCOUNT, box[1:], "s", account_key=ADLS_KEY, permission="r", expiry=LATER)
    answer = put_blob(client, f"{box}/t", source)
    refused(answer, 401, "CannotVerifyCopySource")
    assert answer.headers["x-ms-copy-source-status-code"] == "401"
    assert answer.headers["x-ms-copy-source-error-code"] == "NoAuthenticationInformation" == answer.xml().findtext("CopySourceErrorCode")
    assert put_blob(client, f"{box}/t", f"{source}?{sas}").status == 201
    answer = put_blob(client, f"{box}/t", source, x_ms_copy_source_authorization="Bearer token")
    assert answer.headers["x-ms-copy-source-error-code"] == "InvalidAuthenticationInfo"
    refused(put_blob(client, f"{box}/t", source, x_ms_copy_source_authorization="SharedKey a:b"), 400, "InvalidHeaderValue")
    got = client.send("GET", f"{box}/t")
    assert got.body == DATA and got.headers["content-type"] == "a/b" and "x-ms-meta-kept" not in got.headers
    tag = client.send("HEAD", f"{box}/s").headers["etag"]
    assert put_block(client, f"{box}/u", 0, f"{source}?{sas}", x_ms_source_range="bytes=5-9", x_ms_source_if_match=tag).status == 201
    commit(client, f"{box}/u", [0])
    assert client.send("GET", f"{box}/u").body == DATA[5:10]


def test_what_s3_refuses_comes_back_with_its_status(client: RawClient, box: str, bucket: tuple[Any, str]) -> None:
    answer = put_blob(client, f"{box}/f", presigned(bucket, "none"))
    refused(answer, 404, "CannotVerifyCopySource")
    assert answer.headers["x-ms-copy-source-status-code"] == "404" and "x-ms-copy-source-error-code" not in answer.headers
    bucket[0].put_object(Bucket=bucket[1], Key="o", Body=b"short")
    refused(put_block(client, f"{box}/f", 0, presigned(bucket, "o"), x_ms_source_range="bytes=5-9"), 416, "CannotVerifyCopySource")
    refused(put_block(client, f"{box}/f", 0, presigned(bucket, "o"), x_ms_source_range="5-9"), 400, "InvalidHeaderValue")


@pytest.mark.parametrize("url", [
    "ftp://127.0.0.1/x", "/container/blob", "http://", "http://127.0.0.1:port/x", "http://127.0.0.1/a b", "http://user:pass@127.0.0.1/x",
    "http://127.0.0.1/" + "x" * 2032,
])  # fmt: skip
def test_urls_that_lead_nowhere(client: RawClient, box: str, url: str) -> None:
    refused(put_blob(client, f"{box}/f", url), 400, "InvalidSourceUri")


def test_a_url_of_two_kibibytes_is_asked(client: RawClient, box: str, bucket: tuple[Any, str]) -> None:
    bucket[0].put_object(Bucket=bucket[1], Key="o", Body=DATA)
    url = presigned(bucket, "o")
    assert put_blob(client, f"{box}/f", url + "&x=" + "x" * (2045 - len(url))).status == 201


def test_a_body_does_not_belong_there(client: RawClient, box: str) -> None:
    refused(
        client.send("PUT", f"{box}/f", body=b"x", x_ms_blob_type="BlockBlob", x_ms_copy_source="http://127.0.0.1:1/"), 400, "ContentLengthMustBeZero"
    )


class Odd(BaseHTTPRequestHandler):
    """A source that misbehaves as its path says."""

    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        status, headers, body = getattr(self, f"_{self.path.strip('/').partition('/')[0]}")()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _elsewhere(self) -> tuple[int, dict[str, str], bytes]:
        return 302, {"Location": "/whole", "Content-Length": "0"}, b""

    def _whole(self) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Length": str(len(DATA))}, DATA

    def _short(self) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Length": str(len(DATA))}, DATA[:-1]

    def _unknown(self) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, DATA

    def _slow(self) -> tuple[int, dict[str, str], bytes]:
        return 503, {"Content-Length": "0"}, b""

    def log_message(self, *_: object) -> None: ...


@contextmanager
def running(context: ssl.SSLContext | None = None) -> Iterator[tuple[Callable[[str], str], list[str]]]:
    """A source that misbehaves, and the paths it was asked for; over TLS with a context."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.seen = []  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    root = f"http://127.0.0.1:{server.server_address[1]}"
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        root = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield lambda path: f"{root}/{path}", server.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def odd() -> Iterator[tuple[Callable[[str], str], list[str]]]:
    with running() as made:
        yield made


def test_a_redirect_is_not_followed(client: RawClient, box: str, odd: tuple[Callable[[str], str], list[str]]) -> None:
    answer = put_blob(client, f"{box}/f", odd[0]("elsewhere"))
    assert (answer.status, answer.headers["x-ms-error-code"], odd[1]) == (302, "CannotVerifyCopySource", ["/elsewhere"])
    assert "location" not in answer.headers and client.send("HEAD", f"{box}/f").status == 404


def test_sources_that_break_off_or_are_overloaded(client: RawClient, box: str, odd: tuple[Callable[[str], str], list[str]]) -> None:
    refused(put_blob(client, f"{box}/f", odd[0]("short")), 500, "CannotVerifyCopySource")
    refused(put_block(client, f"{box}/f", 0, odd[0]("short")), 500, "CannotVerifyCopySource")
    refused(put_block(client, f"{box}/f", 0, odd[0]("whole"), x_ms_source_range="bytes=0-9"), 400, "CannotVerifyCopySource")
    refused(put_blob(client, f"{box}/f", odd[0]("slow")), 503, "CannotVerifyCopySource")
    assert client.send("HEAD", f"{box}/f").status == 404 and client.send("GET", f"{box}/f", {"comp": "blocklist"}).status == 404
    assert put_blob(client, f"{box}/f", odd[0]("unknown")).status == 201 and client.send("GET", f"{box}/f").body == DATA


def test_a_source_over_tls_must_be_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(datetime.datetime.now(datetime.UTC) - day).not_valid_after(datetime.datetime.now(datetime.UTC) + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with running(context) as (source, _):
        for trusted in (False, True):
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
            server = start("embedded.adls", "--root", str(tmp_path / f"adls-{trusted}"), "--account", f"{ADLS_ACCOUNT}={ADLS_KEY}")
            with RawClient(server) as client:
                client.container("tls")
                answer = put_blob(client, "/tls/f", source("whole"))
                assert answer.status == 201 if trusted else answer.code == "CannotVerifyCopySource", answer
                assert not trusted or client.send("GET", "/tls/f").body == DATA
            stop(server)


def test_a_source_that_nobody_serves(client: RawClient, box: str, odd: tuple[Callable[[str], str], list[str]]) -> None:
    refused(put_blob(client, f"{box}/f", "http://127.0.0.1:1/x"), 500, "CannotVerifyCopySource")


def test_an_empty_source_is_no_block(client: RawClient, box: str, bucket: tuple[Any, str]) -> None:
    bucket[0].put_object(Bucket=bucket[1], Key="o", Body=b"")
    refused(put_block(client, f"{box}/f", 0, presigned(bucket, "o")), 400, "InvalidInput")


def test_copies_come_from_other_servers_too(client: RawClient, box: str, bucket: tuple[Any, str]) -> None:
    bucket[0].put_object(Bucket=bucket[1], Key="o", Body=DATA, ContentType="text/csv")
    url = presigned(bucket, "o")
    answer = client.send("PUT", f"{box}/sync", x_ms_copy_source=url, x_ms_requires_sync="true")
    assert answer.status == 202 and answer.headers["x-ms-copy-status"] == "success"
    assert answer.headers["x-ms-content-crc64"] == crc_text(crc64nvme(DATA))
    assert client.send("PUT", f"{box}/f", x_ms_copy_source=url, x_ms_meta_a="b").status == 202
    got = client.send("GET", f"{box}/f")
    assert got.body == DATA and got.headers["x-ms-meta-a"] == "b" and got.headers["content-type"] == "text/csv"
    refused(
        client.send("PUT", f"{box}/f", {"comp": "copy", "copyid": got.headers["x-ms-copy-id"]}, x_ms_copy_action="abort"),
        409,
        "NoPendingCopyOperation",
    )
    assert got.headers["x-ms-copy-source"] == url.partition("?")[0] and got.headers["x-ms-copy-progress"] == f"{len(DATA)}/{len(DATA)}"


def test_the_sdk_uploads_from_urls(adls_server: Server, box: str, bucket: tuple[Any, str]) -> None:
    tag = bucket[0].put_object(Bucket=bucket[1], Key="o", Body=DATA, ContentType="text/csv")["ETag"]
    url = presigned(bucket, "o")
    with BlobServiceClient(f"{adls_server.url}/{ADLS_ACCOUNT}", credential=ADLS_KEY, retry_total=0) as service:
        blob = service.get_blob_client(box[1:], "from sdk")
        blob.upload_blob_from_url(
            url, overwrite=True, source_content_md5=bytearray(hashlib.md5(DATA, usedforsecurity=False).digest()), metadata={"a": "b"},
            source_etag=tag, source_match_condition=MatchConditions.IfNotModified, content_settings=ContentSettings(cache_control="no-store"),
        )  # fmt: skip
        found = blob.get_blob_properties()
        assert blob.download_blob().readall() == DATA and found.metadata == {"a": "b"} and found.content_settings.content_type == "text/csv"
        with pytest.raises(HttpResponseError, match="SourceConditionNotMet"):
            blob.upload_blob_from_url(url, overwrite=True, source_etag='"no"', source_match_condition=MatchConditions.IfNotModified)
        staged = service.get_blob_client(box[1:], "staged")
        for number in range(2):
            made = staged.stage_block_from_url(f"{number:06}", url, number * 150_000, 150_000)
            assert made["content_crc64"] == bytearray(crc64nvme(DATA[number * 150_000 :][:150_000]).to_bytes(8, "little"))
        staged.commit_block_list([BlobBlock("000000"), BlobBlock("000001")])
        assert staged.download_blob().readall() == DATA
        with pytest.raises(HttpResponseError, match="CannotVerifyCopySource") as caught:
            staged.stage_block_from_url("000002", presigned(bucket, "none"))
        assert caught.value.status_code == 404 and "X-Amz-Signature" not in str(caught.value)
        assert staged.start_copy_from_url(url, requires_sync=True)["copy_status"] == "success"
