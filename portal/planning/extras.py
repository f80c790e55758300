"""What only the target of a mirror has, in `extras.csv`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from portal.planning.filters import Filters
from portal.planning.there import Row
from portal.wire.ends import Listed

EXTRAS_FILE = "extras.csv"
_BATCH = 1_000
_HELD = 100_000


class Extra(NamedTuple):
    key: str
    size_bytes: int
    etag: str
    modified: str


class Extras:
    """Writes the file, which appears whole. Never folders, and only what the filters would have taken by its name and size."""

    def __init__(self, path: Path, folder: str, filters: Filters) -> None:
        self.path, self._folder, self._filters = path, folder, filters.by_name()
        self.count = self.bytes = 0
        self._waiting: list[Extra] = []

    def add(self, key: str, row: Row) -> None:
        if row.is_folder or key.endswith("/") or not key.startswith(self._folder):
            return
        self._put(Extra(key, row.size_bytes, row.etag, row.modified))

    def _put(self, extra: Extra) -> None:
        self._waiting.append(extra)
        if len(self._waiting) == _BATCH:
            self._write()

    def _write(self) -> None:
        cut = len(self._folder)
        keys, sizes, _, modified = map(list, zip(*self._waiting, strict=True)) if self._waiting else ([], [], [], [])
        blank = [""] * len(keys)
        reasons = self._filters.refusals([key[cut:] for key in keys], Listed(keys, sizes, blank, modified, blank, [False] * len(keys), blank, blank))
        meant = [extra for extra, reason in zip(self._waiting, reasons, strict=True) if not reason]
        self._waiting = []
        self.count += len(meant)
        self.bytes += sum(extra.size_bytes for extra in meant)
        self._csv.writerows(meant)

    def spare(self, named: Callable[[], Iterator[set[str]]], fold: Callable[[str], str] | None = None) -> int:
        """Take out of the written file what has a name that is meant, and return how many those were.

        Whatever made the file, an object that a plan names is not deleted after this: every key is held against every name. `named` yields
        all the names each time it is called, `fold` gives what two names have in common that are one to the store.
        """
        rest, spared = read(self.path), 0
        with Extras(self.path, "", Filters()) as kept:
            while batch := list(islice(rest, _HELD)):
                left = {extra: fold(extra.key) if fold else extra.key for extra in batch}
                keys, meant = set(left.values()), set[str]()
                for names in named():
                    meant |= keys & (set(map(fold, names)) if fold else names)
                spared += sum(place in meant for place in left.values())
                for extra, place in left.items():
                    if place not in meant:
                        kept._put(extra)
        self.count, self.bytes = kept.count, kept.bytes
        return spared

    def __enter__(self) -> Self:
        self._fresh = self.path.with_name(f".{self.path.name}")
        self._file = self._fresh.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerow(Extra._fields)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        if kind is None:
            self._write()
        self._file.close()
        if kind is None:
            self._fresh.replace(self.path)
        else:
            self._fresh.unlink(missing_ok=True)


def read(path: Path) -> Iterator[Extra]:
    """Yield what the file holds."""
    with path.open(encoding="utf-8", newline="") as file:
        rest = csv.reader(file)
        next(rest)
        for key, size, etag, modified in rest:
            yield Extra(key, int(size), etag, modified)
