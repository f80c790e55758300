"""Cutting a container of Azure into parts: at its folders, from the top down.

A listing of Azure goes on only after a marker that it gave itself, so no part can be cut anywhere else: a folder with millions of objects directly in
it is listed by one, at about 5,000 objects a request. What lies directly in a folder that was cut is listed while it is cut.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from contextlib import closing
from itertools import chain
from typing import Protocol

from portal.errors import StoreError
from portal.planning.listing import Lister, Lists
from portal.planning.spreading.part import COLUMNS, Part, page_of
from portal.wire.ends import Listed

_REQUESTS = 48
_PAGES = 4
"""A folder with more in it directly is not cut: reading all of it here would hold up everybody."""


class ListsLevels(Lists, Protocol):
    """What lists one level of folders; see `portal.wire.blob_end`."""

    def list_level(self, prefix: str, *, continuation: str | None = None) -> tuple[Listed, list[str]]: ...


class _Level:
    """Lists what lies directly in a folder; keeps the names of the folders in there."""

    def __init__(self, end: ListsLevels, folders: list[str]) -> None:
        self._end, self._folders = end, folders

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        page, folders = self._end.list_level(prefix, continuation=continuation)
        self._folders += folders
        return page

    def close(self) -> None:
        self._end.close()


class AzureParts:
    """Cuts the listing of one container. Used by one thread."""

    def __init__(self, opened: Callable[[], ListsLevels], check: Callable[[], None]) -> None:
        self._opened, self._check = opened, check
        self._requests = 0

    def begin(self, prefix: str, continuation: str | None, wanted: int) -> list[Part | Listed]:
        """Return parts, about `wanted` or fewer where there are not as many folders, and pages of what lies between them, in the order of names.

        Raises StoreError for a continuation: only the whole is cut."""
        if continuation is not None:
            raise StoreError("A listing of Azure that was cut up does not go on in the middle.", hint="It is listed again from its beginning.")
        found: list[Part | Listed] = [Part(prefix)]
        whole: set[str] = set()
        while self._requests < _REQUESTS:
            parts = [item for item in found if isinstance(item, Part)]
            open_ = [part for part in parts if part.prefix not in whole]
            if len(parts) >= wanted or not open_:
                break
            part = min(open_, key=lambda part: part.prefix.count("/"))
            level = self._level(part.prefix)
            if level is None:
                whole.add(part.prefix)
                continue
            place = found.index(part)
            found[place : place + 1] = level
        return found

    def halves(self, part: Part, letters: str) -> list[Part]:
        """Return the part as it is."""
        return [part]

    def _level(self, folder: str) -> list[Part | Listed] | None:
        """Return what a folder is made of, None when too much lies directly in it."""
        folders: list[str] = []
        lister = Lister(lambda: _Level(self._opened(), folders), self._check)
        pages: list[Listed] = []
        with closing(lister.pages(folder)) as listing:  # type: ignore[type-var]
            for page in listing:
                pages.append(page)
                if page.continuation is not None and len(pages) == _PAGES:
                    break
        self._requests += lister.requests
        if pages[-1].continuation is not None:
            return None
        return _merged(pages, sorted(set(folders)))


def _merged(pages: list[Listed], folders: list[str]) -> list[Part | Listed]:
    """Return what lies directly in a folder, and its folders as parts, in the order of their names."""
    columns = [list(chain.from_iterable(getattr(page, name) for page in pages)) for name in COLUMNS]
    keys = columns[0]
    found: list[Part | Listed] = []
    at = 0
    for folder in folders:
        until = bisect_left(keys, folder, at)
        if until > at:
            found.append(page_of([column[at:until] for column in columns]))
        found.append(Part(folder))
        at = until
    if at < len(keys):
        found.append(page_of([column[at:] for column in columns]))
    return found
