"""Looking at many objects, each by a request of its own, on a few threads with an end each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from portal.errors import Cancelled, NotFound
from portal.planning.listing import patiently
from portal.wire.ends import End, Found

LOOKERS = 8
_BATCH = 256
Item = TypeVar("Item")
Told = TypeVar("Told")


class Looker:
    """Looks at the objects of one container, from many threads. `opened` opens an end with credentials that are good now."""

    def __init__(self, opened: Callable[[], End], check: Callable[[], None]) -> None:
        self._opened, self._check = opened, check
        self._mine = threading.local()
        self._ends: list[End] = []
        self.requests = 0

    def find(self, key: str) -> Found | None:
        """Return what the store says of an object, None when there is none. Raises what ends do."""
        try:
            return self.found(key)
        except NotFound:
            return None

    def found(self, key: str) -> Found:
        """The same, and raises NotFound."""
        return patiently(lambda: self._end().find(key), self._renew, self._check)

    def delete(self, key: str, etag: str) -> None:
        """Delete an object, if it is still there and the one with this ETag. Raises SourceChanged when it is another, and what ends do."""
        patiently(lambda: self._end().delete(key, etag=etag), self._renew, self._check)

    def _end(self) -> End:
        self.requests += 1
        end: End | None = getattr(self._mine, "end", None)
        if end is None or time.time() >= end.access.renew_at:
            self._renew()
            end = self._mine.end = self._opened()
            self._ends.append(end)
        return end

    def _renew(self) -> None:
        end, self._mine.end = getattr(self._mine, "end", None), None
        if end is not None:
            end.close()

    def close(self) -> None:
        for end in self._ends:
            end.close()


def each(items: Iterable[Item], work: Callable[[Item], Told], threads: int) -> Iterator[Told]:
    """Yield `work(item)` for each item, in the items' order, some at a time; what work raises ends the whole. After a cancel nobody waits for
    those that were begun: a service may be silent."""
    rest = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="look")
    patient = True
    try:
        while batch := list(islice(rest, _BATCH)):
            yield from pool.map(work, batch)
    except (Cancelled, GeneratorExit):
        patient = False
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)
