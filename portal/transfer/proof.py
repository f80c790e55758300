"""What was proven of a copy, and how.

| level | meaning |
| --- | --- |
| read-back | the target was read again, and is equal to the bytes that passed (CRC64NVME or MD5) |
| end-to-end | the checksum that the source stores fits the bytes that passed, and the target compared every block with ours; of a server-side
  copy: the CRC64s of what the target fetched, combined, are the CRC64NVME that the source stores |
| streamed | the target compared every block with ours; the source stores no checksum that could be used |
| converted | the source's checksum was compared where it has one, the target was read back, and the rows balance |
| size | only the lengths are equal; never shown as verified |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from portal.errors import ProofFailed

if TYPE_CHECKING:
    from portal.stores.base import ObjectInfo
    from portal.transfer.digests import Digests

Level = Literal["read-back", "end-to-end", "streamed", "converted", "size", "none"]
Verify = Literal["none", "crc", "md5"]

_CHEAPEST_FIRST = ("crc64nvme", "crc32c", "crc32", "sha256", "sha1", "crc32c-composite", "crc32-composite", "sha256-composite", "sha1-composite")
"""Stored source checksums that are compared unasked. CRC64NVME is computed anyway, the other CRCs cost nearly nothing and combine from blocks in
any order; a hash needs the object read in order. MD5 costs more than a second a GiB and is compared only when it was asked for."""


def comparable(checksums: Mapping[str, str], *, md5: bool) -> list[str]:
    """Return the names of the stored source checksums to compare: the cheapest one, or the next if that cannot be made, and MD5 if it was asked for.

    The first is to be compared; those after it only where it cannot be (a composite one whose parts' sizes nobody tells). `md5` and
    `md5-composite` come last and are always compared."""
    found = [name for name in _CHEAPEST_FIRST if name in checksums]
    return [*found, *[name for name in ("md5", "md5-composite") if md5 and name in checksums]]


def level(*, read_back: bool, compared: bool, checked: bool, pulled: bool = False) -> Level:
    """Return the level that was reached.

    Args:
        read_back: the target was read again and is equal to what was sent
        compared: a checksum that the source stores is that of the bytes
        checked: the target compared every block with our checksum of it
        pulled: the bytes did not pass us, so there is no checksum of ours, and only `compared` proves anything
    """
    if pulled and not compared:
        return "size"
    if read_back:
        return "read-back"
    if not (checked or pulled):
        return "size"
    return "end-to-end" if compared else "streamed"


def source_algorithm(info: ObjectInfo, verify: Verify) -> str:
    """Return the name of the stored source checksum to compare the stream of a conversion with, '' when there is none that can be used."""
    return next((name for name in comparable(info.checksums, md5=verify == "md5") if "-" not in name), "")


def compare_source(info: ObjectInfo, algorithm: str, digests: Digests, place: object) -> str:
    """Compare the bytes that passed with what the source stores; returns `name:value`, '' without one. Raises ProofFailed."""
    return compare(place, algorithm, info.checksums[algorithm], digests.hex(algorithm)) if algorithm else ""


def compare(place: object, algorithm: str, stored: str, passed: str) -> str:
    """Return `name:value` of two checksums that are equal. Raises ProofFailed."""
    if stored != passed:
        raise ProofFailed(f"The bytes read from {place} have {algorithm} {passed}; stored is {stored}.", hint="Try again; the source may be damaged.")
    return f"{algorithm}:{stored}"
