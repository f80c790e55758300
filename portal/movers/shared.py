"""What the threads of a process that moves objects share."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from portal.errors import Cancelled
from portal.movers.messages import Answered, Channel, Moved, Renewed, Report, Setup
from portal.movers.pace import Gate, Memory, Rate
from portal.transfer.carry import Carrier

_REPORT_OBJECTS = 32
_REFUSALS_REMEMBERED = 3


class Shared:
    """Set up once, by the first message."""

    def __init__(self, setup: Setup, channel: Channel) -> None:
        self.options = setup.options
        self.source, self.target = setup.source, setup.target
        self.generation = 0
        self.stopped = threading.Event()
        self.work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.outbox = Outbox(channel, self.work.empty)
        stopped: Callable[[], bool] = self.stopped.is_set
        requests = Rate(self.options.max_requests_s, stopped)
        self.bandwidth = Rate(self.options.max_bandwidth, stopped)
        self.memory = Memory(self.options.buffer_bytes, stopped)
        self.source_gate = Gate(self.options.threads, requests, stopped)
        self.target_gate = Gate(self.options.threads, requests, stopped)
        self.carrier = Carrier(
            self.options.source_root, setup.source.kind, setup.target.kind, self.options.job_id,
            carry=self.options.carry, tags=self.options.carry_tags, tier=self.options.tier,
        )  # fmt: skip
        self._refusals = 0
        self.refusal = ""
        """Why nothing is pulled by the target any more."""

    def renew(self, access: Renewed) -> None:
        self.source, self.target = access.source, access.target
        self.generation += 1

    def refuse_when_stopped(self) -> None:
        """Raises Cancelled."""
        if self.stopped.is_set():
            raise Cancelled

    def refused(self, why: str) -> None:
        """The target's service could not read a source; after some of those in a row the rest is not tried."""
        self._refusals += 1
        if self._refusals >= _REFUSALS_REMEMBERED:
            self.refusal = why

    def pulled(self) -> None:
        self._refusals = 0


class Outbox:
    """Results on their way to the parent, many in one message. Any thread may add."""

    def __init__(self, channel: Channel, idle: Callable[[], bool]) -> None:
        self._channel, self._idle = channel, idle
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._report = Report()
        self.threads = 0
        self.done = 0.0
        """Work done, in bytes; an object counts as 64 KiB more."""

    def moved(self, result: Moved) -> None:
        self.done += result.bytes_through + 65_536
        with self._lock:
            self._report.moved.append(tuple(result))
            full = len(self._report.moved) >= _REPORT_OBJECTS
        if full or self._idle():
            self.flush()

    def answered(self, result: Answered, size_bytes: int = 0) -> None:
        self.done += size_bytes
        with self._lock:
            self._report.answered.append(result)
        self.flush()

    def log(self, level: int, text: str) -> None:
        with self._lock:
            self._report.logged.append((level, text))

    def trouble(self, text: str) -> None:
        """Log the error that is being handled, and where it came from: nobody foresaw it."""
        self.log(logging.ERROR, f"{text}\n{traceback.format_exc()}")

    def flush(self) -> None:
        """Send what there is. One sender at a time, from the taking to the sending: else a later report could overtake an earlier one, and the
        end of a step the blocks that belong to it."""
        with self._sending:
            with self._lock:
                report, self._report = self._report, Report()
                report.threads = self.threads
            if report.moved or report.answered or report.logged:
                try:
                    self._channel.send(report)
                except OSError:
                    os._exit(1)  # the parent is gone, and with it whoever could be told


def now_ms() -> int:
    return time.time_ns() // 1_000_000
