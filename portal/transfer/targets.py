"""All target names of a plan, in a scratch database on disk: finds twins and conflicts while memory stays flat."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from portal.transfer.plan import Entry

_SCHEMA = """
CREATE TABLE files (target TEXT NOT NULL, n INTEGER NOT NULL, source TEXT NOT NULL);
CREATE TABLE folders (path TEXT PRIMARY KEY, source TEXT NOT NULL) WITHOUT ROWID;
"""


class Targets:
    """The target names of the entries that move, and the folders they need."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._base = sqlite3.connect(path)
        self._base.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _SCHEMA)

    def fill(self, entries: Iterable[Entry]) -> None:
        moving = (entry for entry in entries if entry.moves)
        self._base.executemany("INSERT INTO files VALUES (?, ?, ?)", self._with_folders(moving))
        self._base.executescript("CREATE INDEX by_target ON files (target);")

    def _with_folders(self, entries: Iterable[Entry]) -> Iterator[tuple[str, int, str]]:
        before: str | None = None
        for entry in entries:
            folder = entry.target_key.rpartition("/")[0]
            if folder != before:
                before = folder
                paths = ((path, entry.key) for path in ("", *ancestors(entry.target_key)))
                self._base.executemany("INSERT OR IGNORE INTO folders VALUES (?, ?)", paths)
            yield entry.target_key, entry.n, entry.key

    def twins(self, limit: int) -> list[tuple[str, str, str]]:
        """Return (target, one source, another source) for each name that several sources claim."""
        query = "SELECT target, min(source), max(source) FROM files GROUP BY target HAVING count(*) > 1 ORDER BY target LIMIT ?"
        return self._base.execute(query, (limit,)).fetchall()

    def files_that_are_folders(self, limit: int) -> list[tuple[str, str, str]]:
        """Return (target, its source, a source below it) for each target that is also a folder of another."""
        query = (
            "SELECT files.target, files.source, folders.source FROM folders JOIN files ON files.target = folders.path"
            " WHERE files.target != '' ORDER BY files.target LIMIT ?"
        )
        return self._base.execute(query, (limit,)).fetchall()

    def folders(self) -> Iterator[str]:
        """Yield the folders that are needed, parents first."""
        for (path,) in self._base.execute("SELECT path FROM folders ORDER BY path"):
            yield path

    def entry_of(self, target: str) -> int | None:
        """Return the entry that is to become this target."""
        found = self._base.execute("SELECT n FROM files WHERE target = ?", (target,)).fetchone()
        return None if found is None else int(found[0])

    def is_folder(self, path: str) -> bool:
        return self._base.execute("SELECT 1 FROM folders WHERE path = ?", (path,)).fetchone() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self._base.close()
        self._path.unlink(missing_ok=True)


def ancestors(key: str) -> list[str]:
    """Return the folders a key lies in, outermost first."""
    parts = key.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]
