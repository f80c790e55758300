"""One look at everything in a watched folder: the files that may be taken, the markers, and what stays and why."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from portal.stores.partial import is_partial
from portal.triggers.folder import beneath, left
from portal.triggers.folder.identity import Identity
from portal.triggers.folder.left import Left
from portal.triggers.folder.wanted import Wanted

MARKER = ".done"
MOST_FILES = 200_000
"""So many files are looked at in one go; memory is bounded by that."""
DEEPEST = 100
"""So many folders inside each other are entered."""
_LONGEST = 4096 - 1  # PATH_MAX of Linux, with the zero byte


class Seen(NamedTuple):
    """A file that may be taken."""

    name: str
    """Below the folder, with '/' between its parts."""
    identity: Identity
    changed_ns: int
    """When its inode changed last: even who sets back a file's time changes this."""
    marker: Identity | None = None
    """Of the marker that lies beside it."""


@dataclass
class Sight:
    """What one look found."""

    files: list[Seen] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    """Those that were entered, '' first."""
    left: Left = field(default_factory=Left)


class Scan:
    """Looks at a folder."""

    def __init__(
        self, wanted: Wanted, *, recursive: bool, markers: bool, spare_bytes: int = 0, skipped: Collection[tuple[int, int]] = ()
    ) -> None:
        """Say what is looked for.

        Args:
            markers: take only files beside which NAME.done lies; such markers are no files themselves.
            spare_bytes: how much longer than in this folder a file's path may become on its way.
            skipped: device and inode of folders that are not entered.
        """
        self._wanted, self._recursive, self._markers = wanted, recursive, markers
        self._longest, self._skipped = _LONGEST - spare_bytes, skipped

    def look(self, root: int) -> Sight:
        """Return what is below an open folder. Raises OSError when the folder itself cannot be read."""
        sight, waiting = Sight(), [""]
        device = os.fstat(root).st_dev
        while waiting:
            name = waiting.pop()
            try:
                inner = self._look_into(root, name, device, sight)
            except FileNotFoundError:
                continue  # removed meanwhile
            except OSError as error:
                if not name:
                    raise
                sight.left.add(left.LINK if error.errno in _LINKED else left.UNREADABLE, name + "/")
            else:
                waiting += reversed(inner)
        return sight

    def _look_into(self, root: int, name: str, device: int, sight: Sight) -> list[str]:
        """Add what is in one folder; returns the folders in it."""
        base = f"{name}/" if name else ""
        with beneath.folder(root, name) as descriptor:
            # Markers first: what is seen of a file after its marker is the whole of it.
            markers = _markers(descriptor, base) if self._markers else None
            files, why = (sight.files, "") if _may_move_out(descriptor) else ([], left.READ_ONLY)
            inner = []
            for entry, status in _entries(descriptor):
                key = base + entry
                if unfit := self._unfit(key, status, device):
                    if not self._wanted.excluded(key):
                        sight.left.add(unfit, key)
                elif modes.S_ISDIR(status.st_mode):
                    if self._enters(key, status):
                        inner.append(key)
                elif self._takes(key, markers):
                    if reason := why or ("" if len(files) < MOST_FILES else left.TOO_MANY):
                        sight.left.add(reason, key)
                    else:
                        files.append(Seen(key, Identity.of(status), status.st_ctime_ns, markers.pop(key) if markers else None))
            _tell_lonely(markers or {}, descriptor, sight.left)
        sight.folders.append(name)
        return inner

    def _takes(self, key: str, markers: Mapping[str, Identity] | None) -> bool:
        return (markers is None or key in markers) and self._wanted.wants(key) and not is_partial(key)

    def _enters(self, key: str, status: os.stat_result) -> bool:
        return self._recursive and not self._wanted.excluded(key) and (status.st_dev, status.st_ino) not in self._skipped

    def _unfit(self, key: str, status: os.stat_result, device: int) -> str:
        if modes.S_ISLNK(status.st_mode):
            return left.LINK
        if not (modes.S_ISREG(status.st_mode) or modes.S_ISDIR(status.st_mode)):
            return left.SPECIAL
        try:
            length = len(key.encode())
        except UnicodeEncodeError:
            return left.NOT_UTF8
        if modes.S_ISDIR(status.st_mode) and status.st_dev != device:  # a file may have another number on one file system: overlayfs
            return left.FOREIGN
        return left.TOO_LONG if length > self._longest or key.count("/") > DEEPEST else ""


_LINKED = (errno.ENOTDIR, errno.ELOOP)  # a link now, and a folder when its parent was read


def _markers(descriptor: int, base: str) -> dict[str, Identity]:
    """The markers in a folder, by the keys of the files that they are for."""
    found: dict[str, Identity] = {}
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.name == MARKER or not (entry.name.endswith(MARKER) and entry.is_file(follow_symlinks=False)):
                continue
            with suppress(FileNotFoundError):
                found[base + entry.name.removesuffix(MARKER)] = Identity.of(entry.stat(follow_symlinks=False))
            if len(found) >= MOST_FILES:
                break
    return found


def _tell_lonely(markers: Mapping[str, Identity], descriptor: int, why_not: Left) -> None:
    for key in markers:
        try:
            os.stat(key.rpartition("/")[2], dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            why_not.add(left.NO_FILE, key + MARKER)
        except OSError:
            continue


def _entries(descriptor: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(descriptor) as entries:
        for entry in entries:
            try:
                yield entry.name, entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # vanished meanwhile


def _may_move_out(descriptor: int) -> bool:
    return os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor, effective_ids=True)
