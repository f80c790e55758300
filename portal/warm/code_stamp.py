"""Whether the code on the disk is still that which a process has imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

Stamp = frozenset[tuple[str, int, int, int]]


def code_stamp(*folders: Path) -> Stamp:
    """Return what changes when a Python file below the folders is changed, added or removed, or a package is installed or removed.

    Raises:
        OSError: a folder cannot be read, for instance because it is just being replaced.
    """
    found = {each for folder in folders for each in _files(str(folder))}
    packages = [Path(entry) for entry in sys.path if os.path.isdir(entry) and Path(entry).name.endswith("-packages")]
    return frozenset(found | {_stamp(str(entry), entry.stat()) for entry in packages})


def _files(folder: str) -> Iterator[tuple[str, int, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield _stamp(entry.path, entry.stat())
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _files(entry.path)


def _stamp(path: str, stat: os.stat_result) -> tuple[str, int, int, int]:
    return path, stat.st_ino, stat.st_mtime_ns, stat.st_size
