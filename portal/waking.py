"""Sleeping until there may be something to do: file events, ends of runners and signals wake early, a look every few seconds is the truth."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from watchfiles import watch

from portal.inotify import Inotify

log = logging.getLogger("portal.worker")

Hear = Callable[[Collection[str] | None], None]
"""Told the names that came into the first watched folder; None when some may have been missed."""

_DEBOUNCE_MS, _STEP_MS = 20, 5
_WATCHING_AFTER_S, _FIRST_SLEEP_S = 5.0, 0.5


class Alarm:
    """Wakes `wait` on what comes into the watched folders, on the end of a child, and on the signals that are caught."""

    def __init__(self, *folders: Path, hear: Hear = lambda _: None) -> None:
        self._read, self._write = os.pipe()
        for descriptor in (self._read, self._write):
            os.set_blocking(descriptor, False)
        self._before = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._events = _events(folders, hear, self.ring)

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float, also: Collection[int] = ()) -> None:
        """Sleep until something rings, at most so many seconds, and pass on which files came.

        Args:
            also: more descriptors; one that is readable rings.
        """
        poll = select.poll()  # and no select(2), which cannot count beyond 1023: many slots, spares and other workers' runners add up
        for descriptor in (self._read, *self._events.descriptors, *also):
            poll.register(descriptor, select.POLLIN)
        if any(descriptor == self._read for descriptor, _ in poll.poll(max(0.0, self._events.bounded(seconds)) * 1000)):
            os.read(self._read, 4096)
        self._events.pass_on()

    def stop(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, self._before)
        self._events.stop()
        os.close(self._read)
        os.close(self._write)


def _events(folders: Collection[Path], hear: Hear, ring: Callable[[], None]) -> _KernelEvents | _WatchedEvents:
    try:
        return _KernelEvents(folders, hear)
    except OSError:
        return _WatchedEvents(folders, hear, ring)


class _KernelEvents:
    """Linux tells them by a descriptor."""

    def __init__(self, folders: Collection[Path], hear: Hear) -> None:
        self._first, self._hear = next(iter(folders)), hear
        self._inotify = Inotify(*folders)
        self.descriptors = [self._inotify.descriptor]
        hear(())

    def bounded(self, seconds: float) -> float:
        return seconds

    def pass_on(self) -> None:
        found = self._inotify.read()
        if found is None:
            log.warning("File events were lost; the queue is looked at anew.")
            self._hear(None)
        elif names := found.get(self._first):
            self._hear(names)

    def stop(self) -> None:
        self._inotify.close()


class _WatchedEvents:
    """Elsewhere a thread gathers them."""

    def __init__(self, folders: Collection[Path], hear: Hear, ring: Callable[[], None]) -> None:
        self.descriptors: list[int] = []
        self._first, self._hear, self._ring = next(iter(folders)).resolve(), hear, ring
        self._gathered: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._surely_watching = time.monotonic() + _WATCHING_AFTER_S
        self._working, self._told = True, False
        self._thread = threading.Thread(target=self._watch, args=tuple(folders), name="file events", daemon=True)
        self._thread.start()

    def _watch(self, *folders: Path) -> None:
        try:
            for changes in watch(
                *folders, watch_filter=None, recursive=False, debounce=_DEBOUNCE_MS, step=_STEP_MS, stop_event=self._stop, rust_timeout=1000,
                yield_on_timeout=False, raise_interrupt=False,
            ):  # fmt: skip
                here = [path.name for _, name in changes if (path := Path(name)).parent == self._first]
                with self._lock:
                    self._gathered += here
                self._ring()
        except Exception as error:  # events are hints: without them the looks go on
            log.warning("File events do not work here (%s); the queue is looked at every few seconds.", error)
            self._working = False

    def bounded(self, seconds: float) -> float:
        """Short sleeps at first, while the events may not have begun."""
        return seconds if time.monotonic() >= self._surely_watching else min(seconds, _FIRST_SLEEP_S)

    def pass_on(self) -> None:
        with self._lock:
            names, self._gathered = self._gathered, []
        if not self._working or time.monotonic() < self._surely_watching:
            self._hear(None)
        elif names or not self._told:
            self._told = True
            self._hear(names)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
