"""Writing files so that a power cut leaves the old or the new one, whole. Standard library only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make creations, links, renames and removals in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Create a file that must not exist yet and force its content to the disk (not its name: see `sync_folder`)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_durably(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Replace a file atomically and durably."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    write_synced(fresh, data, mode)
    try:
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
