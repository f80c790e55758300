"""A bounded thread pool: as many items in flight as there are threads, results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def each(items: Iterable[Item], work: Callable[[Item], Outcome], threads: int) -> Iterator[Outcome]:
    """Yield `work(item)` for each item, in the order they finish; what work raises ends the whole, after those in flight have ended."""
    pending: set[Future[Outcome]] = set()
    source = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="transfer")
    try:
        while True:
            while len(pending) < threads * 2 and (item := next(source, None)) is not None:
                pending.add(pool.submit(work, item))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
