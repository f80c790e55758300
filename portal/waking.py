"""Sleeping until there may be something to do: file events and signals wake early, a rescan every few seconds is the truth."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from pathlib import Path

from watchfiles import watch

log = logging.getLogger("portal.worker")

_DEBOUNCE_MS, _STEP_MS = 100, 10
_WATCHING_AFTER_S, _FIRST_SLEEP_S = 5.0, 0.5


class Alarm:
    """Wakes `wait` on a change in the watched folders, on the end of a child, and on the signals that are caught."""

    def __init__(self, *folders: Path) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=folders, name="file events", daemon=True)
        self._before = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._surely_watching = time.monotonic() + _WATCHING_AFTER_S
        self._thread.start()

    def _watch(self, *folders: Path) -> None:
        try:
            for _ in watch(
                *folders, watch_filter=None, recursive=False, debounce=_DEBOUNCE_MS, step=_STEP_MS, stop_event=self._stop, rust_timeout=1000,
                yield_on_timeout=False, raise_interrupt=False,
            ):  # fmt: skip
                self.ring()
        except Exception as error:  # events are hints: without them the rescans go on
            log.warning("File events do not work here (%s); the queue is looked at every few seconds.", error)

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> None:
        """Sleep until something rings, at most so many seconds; short sleeps at first, while the events may not have begun."""
        if time.monotonic() < self._surely_watching:
            seconds = min(seconds, _FIRST_SLEEP_S)
        readable, _, _ = select.select([self._read], (), (), seconds)
        if readable:
            os.read(self._read, 4096)

    def stop(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, self._before)
        self._stop.set()
        self._thread.join()
        os.close(self._read)
        os.close(self._write)
