"""What was proven of a copy, and how.

| level | meaning |
| --- | --- |
| read-back | the target was read again, and is equal to the bytes that passed (CRC64NVME or MD5) |
| end-to-end | the checksum that the source stores fits the bytes that passed, and the target compared every block with ours |
| streamed | the target compared every block with ours; the source stores no checksum that could be used |
| converted | the source's checksum was compared where it has one, the target was read back, and the rows balance |
| size | only the lengths are equal; never shown as verified |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from portal.errors import ProofFailed
from portal.stores.base import ObjectInfo, Store
from portal.transfer.digests import Digests

Level = Literal["read-back", "end-to-end", "streamed", "converted", "size", "none"]
Verify = Literal["none", "crc", "md5"]

_STRONGEST_FIRST = ("crc64nvme", "sha256", "sha1", "crc32c", "crc32")
"""CRC64NVME leads because it is computed anyway. MD5 costs half a second a GiB more and is compared only when it was asked for."""

_READ_BYTES = 8 << 20


def source_algorithm(info: ObjectInfo, verify: Verify) -> str:
    """Return the name of the stored source checksum to compare with, '' when there is none that can be used."""
    usable = ("md5", *_STRONGEST_FIRST) if verify == "md5" else _STRONGEST_FIRST
    return next((name for name in usable if name in info.checksums), "")


def compare_source(info: ObjectInfo, algorithm: str, digests: Digests, place: object) -> str:
    """Compare the bytes that passed with what the source stores; returns `name:value`, '' without one. Raises ProofFailed."""
    if not algorithm:
        return ""
    stored, passed = info.checksums[algorithm], digests.hex(algorithm)
    if stored != passed:
        raise ProofFailed(f"The bytes read from {place} have {algorithm} {passed}; stored is {stored}.", hint="Try again; the source may be damaged.")
    return f"{algorithm}:{stored}"


def read_back(target: Store, written: ObjectInfo, digests: Digests, verify: Verify, check: Callable[[], None]) -> None:
    """Read the target again and compare. Raises ProofFailed, SourceChanged when it was replaced meanwhile."""
    algorithm = "md5" if verify == "md5" else "crc64nvme"
    again = Digests([algorithm])
    with target.open_read(written.key, pin=written) as reader:
        while block := reader.read(_READ_BYTES):
            check()
            again.update(block)
    place = target.url.at(written.key)
    if again.size_bytes != digests.size_bytes:
        raise ProofFailed(f"{place} has {again.size_bytes} bytes; {digests.size_bytes} were sent.", hint="Try again.")
    if again.hex(algorithm) != digests.hex(algorithm):
        raise ProofFailed(f"{place} has {algorithm} {again.hex(algorithm)}; sent was {digests.hex(algorithm)}.", hint="Try again.")


def level(*, was_read_back: bool, source_compared: bool, blocks_checked: bool) -> Level:
    """Return the level that was reached."""
    if was_read_back:
        return "read-back"
    if not blocks_checked:
        return "size"
    return "end-to-end" if source_compared else "streamed"
