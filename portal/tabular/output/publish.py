"""Brings finished parts to the target: one object, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from portal.errors import StoreError
from portal.stores.base import ObjectInfo, Store
from portal.stores.checksums import crc64, crc64_hex
from portal.tabular.output.sink import Part
from portal.tabular.rows import Check

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Published:
    """A part at the target."""

    part: Part
    object: ObjectInfo
    crc64: str
    """CRC64NVME, 16 hexadecimal digits, of the bytes as they were sent."""


def publish_one(part: Part, store: Store, key: str, *, overwrite: bool, metadata: Mapping[str, str], check: Check) -> Published:
    """Write a part to a store as one object. Raises AlreadyExists, what stores raise and what `check` raises; then nothing is there."""
    crc, buffer = 0, memoryview(bytearray(_BLOCK))
    with (
        part.path.open("rb", buffering=0) as file,
        store.open_write(
            key, overwrite=overwrite, size_bytes=part.size_bytes, content_type=part.content_type, metadata=metadata
        ) as writer,
    ):  # fmt: skip
        while size := file.readinto(buffer):
            check()
            crc = crc64(buffer[:size], crc)
            writer.write(buffer[:size])
        return Published(part, writer.commit(), crc64_hex(crc))


def withdraw(store: Store, published: Published) -> None:
    """Remove a published object again, unless somebody has replaced it meanwhile. Never raises for what the store does."""
    with suppress(StoreError):
        if store.stat(published.object.key).etag == published.object.etag:
            store.delete(published.object.key)
