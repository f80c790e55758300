"""Doing the same for many things at once, a few ahead: memory stays flat however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 4


def each(items: Iterable[Item], action: Callable[[Item], Any], check: Callable[[], None], *, workers: int) -> int:
    """Do `action` with every item, `workers` at a time; returns how many there were. The first error ends it, and so does one of `check`, which
    is called between items; what was begun then ends first."""
    return sum(1 for _ in in_order(items, action, check, workers=workers))


def in_order(items: Iterable[Item], action: Callable[[Item], Result], check: Callable[[], None], *, workers: int) -> Iterator[Result]:
    """The same, and yields what `action` returns, in the order of the items."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                check()
                waiting.append(pool.submit(action, item))
                if len(waiting) >= workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                check()
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
