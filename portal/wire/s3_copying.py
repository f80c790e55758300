"""Copying between buckets of one S3 without a byte through us (CopyObject, UploadPartCopy); the store computes the CRC64NVME of what it copied.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html and …/API_UploadPartCopy.html.
"""

from __future__ import annotations

import binascii

from portal.errors import NotFound, PortalError, ProofFailed
from portal.stores.s3_answers import name_of
from portal.wire.connection import Answer
from portal.wire.ends import About, Pin, Written
from portal.wire.s3_about import about_headers
from portal.wire.s3_listing import fields
from portal.wire.s3_requests import Refused, changed
from portal.wire.s3_writing import NEW_ONLY, WORK_S, S3Writing
from portal.wire.signing import quoted_path

MAX_COPY_BYTES = 5 << 30
"""The largest object that one CopyObject copies, and the largest part."""


class S3Copying(S3Writing):
    """An end whose service copies from another bucket that the same keys may read."""

    def copy(self, pin: Pin, source_container: str, key: str, about: About, *, overwrite: bool) -> tuple[Written, int | None]:
        """Copy a whole object of at most MAX_COPY_BYTES; returns the CRC64NVME that the store computed, None when it told none.

        Raises:
            SourceChanged: the source is not the pinned one; AlreadyExists: unless `overwrite`; AccessDenied: at either side
        """
        headers = [*about_headers(about), *_source(pin, source_container), ("x-amz-checksum-algorithm", "CRC64NVME")]
        headers += [("x-amz-metadata-directive", "REPLACE"), ("x-amz-tagging-directive", "REPLACE")]
        if not overwrite:
            headers.append(NEW_ONLY)
        answer, told = self._copied(pin, source_container, key, [], headers)
        crc = _crc(told.get("ChecksumCRC64NVME", ""))
        version = answer.header("x-amz-version-id")
        return Written(told.get("ETag", "").strip('"'), "" if version == "null" else version, checked=crc is not None), crc

    def copy_block(
        self, key: str, upload: str, number: int, pin: Pin, source_container: str, *, start: int, size_bytes: int
    ) -> tuple[str, int | None]:  # fmt: skip
        """Copy a range of the source as a part of what was begun; returns its mark and the CRC64NVME that the store computed, if it told one.

        Raises:
            SourceChanged: the source is not the pinned one; UploadGone; StoreError: more parts than S3 takes
        """
        headers = _source(pin, source_container)
        if start or size_bytes != pin.size_bytes:
            headers.append(("x-amz-copy-source-range", f"bytes={start}-{start + size_bytes - 1}"))
        _, told = self._copied(pin, source_container, key, self._part(key, upload, number), headers)
        return told.get("ETag", "").strip('"'), _crc(told.get("ChecksumCRC64NVME", ""))

    def _copied(
        self, pin: Pin, container: str, key: str, parameters: list[tuple[str, str]], headers: list[tuple[str, str]]
    ) -> tuple[Answer, dict[str, str]]:  # fmt: skip
        answer = self._send("PUT", key, parameters, headers)
        content = answer.content(within_s=WORK_S)
        told = fields(content) if answer.status < 300 else {"": "Error"}
        if told[""] == "Error":  # it may refuse with a 200
            raise self._not_copied(Refused(answer, self.access, content), pin, container, key, NEW_ONLY in headers)
        return answer, told

    def _not_copied(self, refused: Refused, pin: Pin, container: str, key: str, new_only: bool) -> PortalError:
        """A refusal may be about either side: what the source is to blame for names it."""
        gone = refused.code in ("NoSuchKey", "NoSuchVersion", "404") or "copy-source" in refused.condition.lower()
        if gone or (refused.code in ("PreconditionFailed", "412") and not (new_only and self._is_there(key))):
            return changed(name_of(container, pin.key), "was replaced or deleted after it was listed", refused.said)
        return self._error(refused, f"Copying {name_of(container, pin.key)} to", key)

    def _is_there(self, key: str) -> bool:
        try:
            self.find(key)
        except NotFound:
            return False
        return True


def _source(pin: Pin, container: str) -> list[tuple[str, str]]:
    place = quoted_path(f"/{container}/{pin.key}")
    if pin.version_id:
        return [("x-amz-copy-source", f"{place}?versionId={quoted_path(pin.version_id)}")]
    return [("x-amz-copy-source", place), *([("x-amz-copy-source-if-match", f'"{pin.etag}"')] if pin.etag else [])]


def _crc(text: str) -> int | None:
    """Raises ProofFailed for what is no CRC64NVME of a whole object."""
    if not text:
        return None
    try:
        return int.from_bytes(binascii.a2b_base64(text), "big")
    except binascii.Error:
        raise ProofFailed("S3 told a CRC64NVME that is none.") from None
