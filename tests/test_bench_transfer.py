"""The transfer benchmark: the null source and sink say the truth, what a run took is told whole, and the table is complete."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import boto3
import pytest
from awscrt.checksums import crc64nvme
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, ContainerClient, ContentSettings
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.queue.measuring import ROOT
from bench.transfer import null_server
from bench.transfer.measuring import Command, Run, measured, middle_of
from bench.transfer.null_server import ACCOUNT, KEY, Bucket, NoCompiler, NullServer, serving

SMALL = Bucket("small", 2_345, 1 << 10)
LARGE = Bucket("large", 3, 5 << 20)
_ONE_SERVER = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("null-data") / "known-bytes"
    null_server.make_data(path)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[NullServer]:
    with serving(tmp_path_factory.mktemp("null"), [SMALL, LARGE, Bucket("empty", 0, 0)], data) as running:
        yield running


@pytest.fixture
def s3(server: NullServer) -> BaseClient:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=server.url, config=Config(s3={"addressing_style": "path"}), **keys)


@pytest.fixture
def sink(server: NullServer, unique: str) -> Iterator[ContainerClient]:
    client = ContainerClient(f"{server.url}/{ACCOUNT}", unique, credential={"account_name": ACCOUNT, "account_key": KEY})
    yield client
    client.close()
    server.forget(unique)


def key(number: int) -> str:
    return f"part-{number:08d}.bin"


def known(data: Path, start: int, count: int) -> bytes:
    with data.open("rb") as file:
        file.seek(start)
        return file.read(count)


@given(
    prefix=st.one_of(st.just(""), st.integers(0, 2_500).map(key).flatmap(lambda whole: st.integers(0, 17).map(lambda cut: whole[:cut]))),
    after=st.one_of(st.just(""), st.integers(0, 2_500).map(key), st.text("part-0129.bin", max_size=18)), limit=st.integers(1, 1_500),
)  # fmt: skip
@_ONE_SERVER
def test_a_listing_pages_through_exactly_the_keys_that_match(server: NullServer, s3: BaseClient, prefix: str, after: str, limit: int) -> None:
    wanted = [name for name in map(key, range(SMALL.count)) if name.startswith(prefix) and name > after]
    found: list[str] = []
    asked = {"Bucket": "small", "Prefix": prefix, "MaxKeys": limit, **({"StartAfter": after} if after else {})}
    while len(found) <= 3 * limit:
        page = s3.list_objects_v2(**asked)
        assert page["KeyCount"] == len(page.get("Contents", [])) <= min(limit, 1000)
        found += [item["Key"] for item in page.get("Contents", [])]
        if not page["IsTruncated"]:
            break
        asked["ContinuationToken"] = page["NextContinuationToken"]
    assert found == wanted[: len(found)] and (len(found) == len(wanted) or len(found) > 3 * limit)


@given(start=st.integers(0, LARGE.size_bytes - 1), count=st.integers(1, 300_000))
@_ONE_SERVER
def test_a_range_is_those_bytes(server: NullServer, s3: BaseClient, data: Path, start: int, count: int) -> None:
    got = s3.get_object(Bucket="large", Key=key(1), Range=f"bytes={start}-{start + count - 1}")
    whole = known(data, start, min(count, LARGE.size_bytes - start))
    assert got["Body"].read() == whole
    assert got["ContentRange"] == f"bytes {start}-{start + len(whole) - 1}/{LARGE.size_bytes}"


@pytest.mark.parametrize("changed", [0, 7])
def test_an_object_is_what_its_listing_and_checksums_say(server: NullServer, s3: BaseClient, data: Path, changed: int) -> None:
    server.change("small", changed)
    try:
        listed = {item["Key"]: item for item in s3.list_objects_v2(Bucket="small", MaxKeys=200)["Contents"]}
        for number in (0, 6, 7, 99, 106, 107):
            item, got = listed[key(number)], s3.get_object(Bucket="small", Key=key(number), ChecksumMode="ENABLED")
            body = got["Body"].read()
            assert body == known(data, (16 << 20) if number % 100 < changed else 0, SMALL.size_bytes)
            assert item["ETag"] == got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
            assert (item["Size"], item["LastModified"]) == (len(body), got["LastModified"])
            assert base64.b64decode(got["ChecksumCRC64NVME"]) == crc64nvme(body).to_bytes(8)
    finally:
        server.change("small", 0)


def test_a_pinned_read_of_another_version_is_refused(server: NullServer, s3: BaseClient) -> None:
    etag = s3.head_object(Bucket="small", Key=key(5))["ETag"]
    assert s3.get_object(Bucket="small", Key=key(5), IfMatch=etag)["ContentLength"] == SMALL.size_bytes
    server.change("small", 50)
    try:
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.get_object(Bucket="small", Key=key(5), IfMatch=etag)
    finally:
        server.change("small", 0)
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="small", Key=key(SMALL.count))


def test_a_blob_is_remembered_with_everything_but_its_bytes(server: NullServer, sink: ContainerClient) -> None:
    md5 = hashlib.md5(b"abc").digest()
    put = sink.upload_blob(
        "a/b c ü.txt", b"abc", metadata={"source_etag": "<&>"}, content_settings=ContentSettings("text/plain", content_md5=bytearray(md5))
    )
    found = put.get_blob_properties()
    assert (found.size, found.content_settings.content_type, bytes(found.content_settings.content_md5)) == (3, "text/plain", md5)
    (listed,) = sink.list_blobs(include=["metadata"])
    assert (listed.name, listed.size, listed.etag, listed.metadata) == ("a/b c ü.txt", 3, found.etag.strip('"'), {"source_etag": "<&>"})
    with pytest.raises(ResourceExistsError):
        sink.upload_blob("a/b c ü.txt", b"other")
    with pytest.raises(ResourceModifiedError):
        sink.upload_blob("a/b c ü.txt", b"other", overwrite=True, etag='"0x8DEFFF"', match_condition=_if_same())
    sink.upload_blob("a/b c ü.txt", b"other", overwrite=True)
    assert server.container(sink.container_name) | {"with_md5": 0} == {
        "blobs": 1, "bytes": 5, "committed_again": 1, "blocks_twice": 0, "staged_bytes": 0, "with_md5": 0,
    }  # fmt: skip
    sink.delete_blob("a/b c ü.txt")
    with pytest.raises(ResourceNotFoundError):
        put.get_blob_properties()


def _if_same() -> object:
    from azure.core import MatchConditions

    return MatchConditions.IfNotModified


def test_a_blob_of_blocks_holds_what_its_list_names(server: NullServer, sink: ContainerClient) -> None:
    blob, (one, two, three) = sink.get_blob_client("big"), (base64.b64encode(b"%03d" % number).decode() for number in range(3))
    for name, size in ((one, 10), (two, 20), (three, 30), (two, 25)):
        blob.stage_block(name, b"x" * size)
    assert server.container(sink.container_name)["blocks_twice"] == 1
    with pytest.raises(HttpResponseError, match="InvalidBlockList"):
        blob.commit_block_list([BlobBlock(one), BlobBlock(base64.b64encode(b"999").decode())])
    assert [item.size for item in blob.get_block_list("uncommitted")[1]] and server.container(sink.container_name)["blobs"] == 0
    blob.commit_block_list([BlobBlock(two), BlobBlock(one)])
    committed, staged = blob.get_block_list("all")
    assert ([(item.id, item.size) for item in committed], staged) == ([(two, 25), (one, 10)], [])
    assert blob.get_blob_properties().size == 35


def test_a_bucket_that_was_made_takes_objects_and_tells_them_but_for_their_bytes(server: NullServer, s3: BaseClient, unique: str) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket=unique, Key="a", Body=b"")
    s3.create_bucket(Bucket=unique)
    body = b"twelve bytes"
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    put = s3.put_object(Bucket=unique, Key="a/b c ü&.txt", Body=body, Metadata={"source": "here"}, ContentMD5=md5, ChecksumAlgorithm="CRC64NVME")
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    found = s3.head_object(Bucket=unique, Key="a/b c ü&.txt", ChecksumMode="ENABLED")
    told = base64.b64encode(crc64nvme(body).to_bytes(8, "big")).decode()
    assert (found["ContentLength"], found["Metadata"], found["ChecksumCRC64NVME"]) == (12, {"source": "here"}, told)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=unique, Key="a/b c ü&.txt", Body=b"other", IfNoneMatch="*")
    for number in range(25):
        s3.put_object(Bucket=unique, Key=f"x/{number:02d}", Body=b"-" * number)
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=unique, Prefix="x/", PaginationConfig={"PageSize": 10}))
    assert [len(page["Contents"]) for page in pages] == [10, 10, 5]
    assert [(item["Key"], item["Size"]) for page in pages for item in page["Contents"]] == [(f"x/{number:02d}", number) for number in range(25)]
    assert server.container(unique)["blobs"] == 26
    s3.delete_object(Bucket=unique, Key="x/07")
    assert s3.list_objects_v2(Bucket=unique)["KeyCount"] == 25
    s3.delete_bucket(Bucket=unique)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket=unique)


def test_an_object_in_parts_is_there_when_its_list_was_sent(server: NullServer, s3: BaseClient, unique: str) -> None:
    s3.create_bucket(Bucket=unique)
    where = {"Bucket": unique, "Key": "big"}
    upload = {**where, "UploadId": s3.create_multipart_upload(**where, Metadata={"a": "1"})["UploadId"]}
    etags = [s3.upload_part(**upload, PartNumber=number, Body=b"x" * number)["ETag"] for number in (1, 2, 3)]
    assert (server.container(unique)["blobs"], server.container(unique)["staged_bytes"]) == (0, 6)
    with pytest.raises(ClientError, match="InvalidPart"):
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 4, "ETag": "no"}]})
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in zip((1, 2, 3), etags, strict=True)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert s3.head_object(**where)["ContentLength"] == 6 and s3.head_object(**where)["Metadata"] == {"a": "1"}
    assert server.container(unique)["staged_bytes"] == 0
    again = {**where, "UploadId": s3.create_multipart_upload(**where)["UploadId"]}
    s3.upload_part(**again, PartNumber=1, Body=b"more")
    s3.abort_multipart_upload(**again)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload_part(**again, PartNumber=2, Body=b"more")
    assert server.container(unique)["staged_bytes"] == 0
    s3.delete_bucket(Bucket=unique)


def test_a_listing_of_blobs_pages_and_groups(sink: ContainerClient) -> None:
    names = sorted([f"x/{number:03d}" for number in range(23)] + ["x/sub/1", "x/sub/2", "y"])
    for name in names:
        sink.upload_blob(name, b"")
    pages = [[blob.name for blob in page] for page in sink.list_blobs(results_per_page=7).by_page()]
    assert [name for page in pages for name in page] == names and [len(page) for page in pages] == [7, 7, 7, 5]
    assert sorted(item.name for item in sink.walk_blobs("x/")) == [*names[:23], "x/sub/"]
    assert sorted(item.name for item in sink.walk_blobs()) == ["x/", "y"]


@given(start=st.integers(0, LARGE.size_bytes - 1), count=st.integers(1, 1 << 20))
@_ONE_SERVER
def test_what_it_fetches_from_a_url_has_the_checksum_of_that_range(server: NullServer, data: Path, start: int, count: int) -> None:
    whole = known(data, start, min(count, LARGE.size_bytes - start))
    crc = base64.b64encode(crc64nvme(whole).to_bytes(8, "little")).decode()
    fields = {"x-ms-copy-source": f"{server.url}/large/{key(2)}?X-Amz-Signature=s", "x-ms-source-range": f"bytes={start}-{start + count - 1}"}
    told = asked(server, "PUT", f"/{ACCOUNT}/urls/b?comp=block&blockid=MDA=", fields)
    assert (told[0], told[1]["x-ms-content-crc64"]) == (201, crc)
    assert asked(server, "PUT", f"/{ACCOUNT}/urls/b?comp=block&blockid=MDA=", {**fields, "x-ms-source-content-crc64": "AAAAAAAAAAA="})[0] == 400
    assert asked(server, "PUT", f"/{ACCOUNT}/urls/b?comp=block&blockid=MDA=", {**fields, "x-ms-copy-source": f"{server.url}/large/none"})[0] == 404


def asked(server: NullServer, method: str, target: str, fields: dict[str, str]) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request(method, target, headers=fields)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


def test_requests_and_payload_are_counted(server: NullServer, s3: BaseClient, sink: ContainerClient) -> None:
    server.zero()
    s3.get_object(Bucket="small", Key=key(0))["Body"].read()
    sink.upload_blob("one", b"12345")
    counters = server.counters()
    assert {name: counters[name] for name in ("s3_get", "s3_get_bytes", "put_blob", "received_bytes", "not_made")} == {
        "s3_get": 1, "s3_get_bytes": 1024, "put_blob": 1, "received_bytes": 5, "not_made": 0,
    }  # fmt: skip


def test_it_can_be_as_slow_to_answer_as_if_it_were_far_away(server: NullServer, s3: BaseClient) -> None:
    server.wait(60)
    try:
        began = time.monotonic()
        s3.head_object(Bucket="small", Key=key(1))
        assert 0.06 <= time.monotonic() - began
    finally:
        server.wait(0)


def test_what_it_does_not_do_is_refused(server: NullServer) -> None:
    status, fields = asked(server, "PATCH", f"/{ACCOUNT}/c/file?action=append", {"Content-Length": "0"})
    assert (status, fields["x-ms-error-code"]) == (501, "NotImplemented")
    status, _ = asked(server, "PUT", "/small/new", {"Content-Length": "0"})
    assert status in (404, 501)


def test_it_speaks_tls(server: NullServer, tmp_path: Path) -> None:
    import ssl

    connection = http.client.HTTPSConnection(
        server.tls_url.removeprefix("https://"), context=ssl.create_default_context(cafile=str(server.ca_file))
    )
    connection.request("GET", f"/large/{key(0)}")
    body = connection.getresponse().read()
    connection.close()
    assert hashlib.md5(body).hexdigest() == ElementTree.fromstring(_listing(server)).findtext(".//{*}ETag", "").strip('"')


def _listing(server: NullServer) -> bytes:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request("GET", "/large?list-type=2")
    body = connection.getresponse().read()
    connection.close()
    return body


def test_without_a_compiler_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NoCompiler, match="apt-get install gcc"):
        null_server.compiled(tmp_path)


_BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


def test_what_a_run_took_counts_every_process_below_it(tmp_path: Path) -> None:
    code = f"import subprocess, sys\nheld = bytearray(64 << 20)\nsubprocess.run([sys.executable, '-S', '-c', {_BURN!r}])\nraise SystemExit(3)"
    run = measured(Command([sys.executable, "-S", "-c", code], {}), tmp_path)
    assert run.code == 3 and run.cpu_s >= 0.3 and run.wall_s >= 0.3 and run.peak_bytes >= 64 << 20


def test_what_a_command_leaves_behind_is_ended_and_counted(tmp_path: Path) -> None:
    child = f"{_BURN}open({str(tmp_path / 'burnt')!r}, 'w').close()\ntime.sleep(600)"
    code = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-S', '-c', {child!r}], start_new_session=True)\n"
        f"while not os.path.exists({str(tmp_path / 'burnt')!r}): time.sleep(0.01)"
    )
    run = measured(Command([sys.executable, "-S", "-c", code], {}), tmp_path)
    assert run.code == 0 and 0.3 <= run.cpu_s and run.wall_s < 60


def test_a_run_is_killed_with_all_below_it(tmp_path: Path) -> None:
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])"
    began = time.monotonic()
    run = measured(Command([sys.executable, "-S", "-c", code], {}), tmp_path, until=lambda: time.monotonic() > began + 0.3)
    assert run.code == -9 and run.wall_s < 60


def test_a_run_that_does_not_end_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)did not end in 0 s.*waiting"):
        measured(Command([sys.executable, "-S", "-c", "import time; print('waiting', flush=True); time.sleep(600)"], {}), tmp_path, patience_s=0.3)


def test_the_median_is_of_each_figure_and_the_start_up_is_taken_off() -> None:
    middle = middle_of([Run(1.0, 9.0, 5), Run(2.0, 8.0, 7), Run(9.0, 1.0, 6)])
    assert (middle.wall_s, middle.cpu_s, middle.peak_bytes) == (2.0, 8.0, 6)
    assert middle.without(Run(0.5, 3.0, 1)) == Run(1.5, 5.0, 6)


_ROWS = {
    "large": ("CRC64: wall", "CRC64: client CPU", "MD5: wall", "MD5: client CPU"),
    "small": ("CRC64: objects a second", "CRC64: CPU an object", "MD5: objects a second"),
    "again": ("1 % changed: wall", "nothing to do: wall"),
    "server": ("payload bytes through us", "CPU an object"),
    "resume": ("finished objects written again", "blocks moved twice"),
    "list": ("memory of all processes", "an entry", "pages that the next attempt asks for"),
}  # fmt: skip


_SUITE = ("small", "resume")
"""Rows that every run of the tests takes; PORTAL_BENCH=all takes all of them, for half a minute more."""


@pytest.mark.timeout(400)
def test_a_quick_run_fills_the_table(tmp_path: Path) -> None:
    rows = {row: wanted for row, wanted in _ROWS.items() if row in _SUITE or os.environ.get("PORTAL_BENCH") == "all"}
    only = [word for row in rows for word in ("--only", row)]
    command = [sys.executable, "-m", "bench.transfer", "--quick", "--folder", str(tmp_path), "--json", str(tmp_path / "told.json"), *only]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    for row, wanted in rows.items():
        for what in wanted:
            assert any(what in figure["what"] for figure in told["figures"]), (row, what)
    exact = ("payload bytes through us", "finished objects written again", "blocks moved twice", "pages that the next attempt asks for")
    assert not [figure for figure in told["figures"] if figure["what"].endswith(exact) and not figure["reached"]]
    assert {line["who"] for line in told["lines"]} >= {"ours, CRC64", "ours, CRC64 and MD5", "rclone, MD5"}
    assert "large" not in rows or "boto3 + azure-storage-blob, MD5" in {line["who"] for line in told["lines"]}
    assert "rclone v" in ran.stdout and "boto3 " in ran.stdout and "start-up s" in ran.stdout
