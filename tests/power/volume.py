"""The file system: what programs see, what is surely on the disk, and the changes in between. The rules are in `tests.power`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, eq=False)
class Change:
    """A change of entries that is not surely on the disk: all of them change together, or none does."""

    entries: tuple[tuple[str, int | None], ...]
    """Path and inode; None removes the entry."""

    def touches(self, paths: Iterable[str]) -> bool:
        return not {path for path, _ in self.entries}.isdisjoint(paths)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path, _ in self.entries)


@dataclass(frozen=True)
class Write:
    offset: int
    data: bytes

    def on(self, content: bytes) -> bytes:
        padded = content.ljust(self.offset, b"\0")
        return padded[: self.offset] + self.data + padded[self.offset + len(self.data) :]


@dataclass(frozen=True)
class Truncate:
    size: int

    def on(self, content: bytes) -> bytes:
        return content[: self.size].ljust(self.size, b"\0")


@dataclass
class Inode:
    """A file or a folder, whatever its names."""

    is_folder: bool = False
    synced: bytes = b""
    pending: list[Write | Truncate] = field(default_factory=list)
    _variants: tuple[bytes, ...] | None = None

    @property
    def content(self) -> bytes:
        return applied(self.pending, self.synced)

    def change(self, what: Write | Truncate) -> None:
        self.pending.append(what)
        self._variants = None

    def sync(self) -> None:
        self.synced, self.pending, self._variants = self.content, [], None

    def variants(self) -> tuple[bytes, ...]:
        """Contents that may be found after a power cut: the newest first, the synced one last, torn ones between."""
        if self._variants is None:
            between = [item for item in dict.fromkeys(self._torn()) if item not in (self.content, self.synced)]
            self._variants = (self.content, *between, self.synced) if self.pending else (self.synced,)
        return self._variants

    def _torn(self) -> Iterator[bytes]:
        half = sum(len(item.data) for item in self.pending if isinstance(item, Write)) // 2
        yield applied([item for item in self.pending if isinstance(item, Truncate)], self.synced)
        yield applied(_first(self.pending, half, then_zeros=False), self.synced)
        yield applied(_first(self.pending, half, then_zeros=True), self.synced)
        yield applied(_first(self.pending, 0, then_zeros=True), self.synced)


def applied(changes: Iterable[Write | Truncate], content: bytes) -> bytes:
    for change in changes:
        content = change.on(content)
    return content


def _first(changes: list[Write | Truncate], count: int, *, then_zeros: bool) -> Iterator[Write | Truncate]:
    """The changes with only the first so many bytes of what they write; what follows is missing, or zeros."""
    for change in changes:
        if isinstance(change, Truncate):
            yield change
            continue
        kept, count = change.data[:count], max(0, count - len(change.data))
        yield Write(change.offset, kept.ljust(len(change.data), b"\0") if then_zeros else kept)
        if not then_zeros and not count and len(kept) < len(change.data):
            return


class NotModelled(Exception):
    """The model has no rule for what was done."""


class Volume:
    """A file system. Paths are relative, without a leading slash; the top folder is ``."""

    def __init__(self) -> None:
        self.inodes: dict[int, Inode] = {}
        self.entries: dict[str, int] = {}
        """What programs see."""
        self.durable: dict[str, int] = {}
        """What is on the disk whatever happens."""
        self.pending: list[Change] = []
        self._removed_folders: set[str] = set()
        self._just_changed: Change | None = None

    @classmethod
    def of(cls, root: Path) -> Volume:
        """A volume that holds, durably, what is in a real folder."""
        volume = cls()
        known: dict[tuple[int, int], int] = {}
        for folder, folders, files in os.walk(root):
            for name in sorted(folders):
                volume._new(_relative(root, folder, name), Inode(is_folder=True))
            for name in sorted(files):
                path, status = _relative(root, folder, name), os.stat(os.path.join(folder, name))
                if earlier := known.get((status.st_dev, status.st_ino)):
                    volume.entries[path] = earlier
                else:
                    known[status.st_dev, status.st_ino] = volume._new(path, Inode(synced=Path(folder, name).read_bytes()))
        volume.pending.clear()
        volume.durable = dict(volume.entries)
        return volume

    def mkdir(self, path: str) -> int:
        if path in self._removed_folders:
            raise NotModelled(f"the folder {path} is made anew")
        return self._new(path, Inode(is_folder=True))

    def create(self, path: str) -> int:
        """Make an empty file; returns its inode."""
        return self._new(path, Inode())

    def write(self, inode: int, offset: int, data: bytes) -> None:
        self._just_changed = None
        self.inodes[inode].change(Write(offset, data))

    def truncate(self, inode: int, size: int) -> None:
        self._just_changed = None
        self.inodes[inode].change(Truncate(size))

    def sync(self, inode: int) -> None:
        """fsync of a file: rule 2."""
        self._just_changed = None
        self.inodes[inode].sync()

    def sync_folder(self, path: str) -> None:
        """fsync of a folder: rule 3, with what rules 5 and 6 draw after it."""
        self._just_changed = None
        here = [change for change in self.pending if any(parent(name) == path for name in change.paths)]
        chosen = self.with_needs(here)
        for change in chosen:
            _apply(change, self.durable)
        self.pending = [change for change in self.pending if change not in chosen]

    def with_needs(self, changes: Iterable[Change]) -> list[Change]:
        """Changes, and the earlier ones of the same entries without which they cannot be on the disk, in their order."""
        wanted = list(changes)
        chosen: list[Change] = []
        for change in reversed(self.pending):
            if any(change is item for item in wanted) or any(later.touches(change.paths) for later in chosen):
                chosen.append(change)
        return chosen[::-1]

    @property
    def just_changed(self) -> tuple[str, ...]:
        """The entries that the last operation changed."""
        return self._just_changed.paths if self._just_changed else ()

    def link(self, source: str, target: str) -> None:
        self._change((target, self.entries[source]))

    def rename(self, source: str, target: str) -> None:
        inode = self.entries[source]
        if self.inodes[inode].is_folder:
            raise NotModelled(f"the folder {source} is renamed")
        if self.entries.get(target) != inode:  # rename(2): two names of one file stay as they are
            self._change((source, None), (target, inode))

    def unlink(self, path: str) -> None:
        self._change((path, None))

    def rmdir(self, path: str) -> None:
        self._removed_folders.add(path)
        self._change((path, None))

    def _new(self, path: str, inode: Inode) -> int:
        number = len(self.inodes) + 1
        self.inodes[number] = inode
        self._change((path, number))
        return number

    def _change(self, *entries: tuple[str, int | None]) -> None:
        change = Change(entries)
        _apply(change, self.entries)
        self.pending.append(change)
        self._just_changed = change


def _apply(change: Change, entries: dict[str, int]) -> None:
    for path, inode in change.entries:
        if inode is None:
            entries.pop(path, None)
        else:
            entries[path] = inode


def merged(durable: Mapping[str, int], changes: Iterable[Change]) -> dict[str, int]:
    """The entries on a disk that got some of the pending changes, in their order."""
    entries = dict(durable)
    for change in changes:
        _apply(change, entries)
    return entries


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def _relative(root: Path, folder: str, name: str) -> str:
    return str(Path(folder, name).relative_to(root))
