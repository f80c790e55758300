"""All target names of a plan in a scratch database on disk, for plans whose names do not come in order: finds twins and files that would be
folders, whatever the number of entries, and what is to be done about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from portal.planning.plan import CLASH, RENAMED, Change, Page
from portal.planning.policies import Twins

Fold = Callable[[str], str]
"""Gives what two names have in common that are one to a store."""

_SCHEMA = """
CREATE TABLE files (place TEXT NOT NULL, n INTEGER NOT NULL, target TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE folders (place TEXT PRIMARY KEY, source TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (n INTEGER PRIMARY KEY, target TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL);
"""
_TWINS = """
SELECT one.n, one.source, one.target, min(first.n), first.source FROM files AS one JOIN files AS first ON first.place = one.place
WHERE one.place IN (SELECT place FROM files GROUP BY place HAVING count(*) > 1)
GROUP BY one.n HAVING one.n > min(first.n) ORDER BY one.n
"""
_FILES_THAT_ARE_FOLDERS = """
SELECT files.n, files.source, files.target, folders.source FROM folders JOIN files ON files.place = folders.place
WHERE files.place != '' AND files.n NOT IN (SELECT n FROM changes) ORDER BY files.n
"""


class Clash(NamedTuple):
    """An entry whose target is in the way of another's, or the other way round."""

    n: int
    source: str
    target: str
    why: str


class Targets:
    """The target names of the entries that move, and the folders they need."""

    def __init__(self, path: Path, fold: Fold | None = None, *, folders: bool = True) -> None:
        path.unlink(missing_ok=True)
        self._path, self._fold, self._folders = path, fold, folders
        self.changed = False
        """Something was decided."""
        self._base = sqlite3.connect(path)
        self._base.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768;" + _SCHEMA)

    def fill(self, pages: Iterable[Page]) -> None:
        for page in pages:
            entries = [entry for entry in page.entries() if entry.moves]
            places = [entry.target_key for entry in entries]
            if self._fold:
                places = [self._fold(place) for place in places]
            rows = ((place, entry.n, entry.target_key, entry.key) for place, entry in zip(places, entries, strict=True))
            self._base.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", rows)
            if self._folders:
                needed = {place.rpartition("/")[0]: entry.key for place, entry in zip(places, entries, strict=True)}
                paths = ((path, source) for place, source in needed.items() for path in [*ancestors(place), place])
                self._base.executemany("INSERT OR IGNORE INTO folders VALUES (?, ?)", paths)
        self._base.executescript("CREATE INDEX by_place ON files (place);")

    def twins(self) -> Iterator[Clash]:
        """Yield every entry whose target an earlier one has."""
        for n, source, target, _, first in self._base.execute(_TWINS):
            yield Clash(n, source, target, f"{first} and {source} would both become {target}")

    def files_that_are_folders(self) -> Iterator[Clash]:
        """Yield every entry whose target others need as a folder."""
        for n, source, target, other in self._base.execute(_FILES_THAT_ARE_FOLDERS):
            yield Clash(n, source, target, f"{source} would become the file {target}, and {other} needs a folder of that name")

    def settle(self, policy: Twins, renamed: Callable[[str, str], str]) -> Iterator[tuple[Clash, str]]:
        """Decide on all clashes; yield each with what is done about it: stops, skipped or the new target name.

        Args:
            renamed: gives another target name for (target, source); '' when there is none
        """
        for clashes in (self.twins, self.files_that_are_folders):
            for clash in clashes():
                yield clash, self._settled(clash, policy, renamed)

    def _settled(self, clash: Clash, policy: Twins, renamed: Callable[[str, str], str]) -> str:
        target = renamed(clash.target, clash.source) if policy == "rename" else ""
        if target and not self._taken(target):
            self.changed = True
            self._base.execute("INSERT OR REPLACE INTO changes VALUES (?, ?, '', ?)", (clash.n, target, f"{RENAMED}{clash.why}"))
            return target
        if policy == "fail":
            return "stops"
        self.changed = True
        self._base.execute("INSERT OR REPLACE INTO changes VALUES (?, '', 'exclude', ?)", (clash.n, f"{CLASH}{clash.why}"))
        return "skipped"

    def _taken(self, target: str) -> bool:
        place = self._fold(target) if self._fold else target
        return self._base.execute("SELECT 1 FROM files WHERE place = ?", (place,)).fetchone() is not None

    def changes(self) -> Iterator[Change]:
        """Yield what was decided, in the order of the plan."""
        yield from map(Change._make, self._base.execute("SELECT n, target, action, reason FROM changes ORDER BY n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self._base.close()
        self._path.unlink(missing_ok=True)


def ancestors(key: str) -> list[str]:
    """Return the folders a key lies in, outermost first."""
    parts = key.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]
