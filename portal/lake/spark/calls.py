"""Calls of our own functions on executors, each a Spark job of one task: at most so many in flight, their values as they come."""

from __future__ import annotations

import importlib
import logging
import pickle
import queue
import threading
import time
import uuid
import warnings
import zlib
from collections.abc import Callable, Hashable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

from portal.errors import Cancelled
from portal.lake.spark import at_executor, own_code
from portal.lake.spark.answers import value_of
from portal.lake.spark.failures import told

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MOST_IN_FLIGHT = 1024
_AHEAD = 2
"""In flight for each place where a task can run: the next one is there when one ends."""
_LOOK_EVERY_S = 1.0
_NOBODY_S = 30.0
_END_WITHIN_S = 4.0

log = logging.getLogger("portal.lake")

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Ended(NamedTuple):
    key: Any
    value: Any = None
    error: BaseException | None = None


class Calls(Generic[Key, Value]):
    """Used by one thread. Leaving the context cancels what is in flight.

    A call whose executor is lost is made again by Spark, four times in all, and told how often it was tried before. Common part, argument and
    value are pickled; they travel encrypted, and rest nowhere: no configuration, environment, log or file of Spark's has any of them.
    """

    def __init__(self, session: SparkSession, function: Callable[[Any, Any, int], Value], common: Any, *, name: str, most: int = 0) -> None:
        """
        Args:
            function: of a module of the portal's: called with `common`, the argument, and how often this call was tried before
            common: what all calls need, credentials too
            name: what Spark's pages call it
            most: calls in flight; 0: twice as many as there are places for tasks
        """
        self._context = session.sparkContext
        self._function = (function.__module__, function.__qualname__)
        self._code, self._name, self.most = own_code.bring(session), name, most
        self._group = f"portal-{uuid.uuid4().hex}"
        self._todo: queue.SimpleQueue[tuple[Key, bytes] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.in_flight = 0
        self._slots, self._looked = 0, 0.0
        self._heard = time.monotonic()
        self._closed = False
        self._trouble: Exception | None = None
        self.renew(common)
        importlib.import_module("pyspark.cloudpickle").register_pickle_by_value(at_executor)
        with warnings.catch_warnings(), told(f"Starting {name}"):
            warnings.simplefilter("ignore", ResourceWarning)  # pyspark leaves a socket to the collector
            self._one = self._context.parallelize([0], 1)

    def renew(self, common: Any) -> None:
        """Calls from now on get another common part: fresh credentials."""
        self._order = zlib.compress(pickle.dumps((*self._function, common), protocol=5), 1)

    @property
    def slots(self) -> int:
        """How many tasks can run at the same time now; executors come and go."""
        now = time.monotonic()
        if not self._slots or now - self._looked > _LOOK_EVERY_S:
            with told("Looking at the executors"):
                self._slots, self._looked = max(1, int(self._context.defaultParallelism)), now
        return self._slots

    @property
    def is_local(self) -> bool:
        return str(self._context.master).startswith("local")

    @property
    def room(self) -> bool:
        """Whether another call is welcome."""
        return self.in_flight < min(self.most or self.slots * _AHEAD, MOST_IN_FLIGHT)

    def put(self, key: Key, argument: Any) -> None:
        """Make a call; `ended` tells its value with this key."""
        if len(self._threads) <= self.in_flight:
            self._threads.append(threading.Thread(target=self._serve, name=f"spark-{len(self._threads)}", daemon=True))
            self._threads[-1].start()
        self.in_flight += 1
        self._todo.put((key, zlib.compress(pickle.dumps(argument, protocol=5), 1)))

    def ended(self, timeout_s: float) -> list[tuple[Key, Value]]:
        """Wait for at most so long; return what has ended. Raises what a call raised, SparkFailed, SparkPassing: after all that ended well before
        it was returned."""
        found: list[tuple[Key, Value]] = []
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
        with suppress(queue.Empty):
            ended = self._done.get(timeout=timeout_s) if self.in_flight else self._done.get_nowait()
            while True:
                self._heard = time.monotonic()
                try:
                    found.append(self._taken(ended))
                except Exception as error:
                    if not found:
                        raise
                    self._trouble = error
                    return found
                ended = self._done.get_nowait()
        self._warn_of_waiting()
        return found

    def _taken(self, ended: _Ended) -> tuple[Key, Value]:
        self.in_flight -= 1
        if ended.error is not None:
            raise ended.error
        return ended.key, value_of(ended.value)

    def _warn_of_waiting(self) -> None:
        if not self.in_flight or time.monotonic() - self._heard < _NOBODY_S:
            return
        self._heard = time.monotonic()
        with told("Looking at the executors"):
            there = int(self._context._jsc.sc().getExecutorMemoryStatus().size()) - (not self.is_local)
        if not there:
            log.warning("no executor yet: the cluster %s has given none. Has it workers, and free cores and memory?", self._context.master)

    def cancel(self) -> list[tuple[Key, Value]]:
        """Have every task end, and wait a moment for it; returns what ended well after all."""
        self._stop()
        found = []
        until = time.monotonic() + _END_WITHIN_S
        while self.in_flight and (left := until - time.monotonic()) > 0:
            try:
                ended = self._done.get(timeout=left)
            except queue.Empty:
                break
            with suppress(Exception):
                found.append(self._taken(ended))
        return found

    def _stop(self) -> None:
        self._closed = True
        with suppress(Exception):  # Java may be gone already, and every task with it
            self._context.cancelJobGroup(self._group)

    # what each thread does

    def _serve(self) -> None:
        while (work := self._todo.get()) is not None:  # py4j closes this thread's connection when it has ended
            key, argument = work
            try:
                self._done.put(_Ended(key, self._called(argument)))
            except BaseException as error:
                self._done.put(_Ended(key, error=error))

    def _called(self, argument: bytes) -> Any:
        if self._closed:
            raise Cancelled
        archive, stamp = self._code  # plain values: what Spark ships must not need the portal to be read
        order = self._order
        with told(self._name):
            self._context.setJobGroup(self._group, self._name)
            [answer] = self._one.map(lambda _: at_executor.called(archive, stamp, order, argument)).collect()
        return pickle.loads(zlib.decompress(answer))  # noqa: S301 - both ends are this program

    def close(self) -> None:
        if self.in_flight and not self._closed:
            self._stop()
        for _ in self._threads:
            self._todo.put(None)
        until = time.monotonic() + (0.5 if self._closed else _END_WITHIN_S)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()
