"""Reading ahead: while one page of a listing is worked on, the next one is on its way."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

_LOOK_EVERY_S = 0.2


class _End:
    """What ended the iterator: an error, or nothing."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Reader(Generic[Item]):
    """Runs an iterator in a thread of its own; at most one item waits to be taken."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._taken: queue.Queue[Item | _End] = queue.Queue(maxsize=1)
        self._stopped = threading.Event()
        # A daemon: nobody waits for a service that is silent while the process ends.
        threading.Thread(target=self._run, name="read-ahead", daemon=True).start()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                self._put(item)
                if self._stopped.is_set():
                    break
        except BaseException as raised:
            error = raised
        finally:
            close = getattr(self._items, "close", None)
            if close:
                close()
            self._put(_End(error))

    def _put(self, item: Item | _End) -> None:
        while not self._stopped.is_set():
            try:
                return self._taken.put(item, timeout=_LOOK_EVERY_S)
            except queue.Full:
                continue
        return None

    def next(self) -> Item | _End:
        return self._taken.get()

    def stop(self) -> None:
        self._stopped.set()


def read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield what an iterator yields, which runs one item ahead in a thread of its own. Raises what it raises, where that would have come.

    Left before its end, it lets the thread end after the item that it is at; nobody waits for that."""
    reader = _Reader(items)
    try:
        while True:
            item = reader.next()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        reader.stop()
