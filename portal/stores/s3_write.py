"""Writing one S3 object: small ones by one PUT, larger ones by multipart upload, visible only when complete.

Every request carries the CRC64NVME of its bytes, and the last the CRC64NVME of the whole object, so that S3 itself checks what it was sent
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from botocore.exceptions import BotoCoreError, ClientError

from portal.errors import NameNotAllowed, ProofFailed
from portal.stores import checksums
from portal.stores.base import ObjectInfo
from portal.stores.url import StoreURL

PART_BYTES = 8 << 20
MAX_PARTS = 10_000
MAX_METADATA_BYTES = 2_048


class Bucket(Protocol):
    """What a writer needs of its store."""

    url: StoreURL
    client: Any

    def translated(self, what: str, key: str = "") -> AbstractContextManager[None]: ...


def part_size(size_bytes: int | None) -> int:
    """Return the size of the parts of an object of about this many bytes: 8 MiB, more where 10,000 parts would not do."""
    smallest = -(-(size_bytes or 0) // (MAX_PARTS - 1))
    return max(PART_BYTES, -(-smallest // (1 << 20)) << 20)


class S3Writer:
    """An open write; see `portal.stores.base.Writer`. Not for two threads at once."""

    checks_blocks: bool = True

    def __init__(self, store: Bucket, key: str, *, overwrite: bool, size_bytes: int | None, content_type: str, metadata: Mapping[str, str]) -> None:
        if sum(len(name) + len(value.encode()) for name, value in metadata.items()) > MAX_METADATA_BYTES:
            raise NameNotAllowed(f"The metadata of {store.url.at(key)} is longer than the 2 KB that S3 holds.")
        self._store, self._key, self._buffer = store, key, bytearray()
        self._part_bytes = part_size(size_bytes)
        self._condition = {} if overwrite else {"IfNoneMatch": "*"}
        self._about: dict[str, Any] = {"Metadata": dict(metadata), **({"ContentType": content_type} if content_type else {})}
        self._place = {"Bucket": store.url.container, "Key": key}
        self._parts: list[dict[str, Any]] = []
        self._upload_id = ""
        self._crc = self._size = 0
        self._committed = False

    def write(self, block: bytes | memoryview, /) -> int:
        self._crc = checksums.crc64(block, self._crc)
        self._size += len(block)
        if not self._buffer and len(block) == self._part_bytes:
            self._send(block)
            return len(block)
        self._buffer += block
        while len(self._buffer) > self._part_bytes:
            self._send(bytes(self._buffer[: self._part_bytes]))
            del self._buffer[: self._part_bytes]
        return len(block)

    def _send(self, block: bytes | memoryview) -> None:
        client = self._store.client
        with self._store.translated("Writing", self._key):
            if not self._upload_id:
                begun = client.create_multipart_upload(**self._place, **self._about, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")
                self._upload_id = begun["UploadId"]
            crc = checksums.s3_base64(checksums.crc64(block))
            number = len(self._parts) + 1
            sent = client.upload_part(
                **self._place, UploadId=self._upload_id, PartNumber=number, Body=bytes(block), ChecksumAlgorithm="CRC64NVME", ChecksumCRC64NVME=crc
            )
            self._parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumCRC64NVME": crc})

    def commit(self, *, md5: str = "") -> ObjectInfo:
        """Complete the object. `md5` has no place in S3 and is not stored. Raises AlreadyExists, ProofFailed."""
        crc = checksums.s3_base64(self._crc)
        if self._upload_id and self._buffer:
            self._send(bytes(self._buffer))
            self._buffer.clear()
        with self._store.translated("Writing", self._key):
            done = self._complete(crc) if self._upload_id else self._put(crc)
        self._committed = True
        stored = done.get("ChecksumCRC64NVME")
        if stored and stored != crc:
            raise ProofFailed(f"S3 stored {self._store.url.at(self._key)} with another CRC64NVME than was sent.")
        version = done.get("VersionId")
        return ObjectInfo(
            self._key, self._size, etag=done["ETag"].strip('"'), version_id=None if version == "null" else version,
            content_type=str(self._about.get("ContentType", "")), metadata=dict(self._about["Metadata"]),
            checksums={"crc64nvme": checksums.crc64_hex(self._crc)} if stored else {},
        )  # fmt: skip

    def _put(self, crc: str) -> Any:
        body = bytes(self._buffer)
        return self._store.client.put_object(
            **self._place, **self._about, **self._condition, Body=body, ChecksumAlgorithm="CRC64NVME", ChecksumCRC64NVME=crc
        )

    def _complete(self, crc: str) -> Any:
        return self._store.client.complete_multipart_upload(
            **self._place, **self._condition, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts},
            ChecksumCRC64NVME=crc, ChecksumType="FULL_OBJECT",
        )  # fmt: skip

    def abort(self) -> None:
        """Remove the parts sent so far. Never raises; what could not be removed is left to the bucket's lifecycle rule."""
        if self._upload_id and not self._committed:
            with contextlib.suppress(ClientError, BotoCoreError):
                self._store.client.abort_multipart_upload(**self._place, UploadId=self._upload_id)
            self._upload_id = ""
        self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        if not self._committed:
            self.abort()
