"""Walking a folder in name order, and the names of files that are being written.

A file or ADLS object that is being written is called `.portal-<16 hex digits>.part`, in the folder of its target: Spark, Hive and
friends pass over names that begin with a dot, and our own listings leave it out.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

_PARTIAL = re.compile(r"\.portal-[0-9a-f]{16}\.part")


def partial_name() -> str:
    """Return a fresh name for something that is being written."""
    return f".portal-{secrets.token_hex(8)}.part"


def is_partial(name: str) -> bool:
    """Whether a key or file name is that of something being written."""
    return _PARTIAL.fullmatch(name.rpartition("/")[2]) is not None


def names_below(folder: Path, base: str, prefix: str, *, recursive: bool, after: str | None) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield key and entry of what is in a folder, in name order, folders before what is in them; links are not walked into.

    Args:
        base: the folder's key, ending in '/' (or '')
        prefix: only keys that start with this
        after: only keys that come after this one in the order
    """
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return  # removed since its parent was read
    for entry in ordered:
        key = base + entry.name
        if not key.startswith(prefix):
            continue
        if after is None or _order(key) > _order(after):
            yield key, entry
        elif _order(after)[: key.count("/") + 1] != _order(key):
            continue
        if recursive and entry.is_dir(follow_symlinks=False):
            yield from names_below(Path(entry.path), f"{key}/", prefix, recursive=True, after=after)


def _order(key: str) -> list[str]:
    return key.split("/")
