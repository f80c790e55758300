"""The files that are uploaded: no two are alike, none compresses, and what each must be can be told again at any time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_MIB = 1 << 20


@dataclass(frozen=True)
class Files:
    """So many files of one size in one folder."""

    name: str
    count: int
    size_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.count * self.size_bytes

    @property
    def title(self) -> str:
        size = f"{self.size_bytes / _MIB:g} MiB" if self.size_bytes >= _MIB else f"{self.size_bytes >> 10} KiB"
        return f"{self.count:,} × {size}"

    def key(self, number: int) -> str:
        return f"file-{number:06d}.bin"

    def make(self, folder: Path) -> None:
        """Write them; the bytes are the same in every run."""
        folder.mkdir(parents=True)
        pattern = hashlib.shake_128(b"files to upload").digest(_MIB)
        for number in range(self.count):
            with (folder / self.key(number)).open("wb") as file:
                for start in range(0, self.size_bytes, _MIB):
                    mark = f"{self.name} {number} {start} ".encode()
                    file.write((mark + pattern)[: min(_MIB, self.size_bytes - start)])


SMALL = Files("small", 5_000, 16 << 10)
LARGE = Files("large", 4, 256 * _MIB)
QUICK_SMALL = Files("small", 200, 16 << 10)
QUICK_LARGE = Files("large", 2, 20 * _MIB)
EMPTY = Files("empty", 0, 0)
