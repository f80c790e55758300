"""What is kept of a source object beside its bytes: written into the target's metadata.

`source_url`, `source_etag`, `source_modified` (RFC 3339) and `source_version` say where an object came from. The source's own metadata keep
their names, with every character but letters, digits and '_' made '_'; a name that is taken gets '_' appended. Values beyond ASCII are
percent-encoded (UTF-8). What does not fit into the target's limit is left out and named. Local files have no place for any of it.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from portal.stores.base import ObjectInfo
from portal.stores.url import StoreURL

LIMITS = {"s3": 2_000, "abfss": 7_000, "file": 0}
"""Bytes of names and values, a little below what the stores allow (2 KB, 8 KB)."""

_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def carried(info: ObjectInfo, source: StoreURL, target_scheme: str) -> tuple[dict[str, str], list[str]]:
    """Return the target's metadata, and the names of those that found no place."""
    wanted = {
        "source_url": str(source.at(info.key)),
        "source_etag": info.etag,
        "source_modified": info.modified.isoformat() if info.modified else "",
        "source_version": info.version_id or "",
    }
    for name, value in info.metadata.items():
        wanted[_free(name, wanted)] = value
    kept: dict[str, str] = {}
    left_out: list[str] = []
    room = LIMITS[target_scheme]
    for name, value in wanted.items():
        text = quote(value.strip(), safe=_SAFE)
        if not text:
            continue
        if len(name) + len(text) > room:
            left_out.append(name)
            continue
        room -= len(name) + len(text)
        kept[name] = text
    return kept, left_out if room or kept else []


def _free(name: str, taken: dict[str, str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name).lower()
    plain = f"_{plain}" if not plain or plain[0].isdigit() else plain
    while plain in taken:
        plain += "_"
    return plain
