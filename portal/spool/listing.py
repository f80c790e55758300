"""Folders that are read again only when they changed.

A folder's inode and times tell it, but not at once: two changes within one tick of the kernel's clock leave the same times. So a folder
that changed just now, or in the future of a clock that was set back, is not believed to be what it was ("racily clean", as in git's index).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

Stamp = tuple[int, int, int]
"""Inode, mtime and ctime in nanoseconds; zeros when there is no such file."""

GONE: Stamp = (0, 0, 0)

_SETTLED_NS = 50_000_000
_COARSE_NS = 2_100_000_000
"""For file systems that know whole seconds only."""


def stamp_of(path: str | Path) -> Stamp:
    """Return what changes when a folder, or a file that is always replaced, does."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return GONE
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def settled_stamp(path: str | Path) -> Stamp | None:
    """Return the stamp if every later change is sure to make it another one, else None."""
    now_ns = time.time_ns()
    stamp = stamp_of(path)
    changed_ns = max(stamp[1:])
    margin_ns = _SETTLED_NS if changed_ns % 1_000_000_000 else _COARSE_NS
    return stamp if changed_ns < now_ns - margin_ns else None


class Listing:
    """The names in one folder, sorted. `names` costs one stat(2) while the folder stays as it is."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = str(folder)
        self._known: tuple[Stamp, list[str]] | None = None

    def names(self) -> list[str]:
        """Return the names; the list is not the caller's to change."""
        known = self._known
        if known is not None and known[0] == stamp_of(self._folder):
            return known[1]
        stamp = settled_stamp(self._folder)  # of before the reading: what changes meanwhile makes another one
        try:
            found = sorted(os.listdir(self._folder))
        except (FileNotFoundError, NotADirectoryError):
            found = []
        self._known = (stamp, found) if stamp is not None else None
        return found


_listings: dict[str, Listing] = {}


def known_names(folder: str | Path) -> list[str]:
    """Return the names in a folder, sorted, from this process's memory if the folder is as it was; the list is not the caller's to change."""
    key = str(folder)
    listing = _listings.get(key)
    if listing is None:
        listing = _listings.setdefault(key, Listing(folder))
    return listing.names()
