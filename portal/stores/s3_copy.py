"""Copying within one bucket without a byte through us: CopyObject, and UploadPartCopy beyond its 5 GiB.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html and …/API_UploadPartCopy.html.
"""

from __future__ import annotations

import contextlib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from portal.errors import NotFound, SourceChanged
from portal.stores.base import ObjectInfo
from portal.stores.s3_answers import name_of
from portal.stores.s3_write import Bucket

MAX_COPY_BYTES = 5 << 30
"""The largest object that one CopyObject copies."""
_PART_BYTES = 1 << 30


def copy(bucket: Bucket, pin: ObjectInfo, new_key: str) -> None:
    """Make the pinned object appear whole under another key too, headers and metadata with it. Raises SourceChanged and what stores raise."""
    container = bucket.url.container
    about = {"Bucket": container, "Key": new_key, "ChecksumAlgorithm": "CRC64NVME"}
    source = {"CopySource": {"Bucket": container, "Key": pin.key}, "CopySourceIfMatch": f'"{pin.etag}"'}
    try:
        with bucket.translated("Copying", pin.key):
            if pin.size_bytes <= MAX_COPY_BYTES:
                bucket.client.copy_object(**about, **source)
            else:
                _in_parts(bucket.client, pin, about, source)
    except NotFound as error:
        raise SourceChanged(f"{name_of(container, pin.key)} was deleted before it was copied.") from error


def _in_parts(client: Any, pin: ObjectInfo, about: dict[str, Any], source: dict[str, Any]) -> None:
    place = {"Bucket": about["Bucket"], "Key": about["Key"]}
    kind = {"ContentType": pin.content_type} if pin.content_type else {}
    upload = client.create_multipart_upload(**about, **kind, ChecksumType="FULL_OBJECT", Metadata=dict(pin.metadata))["UploadId"]
    try:
        parts = []
        for number, start in enumerate(range(0, pin.size_bytes, _PART_BYTES), 1):
            reach = f"bytes={start}-{min(start + _PART_BYTES, pin.size_bytes) - 1}"
            told = client.upload_part_copy(**place, **source, UploadId=upload, PartNumber=number, CopySourceRange=reach)["CopyPartResult"]
            crc = {name: told[name] for name in ("ChecksumCRC64NVME",) if name in told}
            parts.append({"PartNumber": number, "ETag": told["ETag"], **crc})
        client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT")
    except BaseException:
        with contextlib.suppress(ClientError, BotoCoreError):
            client.abort_multipart_upload(**place, UploadId=upload)
        raise
