"""Reading a table's metadata file, plain or gzip."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any
from zlib import error as BrokenGzip

from portal.lake.iceberg.files import Files
from portal.lake.iceberg.paths import read_path
from portal.lake.iceberg.refusals import TableBroken, TableRefused, encrypted

Metadata = dict[str, Any]

NEWEST_FORMAT = 3
_MOST_BYTES = 1 << 30
"""A hundred times what ten thousand snapshots take: more is no metadata, and would fill this machine's memory."""
_NEEDED = ("format-version", "location", "last-updated-ms", "last-column-id")


def read_metadata(files: Files, path: str) -> Metadata:
    """Return a table's metadata as its file has it. Raises NotFound, TableBroken, TableRefused (newer than format 3, encrypted)."""
    with files.open(read_path(path)) as stream:
        data = stream.read()
    return parsed(data, path)


def unpacked(data: bytes) -> bytes:
    """Return the text of a metadata file, packed or not. Raises ValueError, EOFError, OSError and zlib's error."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        plain = stream.read(_MOST_BYTES + 1)
    if len(plain) > _MOST_BYTES:
        raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
    return plain


def parsed(data: bytes, path: str) -> Metadata:
    """Return the metadata that a file holds; `path` is for the errors. Raises TableBroken, TableRefused."""
    try:
        metadata = json.loads(unpacked(data))
    except (ValueError, EOFError, OSError, RecursionError, BrokenGzip) as error:
        raise TableBroken(f"{path} is not Iceberg metadata: it is no JSON.", hint="Name the table's current …metadata.json.") from error
    if not isinstance(metadata, dict) or (missing := [name for name in _NEEDED if name not in metadata]):
        lacks = f"it has no {', '.join(missing)}" if isinstance(metadata, dict) else "it is no object"
        raise TableBroken(f"{path} is not Iceberg metadata: {lacks}.", hint="Name the table's current …metadata.json.")
    if metadata["format-version"] not in range(1, NEWEST_FORMAT + 1):
        raise TableRefused(f"{path} has format {metadata['format-version']}, and Iceberg's formats 1 to {NEWEST_FORMAT} are known here.")
    if metadata.get("encryption-keys") or any(snapshot.get("key-id") for snapshot in metadata.get("snapshots") or []):
        raise encrypted(path)
    return metadata
