"""Checksums as stores write them, and as we do: always hexadecimal, most significant byte first.

S3's CRC64NVME and Azure Storage's CRC64 are the same checksum; S3 sends the big-endian bytes in base64, Azure the little-endian ones.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from awscrt import checksums

ALGORITHMS = ("crc64nvme", "sha256", "sha1", "crc32c", "crc32", "md5")
"""Those that S3 stores for an object, as their names are written here."""


def crc64(data: bytes | memoryview, before: int = 0) -> int:
    """Return the CRC64NVME of data that follows data whose CRC64NVME is `before`."""
    found: int = checksums.crc64nvme(data, before)
    return found


def crc64_hex(value: int) -> str:
    return f"{value:016x}"


def s3_base64(value: int) -> str:
    """A CRC64NVME as S3 takes it (x-amz-checksum-crc64nvme)."""
    return base64.b64encode(value.to_bytes(8, "big")).decode()


def azure_bytes(value: int) -> bytes:
    """A CRC64 as Azure Storage takes it (x-ms-content-crc64), before base64."""
    return value.to_bytes(8, "little")


def of_s3(response: Mapping[str, Any]) -> dict[str, str]:
    """Return the stored checksums that an S3 response carries, `…-composite` for those made of the parts' checksums."""
    found = {}
    for name in ALGORITHMS:
        text = response.get(f"Checksum{name.upper()}")
        if not text:
            continue
        digest, _, parts = text.partition("-")
        composite = bool(parts) or response.get("ChecksumType") == "COMPOSITE"
        found[f"{name}-composite" if composite else name] = base64.b64decode(digest).hex()
    return found
