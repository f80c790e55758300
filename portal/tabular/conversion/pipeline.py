"""Work on a stream of items in a few threads: results come in the items' order, few are in memory at a time, and a cancel is heard at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from queue import Empty, Queue
from typing import TypeVar

from portal.native.memory import give_back, keep_blocks
from portal.tabular.rows import Check

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_THREADS = 8
_AHEAD = 2
"""Items that wait beside those that are worked on, so that no thread waits for the reader."""
_CHECK_S = 0.1
_GOODBYE_S = 3.0
"""How long a reader that is held up by its store is waited for after a cancel; it ends by itself at its next block."""


def threads() -> int:
    """Return how many threads may work: the processors that this process may use, eight at most."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_THREADS, there)


def in_order(items: Iterable[Item], work: Callable[[Item], Result], *, check: Check, workers: int = 0) -> Generator[Result, None, None]:
    """Yield work(item) for each item, in their order.

    The items are taken in a thread of their own, which is the only one that touches `items`. What they or `work` raise is raised where its
    result would have come, after all results before it.

    Arguments:
        check: called while waiting, ten times a second at least; what it raises ends everything.
        workers: number of threads; 0: `threads()`.
    """
    keep_blocks()
    workers = workers or threads()
    feed: Queue[Future[Result] | None] = Queue(workers + _AHEAD)
    stop = threading.Event()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="parse")
    feeder = threading.Thread(target=_feed, args=(items, work, executor, feed, stop), name="read", daemon=True)
    feeder.start()
    try:
        while (future := _next(feed, check)) is not None:
            yield _result(future, check)
            del future
    finally:
        stop.set()
        _drain(feed, feeder)
        executor.shutdown(wait=True, cancel_futures=True)
        give_back()


def _feed(
    items: Iterable[Item], work: Callable[[Item], Result], executor: ThreadPoolExecutor, feed: Queue[Future[Result] | None], stop: threading.Event
) -> None:  # fmt: skip
    try:
        for item in items:
            if stop.is_set():
                break
            feed.put(executor.submit(work, item))
            del item
    except BaseException as error:
        failed: Future[Result] = Future()
        failed.set_exception(error)
        feed.put(failed)
    finally:
        close = getattr(items, "close", None)
        if close:
            close()
        feed.put(None)


def _next(feed: Queue[Future[Result] | None], check: Check) -> Future[Result] | None:
    while True:
        check()
        try:
            return feed.get(timeout=_CHECK_S)
        except Empty:
            continue


def _result(future: Future[Result], check: Check) -> Result:
    while True:
        try:
            return future.result(timeout=_CHECK_S)
        except NotYet:
            if future.done():
                raise
            check()


def _drain(feed: Queue[Future[Result] | None], feeder: threading.Thread) -> None:
    """Make room until the feeder has seen that it shall stop."""
    waited = 0.0
    while feeder.is_alive() and waited < _GOODBYE_S:
        try:
            feed.get(timeout=0.02)
        except Empty:
            waited += 0.02
    feeder.join(timeout=0.02)
