"""Rows of many folders on the disk until their files are written: one file whatever their number, each folder's rows in the order they came."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

_CODEC = "lz4"


class Spool:
    """Takes record batches of one schema by name, for one thread; gives them back to many. The file is made here."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._path, self._schema, self._end = path, schema, 0
        self._places: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = open(self._descriptor, "wb", buffering=1 << 20)

    def add(self, name: str, batch: Any) -> None:
        plain = batch.serialize()
        packed = pa.compress(plain, codec=_CODEC)
        self._file.write(packed)
        self._places[name].append((self._end, packed.size, plain.size))
        self._end += packed.size

    def flush(self) -> None:
        """From now on what was added can be read."""
        self._file.flush()

    def batches(self, name: str) -> Iterator[Any]:
        """Yield what was added by a name."""
        for start, length, size in self._places.get(name, ()):
            plain = pa.decompress(os.pread(self._descriptor, length, start), decompressed_size=size, codec=_CODEC)
            yield pa.ipc.read_record_batch(plain, self._schema)

    def remove(self) -> None:
        """Never raises."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        with contextlib.suppress(OSError):  # a full disk, which whoever wrote has heard of
            self._file.close()
