"""The ADLS server on the wire: dfs paths, conditions, digests, ranges, listings, HTTP itself."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from awscrt.checksums import crc64nvme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.adls_client import Answer, RawClient
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server, start, stop


@pytest.fixture
def client(adls_server: Server) -> Iterator[RawClient]:
    with RawClient(adls_server) as made:
        yield made


@pytest.fixture
def box(client: RawClient, unique: str) -> str:
    """The path of a fresh container, with its slash."""
    return "/" + client.container(unique)


@pytest.fixture(scope="module")
def small_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives three items a page."""
    root = str(tmp_path_factory.mktemp("pages"))
    server = start("embedded.adls", "--root", root, "--page", "3", "--account", f"{ADLS_ACCOUNT}={ADLS_KEY}")
    yield server
    stop(server)


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def crc_of(data: bytes) -> str:
    return base64.b64encode(crc64nvme(data).to_bytes(8, "little")).decode()


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer


# Files


def test_what_was_flushed_is_read_and_what_was_not_is_not(client: RawClient, box: str) -> None:
    client.write(f"{box}/a/b.csv", b"one")
    assert client.send("PATCH", f"{box}/a/b.csv", {"action": "append", "position": 3}, b"two").status == 202
    assert client.send("GET", f"{box}/a/b.csv").body == b"one"
    assert client.send("HEAD", f"{box}/a/b.csv").headers["content-length"] == "3"
    assert client.send("PATCH", f"{box}/a/b.csv", {"action": "flush", "position": 6}).status == 200
    assert client.send("GET", f"{box}/a/b.csv").body == b"onetwo"


def test_appends_may_arrive_in_any_order(client: RawClient, box: str) -> None:
    client.send("PUT", f"{box}/f", {"resource": "file"})
    for position, data in ((6, b"ghi"), (0, b"abc"), (3, b"XXX"), (3, b"def")):
        assert client.send("PATCH", f"{box}/f", {"action": "append", "position": position}, data).status == 202
    assert client.send("PATCH", f"{box}/f", {"action": "flush", "position": 9}).status == 200
    assert client.send("GET", f"{box}/f").body == b"abcdefghi"


@pytest.mark.parametrize("position", [2, 4, 5, 7, 20])
def test_a_flush_position_that_does_not_fit_is_refused_and_changes_nothing(client: RawClient, box: str, position: int) -> None:
    client.write(f"{box}/f", b"abc")
    client.send("PATCH", f"{box}/f", {"action": "append", "position": 3}, b"de")
    client.send("PATCH", f"{box}/f", {"action": "append", "position": 6}, b"g")
    if position == 5:
        assert client.send("PATCH", f"{box}/f", {"action": "flush", "position": 5}).status == 200
        return
    refused(client.send("PATCH", f"{box}/f", {"action": "flush", "position": position}), 400, "InvalidFlushPosition")
    assert client.send("GET", f"{box}/f").body == b"abc"


def test_uncommitted_data_behind_the_flush_is_kept_only_on_request(client: RawClient, box: str) -> None:
    for keep, status in (("true", 200), ("false", 400)):
        client.send("PUT", f"{box}/f", {"resource": "file"})
        client.send("PATCH", f"{box}/f", {"action": "append", "position": 0}, b"ab")
        client.send("PATCH", f"{box}/f", {"action": "append", "position": 2}, b"cd")
        assert client.send("PATCH", f"{box}/f", {"action": "flush", "position": 2, "retainUncommittedData": keep}).status == 200
        assert client.send("PATCH", f"{box}/f", {"action": "flush", "position": 4}).status == status


def test_create_overwrites_and_drops_what_was_appended(client: RawClient, box: str) -> None:
    client.write(f"{box}/f", b"abc")
    client.send("PATCH", f"{box}/f", {"action": "append", "position": 3}, b"de")
    client.send("PUT", f"{box}/f", {"resource": "file"})
    assert client.send("GET", f"{box}/f").body == b""
    refused(client.send("PATCH", f"{box}/f", {"action": "flush", "position": 5}), 400, "InvalidFlushPosition")


def test_appending_needs_a_file(client: RawClient, box: str) -> None:
    refused(client.send("PATCH", f"{box}/none", {"action": "append", "position": 0}, b"x"), 404, "PathNotFound")
    client.send("PUT", f"{box}/dir", {"resource": "directory"})
    refused(client.send("PATCH", f"{box}/dir", {"action": "append", "position": 0}, b"x"), 409, "PathConflict")
    client.write(f"{box}/f", b"abc")
    refused(client.send("PATCH", f"{box}/f", {"action": "append", "position": 1}, b"x"), 400, "InvalidQueryParameterValue")
    refused(client.send("PATCH", f"{box}/f", {"action": "append", "position": 3}), 400, "InvalidHeaderValue")
    refused(client.send("PATCH", f"{box}/f", {"action": "append"}, b"x"), 400, "MissingRequiredQueryParameter")


def test_a_file_and_a_folder_cannot_share_a_name(client: RawClient, box: str) -> None:
    client.write(f"{box}/f", b"x")
    client.send("PUT", f"{box}/d/e", {"resource": "directory"})
    refused(client.send("PUT", f"{box}/f/below", {"resource": "file"}), 409, "PathConflict")
    refused(client.send("PUT", f"{box}/f", {"resource": "directory"}), 409, "PathConflict")
    refused(client.send("PUT", f"{box}/d", {"resource": "file"}), 409, "PathConflict")
    refused(client.send("PUT", f"{box}/d", body=b"x", x_ms_blob_type="BlockBlob"), 409, "ResourceTypeMismatch")
    refused(client.send("PUT", f"{box}/f/below", body=b"x", x_ms_blob_type="BlockBlob"), 409, "ResourceTypeMismatch")
    assert client.paths(box[1:]) == ["d", "d/e", "f"]


def test_properties_and_metadata_come_back(client: RawClient, box: str) -> None:
    value = base64.b64encode("grün".encode()).decode()
    headers = {"x_ms_content_type": "text/csv", "x_ms_cache_control": "no-cache", "x_ms_properties": f"Colour={value},n=MQ=="}
    client.send("PUT", f"{box}/f", {"resource": "file"}, **headers, x_ms_content_encoding="gzip", x_ms_content_language="de")
    head = client.send("HEAD", f"{box}/f", {"action": "getStatus"}).headers
    assert head["content-type"] == "text/csv" and head["cache-control"] == "no-cache"
    assert head["content-encoding"] == "gzip" and head["content-language"] == "de"
    assert head["x-ms-properties"] == f"Colour={value},n=MQ==" and head["x-ms-resource-type"] == "file"
    assert client.send("HEAD", f"{box}/f").headers["x-ms-meta-colour"].encode("latin-1").decode() == "grün"


@pytest.mark.parametrize(("properties", "code"), [("a-b=MQ==", "InvalidMetadata"), ("a=%%", "InvalidHeaderValue"), ("=MQ==", "InvalidPropertyName"),
                                                  ("a=DQpYOiB5", "InvalidMetadata"), ("a=" + "QUFB" * 3000, "MetadataTooLarge")])  # fmt: skip
def test_metadata_that_headers_cannot_carry_is_refused(client: RawClient, box: str, properties: str, code: str) -> None:
    refused(client.send("PUT", f"{box}/f", {"resource": "file"}, x_ms_properties=properties), 400, code)


def test_access_control_is_kept(client: RawClient, box: str) -> None:
    client.send("PUT", f"{box}/f", {"resource": "file"}, x_ms_permissions="0777", x_ms_umask="0027")
    head = client.send("HEAD", f"{box}/f", {"action": "getAccessControl"}).headers
    assert (head["x-ms-permissions"], head["x-ms-acl"]) == ("rwxr-x---", "user::rwx,group::r-x,other::---")
    acl = "user::rw-,user:someone:r--,group::r--,mask::r--,other::---"
    assert client.send("PATCH", f"{box}/f", {"action": "setAccessControl"}, x_ms_acl=acl, x_ms_owner="ann").status == 200
    head = client.send("HEAD", f"{box}/f", {"action": "getAccessControl"}).headers
    assert (head["x-ms-owner"], head["x-ms-acl"], head["x-ms-permissions"]) == ("ann", acl, "rw-r-----+")
    refused(client.send("PATCH", f"{box}/f", {"action": "setAccessControl"}, x_ms_acl="nonsense"), 400, "InvalidHeaderValue")
    assert client.send("HEAD", f"{box}/", {"action": "getAccessControl"}).headers["x-ms-permissions"] == "rwxr-x---"


# Conditions


def test_conditions_on_writes(client: RawClient, box: str) -> None:
    etag = client.write(f"{box}/f", b"x").headers["etag"]
    file, new = {"resource": "file"}, f"{box}/new"
    refused(client.send("PUT", f"{box}/f", file, if_none_match="*"), 409, "PathAlreadyExists")
    refused(client.send("PUT", f"{box}/f", file, if_match='"0x1"'), 412, "ConditionNotMet")
    refused(client.send("PUT", new, file, if_match="*"), 412, "ConditionNotMet")
    refused(client.send("PUT", f"{box}/f", file, if_none_match=etag), 412, "ConditionNotMet")
    refused(client.send("PUT", f"{box}/f", file, if_unmodified_since=formatdate(0, usegmt=True)), 412, "ConditionNotMet")
    refused(client.send("PUT", f"{box}/f", file, if_modified_since=formatdate(usegmt=True)), 412, "ConditionNotMet")
    refused(client.send("DELETE", f"{box}/f", {"recursive": "false"}, if_match='"0x1"'), 412, "ConditionNotMet")
    refused(client.send("PUT", f"{box}/f", file, if_unmodified_since="yesterday"), 400, "InvalidHeaderValue")
    assert client.send("PUT", new, file, if_none_match="*").status == 201
    assert client.send("PUT", f"{box}/f", file, if_match=etag, if_modified_since=formatdate(0, usegmt=True)).status == 201
    refused(client.send("PUT", f"{box}/f", file, if_match=etag), 412, "ConditionNotMet")


def test_conditions_on_reads(client: RawClient, box: str) -> None:
    etag = client.write(f"{box}/f", b"x").headers["etag"]
    assert client.send("GET", f"{box}/f", if_match=etag.strip('"')).status == 200
    refused(client.send("GET", f"{box}/f", if_match='"0x1"'), 412, "ConditionNotMet")
    for condition in ({"if_none_match": etag}, {"if_modified_since": formatdate(usegmt=True)}):
        answer = client.send("GET", f"{box}/f", **condition)
        assert (answer.status, answer.body) == (304, b"")
    refused(client.send("GET", f"{box}/f", if_unmodified_since=formatdate(0, usegmt=True)), 412, "ConditionNotMet")


def test_every_write_changes_the_etag(client: RawClient, box: str) -> None:
    tags = {client.write(f"{box}/f", b"same").headers["etag"] for _ in range(20)}
    assert len(tags) == 20


# Renames and deletes


def test_a_folder_moves_with_everything_in_it(client: RawClient, box: str) -> None:
    client.write(f"{box}/a/b/one", b"1")
    client.write(f"{box}/a/two", b"2")
    client.write(f"{box}/ab", b"3")
    etag = client.send("HEAD", f"{box}/a/two").headers["etag"]
    client.send("PATCH", f"{box}/a/two", {"action": "append", "position": 1}, b"!")
    assert client.send("PUT", f"{box}/z", {"mode": "legacy"}, x_ms_rename_source=f"{box}/a").status == 201
    assert client.paths(box[1:]) == ["ab", "z", "z/b", "z/b/one", "z/two"]
    assert client.paths(box[1:], recursive="false", directory="z") == ["z/b", "z/two"]
    assert client.paths(box[1:], recursive="false", directory="z/b") == ["z/b/one"]
    assert client.send("HEAD", f"{box}/z/two").headers["etag"] == etag
    assert client.send("PATCH", f"{box}/z/two", {"action": "flush", "position": 2}).status == 200
    assert client.send("GET", f"{box}/z/two").body == b"2!"


def test_what_a_rename_refuses(client: RawClient, box: str) -> None:
    client.write(f"{box}/d/f", b"1")
    client.write(f"{box}/g", b"2")
    client.write(f"{box}/e/x", b"3")

    def rename(source: str, target: str, **headers: str) -> Answer:
        return client.send("PUT", f"{box}/{target}", {"mode": "posix"}, x_ms_rename_source=f"{box}/{source}", **headers)

    refused(rename("none", "x"), 404, "SourcePathNotFound")
    refused(rename("g", "no/such/g"), 404, "RenameDestinationParentPathNotFound")
    refused(rename("d", "d/below"), 409, "InvalidRenameSourcePath")
    refused(rename("d", "d"), 409, "InvalidRenameSourcePath")
    refused(rename("g", "d"), 409, "InvalidSourceOrDestinationResourceType")
    refused(rename("d", "e"), 409, "PathAlreadyExists")
    refused(rename("g", "g/x"), 409, "PathConflict")
    refused(rename("g", "d/f", if_none_match="*"), 409, "PathAlreadyExists")
    refused(rename("g", "d/f", x_ms_source_if_match='"0x1"'), 412, "SourceConditionNotMet")
    assert client.paths(box[1:]) == ["d", "d/f", "e", "e/x", "g"]
    assert rename("g", "d/f").status == 201
    assert client.send("GET", f"{box}/d/f").body == b"2"
    assert client.paths(box[1:]) == ["d", "d/f", "e", "e/x"]


def test_a_rename_may_cross_filesystems_and_encodes_its_source(client: RawClient, box: str, unique: str) -> None:
    other = client.container(unique + "b")
    client.write(f"{box}/ä b%41+c", b"x")
    answer = client.send("PUT", f"/{other}/moved", {"mode": "legacy"}, x_ms_rename_source=f"{box}/%C3%A4%20b%2541+c")
    assert answer.status == 201, answer
    assert client.paths(other) == ["moved"] and client.paths(box[1:]) == []


def test_a_reader_never_sees_a_rename_half_done(adls_server: Server, client: RawClient, box: str) -> None:
    for number in range(40):
        client.send("PUT", f"{box}/a/{number:02}", body=b"x", x_ms_blob_type="BlockBlob")
    done, seen = threading.Event(), []

    def watch() -> None:
        with RawClient(adls_server) as reader:
            while not done.is_set():
                seen.append(reader.paths(box[1:]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for source, target in (("a", "b"), ("b", "a")) * 10:
        assert client.send("PUT", f"{box}/{target}", {"mode": "legacy"}, x_ms_rename_source=f"{box}/{source}").status == 201
    done.set()
    watcher.join()
    assert seen and all(len(names) == 41 and len({name[0] for name in names}) == 1 for names in seen)


def test_deleting_a_folder_asks_for_recursive(client: RawClient, box: str) -> None:
    client.write(f"{box}/d/e/f", b"1")
    client.write(f"{box}/d0", b"2")
    refused(client.send("DELETE", f"{box}/d", {"recursive": "false"}), 409, "DirectoryNotEmpty")
    refused(client.send("DELETE", f"{box}/d"), 409, "DirectoryIsNotEmpty")
    refused(client.send("DELETE", f"{box}/none", {"recursive": "true"}), 404, "PathNotFound")
    assert client.send("DELETE", f"{box}/d", {"recursive": "true"}).status == 200
    assert client.paths(box[1:]) == ["d0"]


def test_a_paginated_delete_goes_on_until_nothing_is_left(small_pages: Server, unique: str) -> None:
    with RawClient(small_pages) as client:
        client.container(unique)
        for number in range(12):
            client.send("PUT", f"/{unique}/d/{number % 3}/{number}", body=b"x", x_ms_blob_type="BlockBlob")
        query, rounds = {"recursive": "true", "paginated": "true"}, 1
        while token := client.send("DELETE", f"/{unique}/d", query).headers.get("x-ms-continuation"):
            query["continuation"], rounds = token, rounds + 1
        assert rounds > 2 and client.paths(unique) == []


# Listings


def test_listing_by_pages_gives_each_path_once_in_order(client: RawClient, box: str) -> None:
    expected = sorted([f"d{number}/f{index}" for number in range(4) for index in range(5)] + [f"d{number}" for number in range(4)])
    for name in expected:
        if "/" in name:
            client.send("PUT", f"{box}/{name}", {"resource": "file"})
    for size in (1, 7, 24, 5000, 9999):
        assert client.paths(box[1:], maxResults=size) == expected
    assert client.paths(box[1:], recursive="false", maxResults=3) == ["d0", "d1", "d2", "d3"]
    assert client.paths(box[1:], directory="d2", maxResults=2) == [f"d2/f{index}" for index in range(5)]
    refused(client.send("GET", box, {"resource": "filesystem", "recursive": "true", "directory": "none"}), 404, "PathNotFound")
    refused(client.send("GET", box, {"resource": "filesystem", "recursive": "true", "continuation": "!"}), 400, "InvalidQueryParameterValue")
    refused(client.send("GET", box, {"resource": "filesystem"}), 400, "MissingRequiredQueryParameter")
    refused(client.send("GET", "/nosuchfilesystem", {"resource": "filesystem", "recursive": "true"}), 404, "FilesystemNotFound")


def test_an_item_of_the_listing(client: RawClient, box: str) -> None:
    etag = client.write(f"{box}/d/f", b"abc").headers["etag"].strip('"')
    folder, file = client.send("GET", box, {"resource": "filesystem", "recursive": "true"}).json()["paths"]
    assert folder["isDirectory"] == "true" and folder["contentLength"] == "0"
    assert (file["name"], file["contentLength"], file["etag"], file["permissions"]) == ("d/f", "3", etag, "rw-r-----")
    assert "isDirectory" not in file and file["lastModified"].endswith("GMT") and int(file["creationTime"]) > 13e16


# Digests and ranges


@pytest.mark.parametrize(("headers", "code"), [
    ({"Content_MD5": md5_of(b"other")}, "Md5Mismatch"), ({"Content_MD5": "AAAA"}, "InvalidMd5"), ({"Content_MD5": "?"}, "InvalidMd5"),
    ({"x_ms_content_crc64": crc_of(b"other")}, "Crc64Mismatch"), ({"x_ms_content_crc64": "AAAA"}, "InvalidHeaderValue"),
    ({"x_ms_content_crc64": crc_of(b"data"), "Content_MD5": md5_of(b"data")}, "BothCrc64AndMd5HeaderPresent"),
])  # fmt: skip
def test_a_body_that_does_not_match_its_digest_is_refused_everywhere(client: RawClient, box: str, headers: dict[str, str], code: str) -> None:
    client.send("PUT", f"{box}/f", {"resource": "file"})
    refused(client.send("PATCH", f"{box}/f", {"action": "append", "position": 0}, b"data", **headers), 400, code)
    refused(client.send("PATCH", f"{box}/f", {"action": "flush", "position": 4}), 400, "InvalidFlushPosition")
    refused(client.send("PUT", f"{box}/b", body=b"data", x_ms_blob_type="BlockBlob", **headers), 400, code)
    refused(client.send("PUT", f"{box}/b", {"comp": "block", "blockid": "MQ=="}, b"data", **headers), 400, code)
    refused(client.send("GET", f"{box}/b"), 404, "BlobNotFound")


def test_digests_come_back(client: RawClient, box: str) -> None:
    client.send("PUT", f"{box}/f", {"resource": "file"})
    append = {"action": "append", "position": 0}
    assert client.send("PATCH", f"{box}/f", append, b"data").headers["x-ms-content-crc64"] == crc_of(b"data")
    assert client.send("PATCH", f"{box}/f", append, b"data", x_ms_content_crc64=crc_of(b"data")).headers["x-ms-content-crc64"] == crc_of(b"data")
    assert client.send("PATCH", f"{box}/f", append, b"data", Content_MD5=md5_of(b"data")).headers["content-md5"] == md5_of(b"data")
    assert client.send("PUT", f"{box}/b", body=b"123456789", x_ms_blob_type="BlockBlob").headers["x-ms-content-crc64"] == "iJh5CoYUi64="
    assert client.send("HEAD", f"{box}/b").headers["content-md5"] == md5_of(b"123456789")


def test_ranges(client: RawClient, box: str) -> None:
    data = bytes(range(200))
    client.send("PUT", f"{box}/f", {"resource": "file"})
    for start_ in range(0, 200, 30):
        client.send("PATCH", f"{box}/f", {"action": "append", "position": start_}, data[start_ : start_ + 30])
    client.send("PATCH", f"{box}/f", {"action": "flush", "position": 200}, x_ms_content_md5=md5_of(data))
    for first, last in ((0, 0), (0, 199), (29, 30), (25, 95), (150, 999), (199, 199)):
        answer = client.send("GET", f"{box}/f", x_ms_range=f"bytes={first}-{last}")
        assert (answer.status, answer.body) == (206, data[first : last + 1])
        assert answer.headers["content-range"] == f"bytes {first}-{min(last, 199)}/200"
        assert answer.headers["x-ms-blob-content-md5"] == md5_of(data)
    assert client.send("GET", f"{box}/f", range="bytes=190-").body == data[190:]
    assert client.send("GET", f"{box}/f", range="bytes=0-9", x_ms_range="bytes=5-6").body == data[5:7]
    refused(client.send("GET", f"{box}/f", range="bytes=200-"), 416, "InvalidRange")
    answer = client.send("GET", f"{box}/f", range="bytes=10-19", x_ms_range_get_content_crc64="true")
    assert answer.headers["x-ms-content-crc64"] == crc_of(data[10:20])
    answer = client.send("GET", f"{box}/f", range="bytes=10-19", x_ms_range_get_content_md5="true")
    assert answer.headers["content-md5"] == md5_of(data[10:20])
    refused(client.send("GET", f"{box}/f", x_ms_range_get_content_md5="true"), 400, "InvalidHeaderValue")


def test_a_reader_keeps_its_bytes_when_the_file_goes(adls_server: Server, client: RawClient, box: str) -> None:
    data = b"0123456789abcdef" * (1 << 20)
    client.send("PUT", f"{box}/f", {"resource": "file"})
    for position in (0, 8 << 20):
        client.send("PATCH", f"{box}/f", {"action": "append", "position": position}, data[position : position + (8 << 20)])
    client.send("PATCH", f"{box}/f", {"action": "flush", "position": len(data)})
    with RawClient(adls_server) as slow:
        raw = f"/{ADLS_ACCOUNT}{box}/f"
        fields = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2026-10-06"}
        fields["Authorization"] = f"SharedKey {ADLS_ACCOUNT}:{slow.sign('GET', raw, '', fields)}"
        slow.connection.request("GET", raw, headers=fields)
        response = slow.connection.getresponse()
        assert response.read(16) == data[:16]
        assert client.send("DELETE", f"{box}/f").status == 202
        assert response.read() == data[16:]


# Names


@pytest.mark.parametrize("name", ["a b", "100%", "%41", "a+b", "grün/日本.csv", "q?m=1&x#f", "semi;colon,@=:$!*'()", "~tilde", "a\u0085b", "[x]{y}"])
def test_names_mean_themselves_on_both_endpoints(client: RawClient, box: str, name: str) -> None:
    client.send("PUT", f"{box}/dfs/{name}", {"resource": "file"})
    assert client.send("PUT", f"{box}/blob/{name}", body=b"x", x_ms_blob_type="BlockBlob").status == 201
    assert {f"dfs/{name}", f"blob/{name}"} <= set(client.paths(box[1:]))
    listed = client.send("GET", box, {"restype": "container", "comp": "list", "prefix": f"blob/{name}"}).xml()
    assert listed.findtext("Blobs/Blob/Name") == f"blob/{name}"
    assert client.send("GET", f"{box}/blob/{name}").body == b"x"


def test_names_are_brought_into_the_form_the_namespace_keeps(client: RawClient, box: str) -> None:
    for name in ("a//b/", "dot./x.", "/c"):
        client.send("PUT", f"{box}/{name}", {"resource": "file"})
    assert client.paths(box[1:]) == ["a", "a/b", "c", "dot", "dot/x"]


@pytest.mark.parametrize("name", ["a\\b", "a\x01b", "a\x7f", "x" * 1025, "/".join("d" * 64), "..", "a/./b"])
def test_names_the_namespace_cannot_hold_are_refused(client: RawClient, box: str, name: str) -> None:
    refused(client.send("PUT", f"{box}/{name}", {"resource": "file"}), 400, "InvalidResourceName")


@pytest.mark.parametrize("name", ["ab", "UPPER", "a--b", "-ab", "x" * 64])
def test_containers_have_names_of_their_own_rules(client: RawClient, name: str) -> None:
    refused(client.send("PUT", f"/{name}", {"restype": "container"}), 400, "InvalidResourceName")


_SEGMENT = st.text(st.characters(codec="utf-8", exclude_characters="/\\\x7f", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_SEGMENT.filter(lambda text: not text.endswith(".")), min_size=1, max_size=4).map("/".join), st.binary(max_size=64))
def test_any_legal_name_makes_the_round_trip(client: RawClient, unique: str, name: str, data: bytes) -> None:
    client.send("PUT", f"/{unique}", {"restype": "container"})
    assert client.write(f"/{unique}/top/{name}", data).status == 200
    assert f"top/{name}" in client.paths(unique)
    assert client.send("GET", f"/{unique}/top/{name}").body == data
    assert client.send("DELETE", f"/{unique}/top", {"recursive": "true"}).status == 200


# HTTP


def test_the_connection_survives_refusals_and_bodies_nobody_read(client: RawClient, box: str) -> None:
    client.send("GET", f"{box}/none")
    first = client.connection.sock
    refused(client.send("PUT", f"{box}/none/", {"comp": "nonsense"}, b"x" * 300_000), 400, "UnsupportedQueryParameter")
    refused(client.send("PATCH", f"{box}/none", {"action": "append", "position": 0}, b"x" * 300_000), 404, "PathNotFound")
    assert client.send("HEAD", f"{box}/none").status == 404
    assert client.connection.sock is first


def test_chunked_bodies(client: RawClient, box: str) -> None:
    answer = client.send("PUT", f"{box}/f", body=iter([b"a" * 10, b"b" * 200_000, b"c"]), x_ms_blob_type="BlockBlob")
    assert answer.status == 201, answer
    assert client.send("GET", f"{box}/f").body == b"a" * 10 + b"b" * 200_000 + b"c"


def test_expect_100_continue_saves_sending_what_will_be_refused(adls_server: Server, client: RawClient, box: str) -> None:
    def ask(path: str) -> tuple[socket.socket, bytes]:
        raw = f"/{ADLS_ACCOUNT}{path}"
        fields = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2026-10-06", "x-ms-blob-type": "BlockBlob", "Content-Length": "4"}
        fields["Authorization"] = f"SharedKey {ADLS_ACCOUNT}:{client.sign('PUT', raw, '', fields)}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection = socket.create_connection(("127.0.0.1", adls_server.port), 10)
        connection.sendall(f"PUT {raw} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{lines}\r\n".encode())
        return connection, connection.recv(4096)

    connection, answer = ask(f"{box}/f")
    with connection:
        assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"data")
        assert connection.recv(4096).startswith(b"HTTP/1.1 201 ")
    connection, answer = ask("/nosuchcontainer/f")
    with connection:
        assert answer.startswith(b"HTTP/1.1 404 ") and b"Connection: close" in answer


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET /x HTTP/1.1\r\nbad header\r\n\r\n", b"PUT /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n"])
def test_what_is_no_http_gets_a_400(adls_server: Server, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", adls_server.port), 10) as connection:
        connection.sendall(data)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_broken_upload_leaves_nothing(adls_server: Server, client: RawClient, box: str) -> None:
    raw = f"/{ADLS_ACCOUNT}{box}/f"
    fields = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2026-10-06", "x-ms-blob-type": "BlockBlob", "Content-Length": "1000"}
    fields["Authorization"] = f"SharedKey {ADLS_ACCOUNT}:{client.sign('PUT', raw, '', fields)}"
    with socket.create_connection(("127.0.0.1", adls_server.port), 10) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.sendall(f"PUT {raw} HTTP/1.1\r\nHost: x\r\n{lines}\r\nonly this".encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    refused(client.send("GET", f"{box}/f"), 404, "BlobNotFound")


def test_every_answer_carries_the_ids(client: RawClient, box: str) -> None:
    for answer in (
        client.send("HEAD", box, {"restype": "container"}, x_ms_client_request_id="mine"),
        client.send("GET", "/no/no", x_ms_client_request_id="mine"),
    ):
        assert answer.headers["x-ms-client-request-id"] == "mine" and len(answer.headers["x-ms-request-id"]) == 36
        assert answer.headers["x-ms-version"] == "2026-10-06" and answer.headers["date"].endswith("GMT")


@pytest.mark.parametrize(("method", "query", "headers", "code"), [
    ("POST", {"comp": "query"}, {}, "NotImplemented"), ("PUT", {"comp": "snapshot"}, {}, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"),
    ("PUT", {"comp": "tags"}, {}, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"),
])  # fmt: skip
def test_what_is_not_served_says_so(client: RawClient, box: str, method: str, query: dict[str, str], headers: dict[str, str], code: str) -> None:
    refused(client.send(method, f"{box}/f", query, **headers), 501 if code == "NotImplemented" else 409, code)


def test_a_refused_head_promises_no_body(client: RawClient, box: str) -> None:
    answer = client.send("HEAD", f"{box}/none")
    assert answer.status == 404 and "content-type" not in answer.headers and answer.headers["content-length"] == "0"


def test_a_block_list_may_say_which_of_two_blocks_it_means(client: RawClient, box: str) -> None:
    for name, data in (("MQ==", b"one"), ("Mg==", b"two")):
        client.send("PUT", f"{box}/f", {"comp": "block", "blockid": name}, data)

    def commit(inner: str) -> Answer:
        return client.send("PUT", f"{box}/f", {"comp": "blocklist"}, f"<BlockList>{inner}</BlockList>".encode())

    refused(commit("<Committed>MQ==</Committed>"), 400, "InvalidBlockList")
    assert commit("<Uncommitted>MQ==</Uncommitted><Latest>Mg==</Latest><Latest>MQ==</Latest>").status == 201
    client.send("PUT", f"{box}/f", {"comp": "block", "blockid": "MQ=="}, b"ONE")
    assert commit("<Committed>MQ==</Committed><Uncommitted>MQ==</Uncommitted><Latest>Mg==</Latest>").status == 201
    assert client.send("GET", f"{box}/f").body == b"oneONEtwo"
    refused(commit("<Uncommitted>MQ==</Uncommitted>"), 400, "InvalidBlockList")
    refused(commit("<Other>MQ==</Other>"), 400, "InvalidXmlDocument")
    refused(client.send("PUT", f"{box}/f", {"comp": "blocklist"}, b"<BlockList>"), 400, "InvalidXmlDocument")


# Keeping


def test_data_is_there_again_after_a_restart_and_strays_are_not(tmp_path: Path) -> None:
    account = f"{ADLS_ACCOUNT}={ADLS_KEY}"
    server = start("embedded.adls", "--root", str(tmp_path), "--account", account)
    with RawClient(server) as client:
        client.container("kept")
        client.write("/kept/d/f", b"abc")
        client.send("PATCH", "/kept/d/f", {"action": "append", "position": 3}, b"de")
    server.process.kill()
    stop(server)
    stray = tmp_path / "content" / "00" / "00aa"
    stray.write_bytes(b"left over")
    server = start("embedded.adls", "--root", str(tmp_path), "--account", account)
    try:
        with RawClient(server) as client:
            assert client.send("GET", "/kept/d/f").body == b"abc"
            assert client.send("PATCH", "/kept/d/f", {"action": "flush", "position": 5}).status == 200
            assert client.send("GET", "/kept/d/f").body == b"abcde"
            assert client.send("DELETE", "/kept", {"restype": "container"}).status == 202
        assert not stray.exists()
        assert not [file for file in (tmp_path / "content").rglob("*") if file.is_file()]
    finally:
        stop(server)


def test_many_writers_at_once(adls_server: Server, client: RawClient, box: str) -> None:
    failures: list[object] = []

    def work(number: int) -> None:
        with RawClient(adls_server) as own:
            for index in range(15):
                data = f"{number}-{index}".encode() * 50
                if own.write(f"{box}/w{number}/{index}", data).status != 200:
                    failures.append((number, index))
                own.send("PUT", f"{box}/shared", body=data, x_ms_blob_type="BlockBlob", Content_MD5=md5_of(data))
                shared = own.send("GET", f"{box}/shared")
                if shared.status != 200 or md5_of(shared.body) != shared.headers["content-md5"]:
                    failures.append(shared)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(client.paths(box[1:])) == 8 * 16 + 1


def test_only_one_of_many_creators_wins(adls_server: Server, client: RawClient, box: str) -> None:
    statuses: list[int] = []

    def create(number: int) -> None:
        with RawClient(adls_server) as own:
            statuses.append(own.send("PUT", f"{box}/lock", {"resource": "file"}, if_none_match="*").status)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [409] * 11
