"""What a table is made of, in a database on disk: memory stays flat at any number of files. Safe for use from many threads."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from portal.lake.iceberg.paths import identity, written_path
from portal.lake.iceberg.position_deletes import Facts
from portal.stores.url import StoreURL

INVENTORY_FILE = "table.sqlite"
_PAGE = 1000

Kind = Literal["data", "equality_deletes", "position_deletes", "deletion_vectors", "statistics"]
MOVED: tuple[Kind, ...] = ("data", "equality_deletes", "statistics")
"""They go over byte for byte."""
NAMING: tuple[Kind, ...] = ("position_deletes", "deletion_vectors")
"""They name data files and are written anew."""

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE lists (path TEXT PRIMARY KEY, snapshot INTEGER NOT NULL, written TEXT) WITHOUT ROWID;
CREATE TABLE manifests (
    url TEXT PRIMARY KEY, path TEXT NOT NULL, snapshot INTEGER, length INTEGER NOT NULL, entries INTEGER, there INTEGER NOT NULL, written INTEGER
) WITHOUT ROWID;
CREATE TABLE files (
    url TEXT PRIMARY KEY, path TEXT NOT NULL, root TEXT NOT NULL, kind TEXT NOT NULL, format TEXT NOT NULL, size INTEGER NOT NULL,
    records INTEGER NOT NULL, written TEXT
) WITHOUT ROWID;
"""


class Manifest(NamedTuple):
    """A manifest as the lists name it."""

    url: str
    """The same for every way to write its path."""
    path: str
    snapshot: int | None
    """The one that added it."""
    length: int
    entries: int | None
    """How many it must have, None when its list does not say."""
    there: bool
    """An earlier run brought it to the target."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file that manifests or the metadata name."""

    url: str
    path: str
    """As the metadata has it."""
    root: str
    """URL of the container that it lies in."""
    kind: Kind
    format: str
    size_bytes: int
    records: int


class Inventory:
    """The database of one table. Opening it makes it anew unless it is complete for the same `header`."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self._lock = threading.RLock()
        self._base = self._opened(path, json.dumps(header, sort_keys=True))

    def _opened(self, path: Path, header: str) -> sqlite3.Connection:
        if path.exists():
            base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            if _complete(base, header):
                return base
            base.close()
        for name in (path, path.with_name(f"{path.name}-journal"), path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            name.unlink(missing_ok=True)
        base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16384;" + _SCHEMA)
        base.execute("INSERT INTO facts VALUES ('header', ?)", (header,))
        return base

    @property
    def complete(self) -> bool:
        """Everything has been found."""
        return bool(self._rows("SELECT 1 FROM facts WHERE name = 'complete'"))

    def completed(self) -> None:
        self._write("INSERT OR REPLACE INTO facts VALUES ('complete', 'yes')", [()])

    def written_for(self, target: str) -> None:
        """Begin to write for a target, or go on with it: what was written for another does not count."""
        with self._lock:
            if self._rows("SELECT 1 FROM facts WHERE name = 'target' AND value = ?", target):
                return
            self._base.execute("BEGIN")
            for table in ("lists", "manifests", "files"):
                self._base.execute(f"UPDATE {table} SET written = NULL")  # noqa: S608
            self._base.execute("INSERT OR REPLACE INTO facts VALUES ('target', ?)", (target,))
            self._base.execute("COMMIT")

    def add_lists(self, rows: Iterable[tuple[str, int]]) -> None:
        self._write("INSERT OR IGNORE INTO lists (path, snapshot) VALUES (?, ?)", rows)

    def add_manifests(self, rows: Iterable[Manifest]) -> None:
        self._write("INSERT OR IGNORE INTO manifests (url, path, snapshot, length, entries, there) VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_files(self, rows: Iterable[TableFile]) -> None:
        self._write(
            "INSERT OR IGNORE INTO files (url, path, root, kind, format, size, records) VALUES (?, ?, ?, ?, ?, ?, ?)", map(astuple, rows)
        )  # fmt: skip

    def lists(self, *, unwritten: bool = False) -> Iterator[tuple[str, int]]:
        """Yield path and snapshot of each manifest list."""
        for path, snapshot, _ in self._paged("lists", "path", "path, snapshot, written", "written IS NULL" if unwritten else "1"):
            yield path, snapshot

    def manifests(self, *, unwritten: bool = False) -> Iterator[Manifest]:
        """Yield the manifests that an earlier run has not brought over; `unwritten`: nor this one."""
        columns = "url, path, snapshot, length, entries, there"
        for row in self._paged("manifests", "url", columns, "there = 0 AND written IS NULL" if unwritten else "there = 0"):
            yield Manifest(*row)

    def files(self, *kinds: Kind, root: str = "", unwritten: bool = False) -> Iterator[TableFile]:
        """Yield the files of some kinds, by URL; of one container only when `root` is its URL."""
        chosen = " OR ".join(f"kind = '{kind}'" for kind in kinds)
        conditions = f"({chosen})" + (" AND root = ?" if root else "") + (" AND written IS NULL" if unwritten else "")
        for row in self._paged("files", "url", "url, path, root, kind, format, size, records", conditions, (root,) if root else ()):
            yield TableFile(*row)

    def roots(self) -> list[str]:
        """Return the URLs of the containers that hold files which are moved as they are."""
        kinds = ", ".join(f"'{kind}'" for kind in MOVED)
        return [row[0] for row in self._rows(f"SELECT DISTINCT root FROM files WHERE kind IN ({kinds}) ORDER BY root")]  # noqa: S608

    def totals_by_root(self) -> dict[str, tuple[int, int]]:
        """Return files and bytes in each container, by its URL."""
        rows = self._rows("SELECT root, count(*), sum(size) FROM files GROUP BY root ORDER BY root")
        return {root: (count, size) for root, count, size in rows}

    def totals(self) -> dict[str, tuple[int, int, int]]:
        """Return files, bytes and records of each kind."""
        rows = self._rows("SELECT kind, count(*), sum(size), sum(records) FROM files GROUP BY kind")
        return {kind: (count, size, records) for kind, count, size, records in rows}

    def count(self, table: Literal["lists", "manifests"]) -> int:
        return int(self._rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608

    def length_of(self, url: str) -> int | None:
        """Return the length in bytes that a manifest has at the target, None while it is not written."""
        rows = self._rows("SELECT written FROM manifests WHERE url = ?", url)
        return rows[0][0] if rows else None

    def set_length(self, url: str, size_bytes: int) -> None:
        self._write("UPDATE manifests SET written = ? WHERE url = ?", [(size_bytes, url)])

    def set_list(self, path: str, written: datetime) -> None:
        """Note that a manifest list is at the target, and when it was written there."""
        self._write("UPDATE lists SET written = ? WHERE path = ?", [(written.astimezone(UTC).isoformat(timespec="microseconds"), path)])

    def last_list(self) -> datetime | None:
        """Return when the last manifest list was written, as its store has it; None when there is none."""
        found = self._rows("SELECT max(written) FROM lists")[0][0]
        return datetime.fromisoformat(found) if found else None

    def facts_of(self, url: str) -> Facts | None:
        """Return what the target's file with deletes is like, None while it is not written."""
        rows = self._rows("SELECT written FROM files WHERE url = ?", url)
        if not rows or rows[0][0] is None:
            return None
        size, low, high, sizes, offsets = json.loads(rows[0][0])
        return Facts(size, low, high, tuple((field, length) for field, length in sizes), tuple(offsets))

    def set_facts(self, url: str, facts: Facts) -> None:
        self._write("UPDATE files SET written = ? WHERE url = ?", [(json.dumps(astuple(facts)), url)])

    def set_there(self, rows: Iterable[tuple[str, int]]) -> None:
        """Note which files a listing shows, by URL and size in bytes: those that have the size they should are there."""
        self._write("UPDATE files SET written = 'there' WHERE url = ? AND size = ?", rows)

    def set_later(self, places: Iterable[StoreURL]) -> None:
        """Note which files somebody has written over: manifests and lists are not there then, whatever their size."""
        found = list(places)
        self._write("UPDATE manifests SET written = 0 WHERE url = ?", [(identity(place),) for place in found])
        self._write("UPDATE lists SET written = '' WHERE path = ?", [(written_path(place),) for place in found])

    def not_there(self) -> tuple[int, str, int]:
        """Return how many files no listing showed as they should be, and path and size of the first; 0 where nobody knows its size."""
        rows = self._rows(
            "SELECT path, size, count(*) OVER () FROM ("
            "SELECT 0 AS place, path, size FROM files WHERE written IS NULL UNION ALL "
            "SELECT 1, path, length FROM manifests WHERE written IS NOT NULL UNION ALL SELECT 2, path, 0 FROM lists WHERE written IS NOT NULL"
            ") ORDER BY place, path LIMIT 1"
        )
        return (rows[0][2], rows[0][0], rows[0][1]) if rows else (0, "", 0)

    def _paged(self, table: str, key: str, columns: str, conditions: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """A page at a time: others may write meanwhile."""
        last = ""
        query = f"SELECT {columns} FROM {table} WHERE {key} > ? AND {conditions} ORDER BY {key} LIMIT {_PAGE}"  # noqa: S608
        while rows := self._rows(query, last, *values):
            yield from rows
            last = rows[-1][0]

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def _write(self, statement: str, rows: Iterable[Any]) -> None:
        found = list(rows)  # whatever makes them does it before others wait
        with self._lock:
            self._base.execute("BEGIN")
            try:
                self._base.executemany(statement, found)
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


def _complete(base: sqlite3.Connection, header: str) -> bool:
    try:
        facts = dict(base.execute("SELECT name, value FROM facts"))
    except sqlite3.DatabaseError:
        return False
    return facts.get("header") == header and "complete" in facts
