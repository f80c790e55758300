"""Which workers there are: each holds a lock for as long as it lives and keeps a small file for people."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from portal import clock
from portal.durable import publish
from portal.errors import QueueRefused
from portal.spool.layout import Layout
from portal.spool.locks import Lock, is_held
from portal.spool.records import names

_TRIES = 20
_FORGET_AFTER_MS = 86_400_000


@dataclass(frozen=True)
class WorkerInfo:
    """A worker as the queue knows it. `alive` is told by its lock, never by a clock; `running` is the number of its jobs."""

    name: str
    host: str
    pid: int
    started_at: str
    slots: int
    running: int
    alive: bool


@dataclass
class Registration:
    """A worker's entry; the name is its own until `leave`, or until the process ends."""

    info: WorkerInfo
    lock: Lock
    layout: Layout

    def tell(self, running: int) -> None:
        """Write down how many jobs the worker runs."""
        if running != self.info.running:
            self.info = WorkerInfo(**{**asdict(self.info), "running": running})
            _write(self.layout, self.info)

    def leave(self) -> None:
        _info_path(self.layout, self.info.name).unlink(missing_ok=True)
        self.lock.remove()


def register(layout: Layout, slots: int, name: str | None = None) -> Registration:
    """Enter a worker; without a name it gets the first free one of this host, so that a restarted worker is the same worker.

    Raises:
        QueueRefused: a living worker has the name.
    """
    host = socket.gethostname()
    if name is not None:
        lock = _take_name(layout, name)
        if lock is None:
            raise QueueRefused(f"A worker called {name!r} runs on this queue.", hint="Give this one another --name, or stop the other.")
    else:
        name, lock = _first_free(layout, host)
    info = WorkerInfo(name, host, os.getpid(), clock.iso(clock.now_ms()), slots, 0, True)
    _write(layout, info)
    return Registration(info, lock, layout)


def _first_free(layout: Layout, host: str) -> tuple[str, Lock]:
    for number in count(1):
        name = f"{host}-{number}"
        if lock := Lock.take(_lock_path(layout, name)):
            return name, lock
    raise AssertionError("count() ended")


def _take_name(layout: Layout, name: str) -> Lock | None:
    for _ in range(_TRIES):
        if lock := Lock.take(_lock_path(layout, name)):
            return lock
        time.sleep(0.01)  # somebody may just be looking whether it is held
    return None


def _lock_path(layout: Layout, name: str) -> Path:
    if not name or "/" in name or name.startswith(".") or len(name) > 100:
        raise QueueRefused(f"{name!r} cannot be the name of a worker.", hint="Use letters, digits and '-'.")
    return layout.workers / f"{name}.lock"


def _info_path(layout: Layout, name: str) -> Path:
    return layout.workers / f"{name}.json"


def _write(layout: Layout, info: WorkerInfo) -> None:
    publish(_info_path(layout, info.name), (json.dumps(asdict(info)) + "\n").encode(), layout.tmp, replace=True)


def workers(layout: Layout) -> list[WorkerInfo]:
    """Return the workers that live, and those that ended without leaving."""
    found = []
    for name in names(layout.workers):
        if name.endswith(".json") and (info := _read(layout, name.removesuffix(".json"))):
            found.append(info)
    return found


def _read(layout: Layout, name: str) -> WorkerInfo | None:
    try:
        data: Any = json.loads(_info_path(layout, name).read_bytes())
        return WorkerInfo(**{**data, "alive": is_held(_lock_path(layout, name))})
    except (OSError, ValueError, TypeError):
        return None


def forget_dead(layout: Layout, now_ms: int) -> None:
    """Remove the entries of workers that ended without leaving more than a day ago."""
    for info in workers(layout):
        if not info.alive and now_ms - _written_ms(_info_path(layout, info.name)) > _FORGET_AFTER_MS:
            lock = Lock.take(_lock_path(layout, info.name))
            if lock is not None:
                _info_path(layout, info.name).unlink(missing_ok=True)
                lock.remove()


def _written_ms(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return clock.now_ms()
