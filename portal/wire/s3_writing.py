"""Writing the objects of a bucket: small ones by one PUT, larger ones by multipart upload, visible only when complete.

Every request carries the CRC64NVME of its bytes, and the last the CRC64NVME of the whole object, so that S3 itself checks what it was sent
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
"""

from __future__ import annotations

import contextlib
from binascii import b2a_base64
from collections.abc import Sequence
from html import escape

from portal.errors import NotFound, PortalError, ProofFailed, StoreError
from portal.stores.checksums import s3_base64
from portal.wire.connection import Answer
from portal.wire.ends import About, Block, Written
from portal.wire.s3_about import about_headers
from portal.wire.s3_listing import fields
from portal.wire.s3_reading import S3Reading
from portal.wire.s3_requests import Refused, changed

MAX_PARTS = 10_000
_CRC = "x-amz-checksum-crc64nvme"
NEW_ONLY = ("if-none-match", "*")
_NOT_IMPLEMENTED = 501
WORK_S = 1200
"""For so long S3 may send blanks before it says what came of a commit or copy, which takes minutes for the largest objects."""
_ANOTHER = "was replaced after it was looked at"


class S3Writing(S3Reading):
    """See `portal.wire.ends.End`."""

    def put(self, key: str, body: memoryview, about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        """S3 has no place for the MD5 and stores it not, but compares it."""
        headers = [*about_headers(about), *_checks(crc64, md5)]
        if not overwrite:
            headers.append(NEW_ONLY)
        answer = self._ask("Writing", "PUT", key, (), headers, body)
        answer.drain()
        return self._written(key, answer, answer.header("etag"), answer.header(_CRC), crc64)

    def _written(self, key: str, answer: Answer, etag: str, stored: str, crc64: int) -> Written:
        if stored and stored != s3_base64(crc64):
            raise ProofFailed(f"S3 stored {self._name(key)} with another CRC64NVME than was sent.", hint="Run the job again.")
        version = answer.header("x-amz-version-id")
        return Written(etag.strip('"'), "" if version == "null" else version, checked=bool(stored))

    def begin(self, key: str, about: About, size_bytes: int, *, overwrite: bool) -> str:
        headers = [*about_headers(about), ("x-amz-checksum-algorithm", "CRC64NVME"), ("x-amz-checksum-type", "FULL_OBJECT")]
        upload = fields(self._ask("Beginning to write", "POST", key, [("uploads", "")], headers).content()).get("UploadId", "")
        if not upload:
            raise StoreError(f"S3 began to write {self._name(key)}, but did not say under which id.")
        return upload

    def put_block(self, key: str, upload: str, number: int, start: int, body: memoryview, *, crc64: int, md5: bytes = b"") -> str:
        """Raises StoreError for a number that no part can have: at most 10,000 make an object."""
        answer = self._ask("Writing", "PUT", key, self._part(key, upload, number), _checks(crc64, md5), body)
        answer.drain()
        stored = answer.header(_CRC)
        if stored and stored != s3_base64(crc64):
            raise ProofFailed(f"S3 stored part {number + 1} of {self._name(key)} with another CRC64NVME than was sent.", hint="Run the job again.")
        return answer.header("etag").strip('"')

    def _part(self, key: str, upload: str, number: int) -> list[tuple[str, str]]:
        if number >= MAX_PARTS:
            raise StoreError(f"{self._name(key)} would have more than the {MAX_PARTS:,} parts that S3 takes.", hint="Set larger blocks.")
        return [("partNumber", str(number + 1)), ("uploadId", upload)]

    def commit(self, key: str, upload: str, blocks: Sequence[Block], about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        """Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html; it may refuse with a 200."""
        size = sum(block.size_bytes for block in blocks)
        headers = [(_CRC, s3_base64(crc64)), ("x-amz-checksum-type", "FULL_OBJECT"), ("x-amz-mp-object-size", str(size))]
        if not overwrite:
            headers.append(NEW_ONLY)
        body = "".join(_part_element(block) for block in blocks)
        whole = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{body}</CompleteMultipartUpload>'.encode()
        answer = self._ask("Writing", "POST", key, [("uploadId", upload)], headers, whole)
        told = self._succeeded(answer, "Writing", key)
        return self._written(key, answer, told.get("ETag", ""), told.get("ChecksumCRC64NVME", ""), crc64)

    def _succeeded(self, answer: Answer, what: str, key: str) -> dict[str, str]:
        """Return what an answer that may be a refusal in spite of its status tells."""
        content = answer.content(within_s=WORK_S)
        told = fields(content)
        if told[""] == "Error":
            raise self._error(Refused(answer, self.access, content), what, key)
        return told

    def abort(self, key: str, upload: str, size_bytes: int) -> None:
        with contextlib.suppress(PortalError):
            self._ask("Taking back", "DELETE", key, [("uploadId", upload)]).drain()

    def delete(self, key: str, *, etag: str = "") -> None:
        """The ETag is looked at first, for not every S3 knows conditions of a DELETE; those that do hold to it."""
        condition = []
        if etag:
            try:
                found = self.find(key)
            except NotFound:
                return
            if found.etag != etag:
                raise changed(self._name(key), _ANOTHER)
            condition = [("if-match", f'"{etag}"')]
        answer = self._send("DELETE", key, (), condition)
        if answer.status == _NOT_IMPLEMENTED and condition:
            answer.drain()
            answer = self._send("DELETE", key)
        if answer.status >= 300:
            self._raise_undeleted(Refused(answer, self.access), key)
        answer.drain()

    def _raise_undeleted(self, refused: Refused, key: str) -> None:
        if refused.code in ("PreconditionFailed", "412"):
            raise changed(self._name(key), _ANOTHER, refused.said)
        if refused.code not in ("NoSuchKey", "404"):
            raise self._error(refused, "Deleting", key)


def _checks(crc64: int, md5: bytes) -> list[tuple[str, str]]:
    checks = [(_CRC, s3_base64(crc64)), ("x-amz-sdk-checksum-algorithm", "CRC64NVME")]
    if md5:
        checks.append(("content-md5", b2a_base64(md5, newline=False).decode()))
    return checks


def _part_element(block: Block) -> str:
    crc = s3_base64(block.crc64)
    etag = escape(f'"{block.mark}"')
    return f"<Part><ChecksumCRC64NVME>{crc}</ChecksumCRC64NVME><ETag>{etag}</ETag><PartNumber>{block.number + 1}</PartNumber></Part>"
