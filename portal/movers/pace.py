"""How fast to go: requests in flight at each end, how many threads, and caps that the user sets. All of it per process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from portal.errors import Cancelled

BURST_S = 0.25
_HALVE_EVERY_S = 1.0
_LOOK_EVERY_S = 0.2
_LONGEST_HOLD_S = 30.0
"""A service that asks for more is asked again after that: a date that is wrong would hold the whole job for years."""
_BUSY = 0.7
"""A process that uses more of a CPU than this does not wait for the network: more threads would only be in each other's way."""
_WORTH = 1.1
"""More threads stay when they bring a tenth more."""
FEWEST_THREADS = 2


class Gate:
    """Bounds the requests in flight at one end: halved when it throttles (at most once a second), one more after a window of successes.

    Additive increase, multiplicative decrease: Chiu and Jain, https://doi.org/10.1016/0169-7552(89)90019-6.
    """

    def __init__(self, most: int, rate: Rate, stopped: Callable[[], bool]) -> None:
        self.limit, self._most, self._rate, self._stopped = most, most, rate, stopped
        self.open = not rate.caps
        """Nobody need pass through it: no cap is set, and the end did not throttle, or not for long."""
        self._free = threading.Condition()
        self._in_flight = self._won = 0
        self._held_until = self._halve_at = 0.0

    def __enter__(self) -> Self:
        self._rate.take(1)
        with self._free:
            while self._in_flight >= self.limit or (self._held_until and self._held_until > time.monotonic()):
                if self._stopped():
                    raise Cancelled
                self._free.wait(min(_LOOK_EVERY_S, max(0.001, self._held_until - time.monotonic()) if self._held_until else _LOOK_EVERY_S))
            self._in_flight += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        with self._free:
            self._in_flight -= 1
            if self.limit < self._most:
                self._grow(error is None)
                self._free.notify()

    def _grow(self, won: bool) -> None:
        self._won += won
        if self._won >= self.limit:
            self._won = 0
            self.limit += 1
            self.open = self.limit == self._most and not self._in_flight and not self._rate.caps

    def throttled(self, retry_after_s: float, in_flight: int = 0) -> None:
        """The end asked to slow down, and to be left alone for so long (0: it did not say). `in_flight`: that nobody counted here."""
        with self._free:
            self.open = False
            now = time.monotonic()
            self._held_until = max(self._held_until, now + min(retry_after_s, _LONGEST_HOLD_S)) if retry_after_s else self._held_until
            if now >= self._halve_at:
                self._halve_at, self._won = now + _HALVE_EVERY_S, 0
                self.limit = max(1, min(self.limit, max(in_flight, self._in_flight + 1)) // 2)


class Rate:
    """At most so many of something a second, with bursts of a quarter of a second; 0: as many as there are."""

    def __init__(self, per_s: float, stopped: Callable[[], bool]) -> None:
        self._per_s, self._stopped = per_s, stopped
        self.caps = bool(per_s)
        self._lock = threading.Lock()
        self._paid_until = 0.0

    def take(self, amount: float) -> None:
        """Wait until so many may go. Raises Cancelled."""
        if not self._per_s:
            return
        with self._lock:
            begin = max(self._paid_until, time.monotonic() - BURST_S)
            self._paid_until = begin + amount / self._per_s
            until = self._paid_until
        pause(until - time.monotonic(), self._stopped)


def pause(seconds: float, stopped: Callable[[], bool]) -> None:
    """Raises Cancelled as soon as `stopped` tells so."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if stopped():
            raise Cancelled
        time.sleep(min(left, _LOOK_EVERY_S))


class Memory:
    """Bounds what large blocks take of it together; one goes through however large it is."""

    def __init__(self, most_bytes: int, stopped: Callable[[], bool]) -> None:
        self._most, self._stopped = most_bytes, stopped
        self._free = threading.Condition()
        self.held_bytes = 0

    @contextmanager
    def holding(self, size_bytes: int) -> Iterator[None]:
        """Wait until there is so much. Raises Cancelled."""
        with self._free:
            while self.held_bytes and self.held_bytes + size_bytes > self._most:
                if self._stopped():
                    raise Cancelled
                self._free.wait(_LOOK_EVERY_S)
            self.held_bytes += size_bytes
        try:
            yield
        finally:
            with self._free:
                self.held_bytes -= size_bytes
                self._free.notify_all()


class Crew:
    """How many threads: twice as many as long as the process waits for the network and that brings more, and back when it does not."""

    def __init__(self, most: int) -> None:
        self.size = min(most, FEWEST_THREADS)
        self._most = most
        self._rate_before = 0.0
        self._settled_until = 0.0

    def at_least(self, size: int) -> int:
        """Begin with so many; returns how many there shall be."""
        self.size = max(self.size, min(self._most, size))
        return self.size

    def look(self, now_s: float, *, busy: float, rate: float, all_at_work: bool) -> int:
        """Return how many threads there shall be.

        Args:
            busy: share that the process used, since the last look, of the processors that it can use
            rate: work done a second since then, in whatever unit
            all_at_work: no thread was without work
        """
        if not all_at_work or now_s < self._settled_until:
            return self.size
        if self._rate_before and rate < self._rate_before * _WORTH:
            self.size, self._rate_before, self._settled_until = max(FEWEST_THREADS, self.size // 2), 0.0, now_s + 5
        elif busy < _BUSY and self.size < self._most:
            self.size, self._rate_before = min(self._most, self.size * 2), rate
        else:
            self._rate_before = 0.0
        return self.size
