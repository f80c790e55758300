"""Every disk that a power cut at this moment may leave, or, where those are too many, those near the extremes and a seeded sample."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

from tests.power.volume import Change, Volume, merged, parent

MOST, MOST_OF_ALL = 1 << 10, 1 << 14
"""A moment with more disks than this is sampled; the second when time does not count."""
SAMPLE = 200
_SEED = 2018


@dataclass(frozen=True)
class Disk:
    """What a power cut left: a value, the same for the same content whatever led to it."""

    folders: frozenset[str]
    files: tuple[tuple[str, bytes], ...]
    same: tuple[tuple[str, ...], ...] = ()
    """Names that are one file."""

    @property
    def content(self) -> dict[str, bytes]:
        return dict(self.files)


@dataclass(frozen=True)
class Cut:
    """The disks of one moment. `possible` counts them before equal ones are taken together."""

    disks: tuple[Disk, ...]
    possible: int
    sampled: bool


Entries = dict[str, int]

Leftover = Callable[[str], bool]
"""Tells of a path whether what lies there means nothing to anything else: half-written files, locks, what is only shown."""


def nothing(_: str) -> bool:
    return False


def cut(volume: Volume, *, leftovers: Leftover = nothing, most: int = MOST, met: set[Hashable] | None = None) -> Cut:
    """Return what a power cut may leave now.

    Args:
        leftovers: the unsynced changes of these are combined with those of the rest in three ways: none persisted, all with their contents,
            all with none. That one of them alone did not persist is combined with the rest wholly there and wholly absent.
        most: above so many disks, those that lack or have at most two of the unsynced changes, and a sample.
        met: what could not persist alone at an earlier moment; gets what can now. Without it every moment looks at all of these.
    """
    parts = _parts(volume.pending)
    apart = [part for part in parts if all(leftovers(path) for change in part for path in change.paths)]
    free = [_ideals(part) for part in parts if not any(part is other for other in apart)]
    alone = [_ideals(part) for part in apart]
    together = [tuple(chain(*(ideals[extreme] for ideals in alone))) for extreme in (0, -1)]
    worlds = _Worlds(volume, leftovers, [*free, together if alone else together[:1]])
    single = [_entries(volume, chain(*(ideals[extreme] for ideals in free), one)) for one in _all_but_one(alone, met) for extreme in (0, -1)]
    possible = worlds.count(most)
    disks = chain(worlds.all() if possible <= most else worlds.sampled(), (worlds.whole(entries) for entries in single))
    return Cut(tuple(dict.fromkeys(disks)), possible + len(single), possible > most)


def extremes(volume: Volume, *, leftovers: Leftover = nothing) -> Cut:
    """Return the disks with nothing that is unsynced, with all of it, and with all but one change and what came after it in its entries."""
    parts = [_ideals(part) for part in _parts(volume.pending)]
    worlds = _Worlds(volume, leftovers, parts)
    base = [ideals[-1] for ideals in parts]
    chosen: list[Sequence[tuple[Change, ...]]] = [[], base]
    for number, ideals in enumerate(parts):
        if not all(leftovers(path) for change in ideals[-1] for path in change.paths):
            chosen += [[*base[:number], ideal, *base[number + 1 :]] for ideal in ideals[:-1]]
    disks = [disk for picked in chosen for disk in worlds.ends(_entries(volume, chain(*picked)))]
    return Cut(tuple(dict.fromkeys(disks)), len(disks), True)


def _parts(pending: Sequence[Change]) -> list[list[Change]]:
    """Changes that have no entry in common with those of another part, each part in order."""
    parts: list[list[Change]] = []
    for change in pending:
        joined = [part for part in parts if any(item.touches(change.paths) for item in part)]
        parts = [part for part in parts if not any(part is item for item in joined)]
        found = [item for item in pending if any(item is other for part in joined for other in part)]
        parts.append([*found, change])
    return parts


def _ideals(part: Sequence[Change]) -> list[tuple[Change, ...]]:
    """The sets of changes of a part that may be on the disk: with each, the earlier ones of its entries. Nothing first, everything last."""
    ideals: list[tuple[Change, ...]] = [()]
    for number, change in enumerate(part):
        needed = [item for item in part[:number] if item.touches(change.paths)]
        ideals += [(*ideal, change) for ideal in ideals if all(any(item is have for have in ideal) for item in needed)]
    return sorted(ideals, key=len)


def _all_but_one(parts: list[list[tuple[Change, ...]]], met: set[Hashable] | None) -> Iterator[tuple[Change, ...]]:
    everything = [ideals[-1] for ideals in parts]
    for number, ideals in enumerate(parts):
        for ideal in ideals[:-1]:
            seen = (ideal, ideals[-1])
            if met is None or seen not in met:
                yield tuple(chain(*everything[:number], ideal, *everything[number + 1 :]))
            if met is not None:
                met.add(seen)


def _entries(volume: Volume, changes: Iterable[Change]) -> Entries:
    """The entries of a disk that got these changes, without what lies in folders that are not there."""
    picked = {id(change) for change in changes}
    entries = merged(volume.durable, [change for change in volume.pending if id(change) in picked])
    reachable: Entries = {}
    for path in sorted(entries):
        if not parent(path) or parent(path) in reachable:
            reachable[path] = entries[path]
    return reachable


def live(volume: Volume) -> Disk:
    """What programs see: the disk after a crash of a process, when the machine lives."""
    return _Worlds(volume, nothing, []).whole(volume.entries)


@dataclass(frozen=True)
class _Worlds:
    """The disks that come from choosing one ideal of each part, and then a content for each unsynced file."""

    volume: Volume
    leftovers: Leftover
    parts: list[list[tuple[Change, ...]]]

    def count(self, most: int) -> int:
        """Number of disks; when there are more ways to choose entries alone, the number of these."""
        ways = math.prod(len(ideals) for ideals in self.parts)
        return ways if ways > most else sum(math.prod(len(items) for items in self._contents(entries)) for entries in self._entries())

    def all(self) -> Iterator[Disk]:
        for entries in self._entries():
            for picked in product(*self._contents(entries)):
                yield self._disk(entries, picked)

    def whole(self, entries: Entries) -> Disk:
        return next(self.ends(entries))

    def ends(self, entries: Entries) -> Iterator[Disk]:
        contents = self._contents(entries)
        for number in (0, -1):
            yield self._disk(entries, [items[number] for items in contents])

    def sampled(self) -> Iterator[Disk]:
        chance = random.Random(_SEED)
        for chosen in chain(_near(self.parts, 0), _near(self.parts, -1)):
            yield from self._around(_entries(self.volume, chain(*chosen)))
        for _ in range(SAMPLE):
            entries = _entries(self.volume, chain(*(chance.choice(ideals) for ideals in self.parts)))
            yield self._disk(entries, [chance.choice(items) for items in self._contents(entries)])

    def _around(self, entries: Entries) -> Iterator[Disk]:
        """All content there, all absent, and each file alone in each of its states among whole ones."""
        yield from self.ends(entries)
        contents = self._contents(entries)
        whole = [items[0] for items in contents]
        for number, items in enumerate(contents):
            for content in items[1:]:
                yield self._disk(entries, [*whole[:number], content, *whole[number + 1 :]])

    def _entries(self) -> Iterator[Entries]:
        return (_entries(self.volume, chain(*picked)) for picked in product(*self.parts))

    def _contents(self, entries: Entries) -> list[Sequence[dict[int, bytes]]]:
        """For each unsynced file its possible contents; the leftovers have theirs together: all there, or all absent."""
        meant = {inode for path, inode in entries.items() if not self.leftovers(path)}
        unsynced = {inode: item for inode in dict.fromkeys(entries.values()) if (item := self.volume.inodes[inode]).pending}
        found: list[Sequence[dict[int, bytes]]] = [
            [{inode: content} for content in item.variants()] for inode, item in unsynced.items() if inode in meant
        ]
        if left := {inode: item for inode, item in unsynced.items() if inode not in meant}:
            found.append([{inode: item.variants()[number] for inode, item in left.items()} for number in (0, -1)])
        return found

    def _disk(self, entries: Entries, contents: Sequence[dict[int, bytes]]) -> Disk:
        picked = {inode: content for item in contents for inode, content in item.items()}
        names: dict[int, list[str]] = {}
        for path, inode in entries.items():
            if not self.volume.inodes[inode].is_folder:
                names.setdefault(inode, []).append(path)
        files = sorted((path, picked.get(inode, self.volume.inodes[inode].synced)) for inode, paths in names.items() for path in paths)
        folders = frozenset(path for path, inode in entries.items() if self.volume.inodes[inode].is_folder)
        return Disk(folders, tuple(files), tuple(sorted(tuple(sorted(paths)) for paths in names.values() if len(paths) > 1)))


def _near(parts: list[list[tuple[Change, ...]]], extreme: int) -> Iterator[list[tuple[Change, ...]]]:
    """Everything at one extreme (0: nothing persisted, -1: all) but for at most two parts."""
    base = [ideals[extreme] for ideals in parts]
    for count in range(min(2, len(parts)) + 1):
        for numbers in combinations(range(len(parts)), count):
            for picked in product(*(parts[number] for number in numbers)):
                changed = dict(zip(numbers, picked, strict=True))
                yield [changed.get(number, ideal) for number, ideal in enumerate(base)]
