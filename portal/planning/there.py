"""What is at the target: its listing, met with the names of a plan. In one order both go by side by side; otherwise what the target has is put
into a scratch database first. Memory stays flat either way."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from operator import lt
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from portal.planning.names import readable
from portal.planning.survey import Order, sortable
from portal.planning.targets import ancestors
from portal.wire.ends import Listed


class Row(NamedTuple):
    """An object, or a real folder, at the target."""

    size_bytes: int
    etag: str
    modified: str
    source: str
    """`source_etag` that was recorded when it was copied."""
    md5: str
    is_folder: bool


class Meeting(Protocol):
    """Is told what meets."""

    def matched(self, place: int, row: Row) -> None:
        """The name at a place of the page that was given last is at the target."""
        ...

    def in_the_way(self, key: str) -> None:
        """A file at the target is a folder of a name."""
        ...

    def alone(self, key: str, row: Row) -> None:
        """Something at the target has none of the names."""
        ...


class Disorder(Exception):
    """The listing is not in the order that was hoped for."""


def rows(page: Listed) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a page; a name that is no Unicode cannot be in a plan, and of what could not be looked at there is nothing to say."""
    found = map(Row, page.sizes, page.etags, page.modified, page.sources, page.md5s, page.folders)
    told = zip(page.keys, found, strict=True)
    if "".join(page.keys).isascii() and not page.unseen:
        return told
    return ((key, row) for key, row in told if readable(key) == key and (key not in page.unseen or row.is_folder))


class Window:
    """The target's listing as far as the names have come, in an order that both keep."""

    def __init__(self, listing: Iterator[Listed], order: Order, *, folders: bool) -> None:
        self._listing, self._order, self._folders = listing, order, folders
        self.pending: dict[str, Row] = {}
        self._last: str | None = None
        self._ended = False
        self._slash, self._after = ("/", "0") if order == "key" else ("\0", "\1")

    def meet(self, keys: list[str], meeting: Meeting) -> None:
        """Match names ('' for none), later than all before. Raises Disorder when the listing is in another order; nothing is lost then."""
        sort = sortable(self._order, [key for key in keys if key])
        if not sort:
            return
        self._reach(sort[-1])
        if not self.pending:
            return
        for place, key in enumerate(keys):
            if key in self.pending:
                meeting.matched(place, self.pending.pop(key))
        self._pass(sort, meeting)

    def _reach(self, key: str) -> None:
        while not self._ended and (self._last is None or self._last < key):
            self._read()

    def _read(self) -> None:
        """Take in a page. Raises Disorder before anything of it is used."""
        page = next(self._listing, None)
        if page is None:
            self._ended = True
            return
        self.pending.update(rows(page))
        if page.keys:
            sort = sortable(self._order, page.keys)
            if (self._last is not None and sort[0] <= self._last) or not all(map(lt, sort, sort[1:])):
                raise Disorder
            self._last = sort[-1]

    def _pass(self, sort: list[str], meeting: Meeting) -> None:
        """Let go of what the names have passed by; a file stays as long as names below it may come."""
        for key in [*self.pending]:
            place = sortable(self._order, [key])[0]
            if place > sort[-1]:
                continue
            row = self.pending[key]
            if self._folders and not row.is_folder:
                below = bisect_left(sort, place + self._slash)
                if below < len(sort) and sort[below].startswith(place + self._slash):
                    meeting.in_the_way(key)
                elif sort[-1] < place + self._after:
                    continue
            meeting.alone(key, self.pending.pop(key))

    def rest(self, meeting: Meeting) -> None:
        """The names have ended. Reads on all the same: a name that was passed may come out of order. Raises Disorder."""
        while True:
            for key, row in self.pending.items():
                meeting.alone(key, row)
            self.pending.clear()
            if self._ended:
                return
            self._read()


def _row(values: list[Any]) -> Row:
    return Row._make([*values[:-1], bool(values[-1])])


class Index:
    """The target's listing in a scratch database, for names in any order."""

    def __init__(self, path: Path, *, folders: bool) -> None:
        path.unlink(missing_ok=True)
        self._path, self._folders = path, folders
        self._base = sqlite3.connect(path)
        self._base.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768;"
            "CREATE TABLE there (key TEXT PRIMARY KEY, size INTEGER, etag TEXT, modified TEXT, source TEXT, md5 TEXT, is_folder INTEGER,"
            " named INTEGER DEFAULT 0) WITHOUT ROWID;"
        )
        self.count = 0

    def add(self, found: Iterable[tuple[str, Row]]) -> None:
        told = ((key, *row) for key, row in found)
        query = "INSERT OR REPLACE INTO there (key, size, etag, modified, source, md5, is_folder) VALUES (?, ?, ?, ?, ?, ?, ?)"
        self.count += self._base.executemany(query, told).rowcount

    def meet(self, keys: list[str], meeting: Meeting, *, mark: bool) -> None:
        """Match names ('' for none). `mark`: remember them, for `rest`."""
        if not self.count:
            return
        asked = json.dumps(keys)
        query = (
            "SELECT names.key, size, etag, modified, source, md5, is_folder FROM json_each(?) AS names JOIN there ON there.key = names.value"
            " WHERE names.value != ''"
        )
        for place, *values in self._base.execute(query, (asked,)).fetchall():
            meeting.matched(place, _row(values))
        if mark:
            self._base.execute("UPDATE there SET named = 1 WHERE key IN (SELECT value FROM json_each(?))", (asked,))
        if self._folders:
            self._look_above(keys, meeting)

    def _look_above(self, keys: list[str], meeting: Meeting) -> None:
        folders = {key.rpartition("/")[0]: key for key in keys if "/" in key}
        above = dict.fromkeys(folder for one in folders.values() for folder in ancestors(one))
        query = "SELECT key FROM there WHERE key IN (SELECT value FROM json_each(?)) AND NOT is_folder"
        for (key,) in self._base.execute(query, (json.dumps([*above]),)).fetchall():
            meeting.in_the_way(key)

    def rest(self, meeting: Meeting) -> None:
        """The names have ended."""
        for key, *values in self._base.execute("SELECT key, size, etag, modified, source, md5, is_folder FROM there WHERE NOT named ORDER BY key"):
            meeting.alone(key, _row(values))

    def close(self) -> None:
        self._base.close()
        self._path.unlink(missing_ok=True)
