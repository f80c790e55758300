"""Writes a local file that we made to a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from portal.stores.base import ObjectInfo, Store

_BLOCK_BYTES = 8 << 20


def upload_file(path: Path, target: Store, key: str, *, overwrite: bool, check: Callable[[], None]) -> ObjectInfo:
    """Write a file as one object. Raises AlreadyExists, what stores raise and what `check` raises."""
    with path.open("rb") as file, target.open_write(key, overwrite=overwrite, size_bytes=path.stat().st_size) as writer:
        while block := file.read(_BLOCK_BYTES):
            check()
            writer.write(block)
        return writer.commit()
