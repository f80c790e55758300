"""A table's metadata file as it is at the target."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from portal.lake.iceberg.paths import Paths, plain_name
from portal.lake.iceberg.reading import Metadata
from portal.lake.iceberg.refusals import TableRefused

FOLDERS = ("write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path")
"""Properties of a table that name a folder."""
_VERSION = re.compile(r"v?(\d+)[-.]")
_PATHS_OF_STATISTICS = ("statistics", "partition-statistics")


def metadata_at(metadata: Metadata, paths: Paths) -> Metadata:
    """Return metadata with the target's names. Everything else stays: ids, schemas, specs, sort orders, refs, logs of snapshots, properties.

    The log of earlier metadata files is left empty, for those stay where they are."""
    found = {**metadata, "location": paths.location, "metadata-log": []}
    found["snapshots"] = [_snapshot(item, paths) for item in metadata.get("snapshots") or []]
    for name in _PATHS_OF_STATISTICS:
        if name in metadata:
            found[name] = [{**item, "statistics-path": paths.written(item["statistics-path"])} for item in metadata[name]]
    if metadata.get("properties"):
        found["properties"] = {name: _property(name, value, paths.folder) for name, value in metadata["properties"].items()}
    return found


def _snapshot(snapshot: dict[str, Any], paths: Paths) -> dict[str, Any]:
    return {**snapshot, "manifest-list": paths.written(snapshot["manifest-list"])}


def _property(name: str, value: str, folder: Callable[[str], str]) -> str:
    if name not in FOLDERS:
        return value
    try:
        return folder(value)
    except TableRefused as error:
        raise TableRefused(f"The table's property {name} is {value}, which is no place that can be reached.", hint=error.hint) from error


def metadata_name(source_path: str, written: bytes) -> str:
    """Return the path below the table's location of a new metadata file: its version at the source, and a UUID of what is in it, so that doing
    the same again finds the same file."""
    match = _VERSION.match(plain_name(source_path))
    return f"metadata/{int(match[1]) if match else 0:05d}-{uuid.uuid5(uuid.NAMESPACE_URL, written.decode())}.metadata.json"


def encoded(metadata: Metadata) -> bytes:
    return json.dumps(metadata, separators=(",", ":")).encode()
