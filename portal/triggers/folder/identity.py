"""What makes a file the same file, whatever it is called: where it lies on the disk, and how long and how old it is. No I/O."""

from __future__ import annotations

import os
from typing import NamedTuple, Self


class Identity(NamedTuple):
    """A file with the content that it had when it was looked at."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
