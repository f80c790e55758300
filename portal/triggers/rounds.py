"""Looking at many things, each when its time has come, a bounded number of each kind at a time and none beside itself.

One thread, the caller's, decides; it never reads a watched folder or asks a queue itself, so nothing that hangs stops it.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue

_SHORTEST_S = 0.05
"""Between two looks, so that one that asks for the next at once does not keep others from their turn."""
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 2.0, 300.0

Look = Callable[[], float]
"""Looks once, in a thread; returns the seconds until the next look. After an error, which it has told, the next one comes after a back-off."""


class Done(Exception):
    """There is nothing more to look at, ever."""


@dataclass(eq=False)
class Item:
    """One thing that is looked at."""

    name: str
    kind: str
    look: Look
    descriptors: Callable[[], Collection[int]]
    close: Callable[[], None]
    about: str = ""
    """Looks at items about the same thing never go on beside each other, though one was replaced or dropped; default: the name."""
    due: float | None = None
    """On the monotonic clock; None: only when somebody hurries it."""
    busy_since: float | None = None
    hurried: bool = False
    resting: bool = False
    """It looks at nothing until somebody hurries it, and then until a look asks for no other one: returns 0."""
    failures: int = 0
    gone: bool = False
    watched: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.about = self.about or self.name


class Rounds:
    """Everything that is looked at, by name.

    Args:
        threads: of each kind, how many looks there are at a time.
        ring: called from other threads when `turn` has something to do.
    """

    def __init__(self, threads: Mapping[str, int], ring: Callable[[], None]) -> None:
        self._pools = {kind: ThreadPoolExecutor(number, thread_name_prefix=kind) for kind, number in threads.items()}
        self._ring = ring
        self._items: dict[str, Item] = {}
        self._leaving: dict[str, Item] = {}
        """What was dropped while it was looked at, by what it is about."""
        self._due: list[tuple[float, int, Item]] = []
        self._order = count()
        self._ended: SimpleQueue[tuple[Item, float | Exception]] = SimpleQueue()
        self._by_descriptor: dict[int, Item] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __len__(self) -> int:
        return len(self._items)

    def names(self) -> list[str]:
        return list(self._items)

    def add(self, item: Item, *, resting: bool = False) -> None:
        """Take something in, in the place of what had its name; it is looked at soon, or (`resting`) only when it is hurried."""
        self.drop(item.name)
        self._items[item.name] = item
        item.resting = resting
        if not resting:
            self._plan(item, 0.0)

    def drop(self, name: str) -> None:
        """Look at something no more; a look that goes on ends by itself."""
        item = self._items.pop(name, None)
        if item is not None:
            item.gone = True
            if item.busy_since is None:
                self._close(item)
            else:
                self._leaving[item.about] = item

    def hurry(self, name: str) -> None:
        """Look at something as soon as possible: now, or when the look that goes on has ended."""
        if item := self._items.get(name):
            item.hurried = True
            if item.busy_since is None:
                self._plan(item, 0.0)

    def hear(self, descriptor: int) -> None:
        """Hurry what watches a descriptor that has become readable."""
        if item := self._by_descriptor.get(descriptor):
            self._unwatch(item)  # it stays readable until the look has read from it
            self.hurry(item.name)

    def descriptors(self) -> list[int]:
        """Return what `hear` is to be called for."""
        return list(self._by_descriptor)

    def turn(self) -> float | None:
        """Take in what has ended and start what is due; returns the seconds until something is due, None when nothing will be by itself."""
        self.collect()
        now = time.monotonic()
        while self._due and (self._due[0][0] <= now or not self._counts(self._due[0])):
            entry = heapq.heappop(self._due)
            if not self._counts(entry):
                continue
            if entry[2].about in self._leaving:
                self._plan(entry[2], _SHORTEST_S)
            else:
                self._start(entry[2], now)
        return max(0.0, self._due[0][0] - now) if self._due else None

    @staticmethod
    def _counts(entry: tuple[float, int, Item]) -> bool:
        """Tell whether a plan holds: it was not made anew, and what it is for is still to be looked at."""
        due, _, item = entry
        return item.due == due and not item.gone and item.busy_since is None

    def busy(self) -> dict[str, float]:
        """Return what is being looked at, with the seconds since that began."""
        now = time.monotonic()
        return {item.name: now - item.busy_since for item in self._items.values() if item.busy_since is not None}

    def _plan(self, item: Item, seconds: float) -> None:
        item.due = time.monotonic() + seconds
        heapq.heappush(self._due, (item.due, next(self._order), item))

    def _start(self, item: Item, now: float) -> None:
        item.due, item.busy_since, item.hurried = None, now, False
        self._unwatch(item)
        self._pools[item.kind].submit(self._look, item)

    def _look(self, item: Item) -> None:
        ended: float | Exception
        try:
            ended = item.look()
        except Exception as error:
            ended = error
        self._ended.put((item, ended))
        self._ring()

    def collect(self) -> None:
        """Take in what has ended."""
        while True:
            try:
                item, ended = self._ended.get_nowait()
            except Empty:
                return
            item.busy_since = None
            if isinstance(ended, Done) and not item.gone:
                del self._items[item.name]
                item.gone = True
            if item.gone:
                if self._leaving.get(item.about) is item:
                    del self._leaving[item.about]
                self._close(item)
            else:
                self._again(item, ended)

    def _again(self, item: Item, ended: float | Exception) -> None:
        """Plan the next look."""
        failed = isinstance(ended, Exception)
        item.failures = item.failures + 1 if failed else 0
        self._watch(item)
        if item.hurried and not failed:
            self._plan(item, _SHORTEST_S)
        elif failed or ended or not item.resting:
            self._plan(item, max(_SHORTEST_S, self._backoff(item.failures) if isinstance(ended, Exception) else ended))

    @staticmethod
    def _backoff(failures: int) -> float:
        longest = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 20))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - many that failed together are not tried again together

    def _watch(self, item: Item) -> None:
        item.watched = tuple(item.descriptors())
        for descriptor in item.watched:
            self._by_descriptor[descriptor] = item

    def _unwatch(self, item: Item) -> None:
        for descriptor in item.watched:
            if self._by_descriptor.get(descriptor) is item:
                del self._by_descriptor[descriptor]
        item.watched = ()

    def _close(self, item: Item) -> None:
        self._unwatch(item)
        item.close()
