"""The demo bucket's objects of every kind: S3 stores of each what `embedded.kinds` says, which is computed here by other means."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import zlib
from typing import Any

import pytest
from awscrt.checksums import crc64nvme

from embedded import data, kinds
from embedded.kinds import KINDS, PART_BYTES, Kind
from tests.servers import Server

CHECKSUMS = ("ChecksumCRC64NVME", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumSHA1", "ChecksumSHA256")


@pytest.fixture(scope="module")
def flights() -> bytes:
    return dict(data.objects())[data.FLIGHTS]


@pytest.fixture
def s3(s3_server: Server) -> tuple[Any, Any]:
    env = {"AWS_ENDPOINT_URL": s3_server.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    return data.s3_client(env), data.s3_client(env, checksums="when_required")


def digest(algorithm: str, content: bytes) -> bytes:
    if algorithm == "CRC64NVME":
        return int(crc64nvme(content)).to_bytes(8, "big")
    return zlib.crc32(content).to_bytes(4, "big") if algorithm == "CRC32" else hashlib.new(algorithm, content).digest()


def stored(kind: Kind, content: bytes) -> dict[str, str]:
    if not kind.algorithm:
        return {}
    pieces = [content[start : start + PART_BYTES] for start in range(0, len(content), PART_BYTES)]
    whole = b"".join(digest(kind.algorithm, piece) for piece in pieces) if kind.composite else content
    return {f"Checksum{kind.algorithm}": base64.b64encode(digest(kind.algorithm, whole)).decode()}


def test_s3_stores_of_each_kind_what_is_said(s3: tuple[Any, Any], unique: str, flights: bytes) -> None:
    client, plain = s3
    client.create_bucket(Bucket=unique)
    for kind, content in kinds.contents(flights):
        kinds.put(client, plain, unique, kind, content)
        head = client.head_object(Bucket=unique, Key=kind.key, ChecksumMode="ENABLED")
        assert {name: head[name] for name in CHECKSUMS if name in head} == stored(kind, content), kind
        if kind.parts > 1 and kind.algorithm:
            assert head["ChecksumType"] == ("COMPOSITE" if kind.composite else "FULL_OBJECT")
        assert head["ETag"].endswith('-2"') is (kind.parts == 2) and head["ContentType"] == "text/csv"
        assert {name: head[name] for name in kind.more if name != "Tagging"} == {name: kind.more[name] for name in kind.more if name != "Tagging"}
        assert head.get("TagCount", 0) == (2 if "Tagging" in kind.more else 0)
        assert plain.get_object(Bucket=unique, Key=kind.key)["Body"].read() == content
    listed = client.list_objects_v2(Bucket=unique)["Contents"]
    assert sorted(item["Key"] for item in listed) == sorted(kind.key for kind in KINDS)


def test_each_kind_is_another_real_table(flights: bytes) -> None:
    contents = {kind.name: content for kind, content in kinds.contents(flights)}
    assert len(set(contents.values())) == len(KINDS)
    for name, content in contents.items():
        rows = list(csv.reader(io.StringIO(gzip.decompress(content).decode() if name == "gzip.csv" else content.decode())))
        assert {len(row) for row in rows} == ({19} if content else set())
        assert not content or (rows[0][0] == "year" and {row[0] for row in rows[1:]} == {"2013"})
