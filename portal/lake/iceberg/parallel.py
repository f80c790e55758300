"""Doing the same for many things at once, a few ahead: memory stays flat however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_AHEAD = 4


def each(items: Iterable[Item], action: Callable[[Item], Any], check: Callable[[], None], *, workers: int) -> int:
    """Do `action` with every item, `workers` at a time; returns how many there were. The first error ends it, and so does one of `check`, which
    is called between items; what was begun then ends first."""
    count = 0
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                check()
                waiting.append(pool.submit(action, item))
                count += 1
                if len(waiting) >= workers * _AHEAD:
                    waiting.popleft().result()
            while waiting:
                check()
                waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
    return count
