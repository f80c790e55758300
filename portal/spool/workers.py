"""Which workers there are: each holds a lock for as long as it lives, and keeps a small file and a heartbeat for people.

```
queue/workers/<name>.lock   held by the worker for as long as it lives: the only thing that decides
queue/workers/<name>.json   what it is
queue/workers/<name>.beat   when it last went round, on the clock that nobody can set; written over at most once a second
queue/workers/<name>.drain  somebody asked it to take no more jobs and to end when those it has have ended
```
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from portal import clock, processes
from portal.durable import is_full, publish
from portal.errors import QueueRefused
from portal.spool.layout import Layout
from portal.spool.locks import Lock, is_held
from portal.spool.records import names, remove, with_room
from portal.version import version

_TRIES, _TRIES_OF_A_FREE_NAME = 20, 3
_BEAT_EVERY_S = 1.0
_HANGS_AFTER_S, _HANGS_AFTER_POLLS = 30.0, 3
_FORGET_AFTER_MS = 86_400_000
_LONGEST_NAME = 200  # bytes; a file name may have 255


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
    version: str = ""
    """Of the code it started with (`portal.version`)."""
    draining: bool = False
    """It takes no more jobs and ends when those it has have ended."""
    beat_age_s: float | None = None
    """Seconds since it last went round; None for a worker that does not live, or that keeps no heartbeat."""
    hanging: bool = False
    """It lives and has not gone round for much longer than it ever should."""
    stopped: bool = False
    """Somebody stopped its process (SIGSTOP, a debugger): it lives and does nothing until it gets SIGCONT."""

    @property
    def takes_jobs(self) -> bool:
        return self.alive and not (self.draining or self.hanging or self.stopped)

    @property
    def free(self) -> int:
        """Slots in which it could start a job now."""
        return max(0, self.slots - self.running) if self.takes_jobs else 0


_KEPT = ("name", "host", "pid", "started_at", "slots", "running", "alive", "version")
"""What the file holds; the rest is found out by looking."""


@dataclass
class Registration:
    """A worker's entry; the name is its own until `leave`, or until the process ends."""

    info: WorkerInfo
    lock: Lock
    layout: Layout
    _beat_at: float = field(default=-_BEAT_EVERY_S, repr=False)

    def tell(self, running: int) -> None:
        """Write down how many jobs the worker runs."""
        if running != self.info.running:
            self.info = WorkerInfo(**{**asdict(self.info), "running": running})
            _write(self.layout, self.info)

    def beat(self) -> None:
        """Show that the worker goes round. Cheap enough for every step of a turn; a disk that cannot take it stops nothing."""
        now = time.monotonic()
        if now - self._beat_at < _BEAT_EVERY_S:
            return
        self._beat_at = now
        with contextlib.suppress(OSError):
            _write_beat(_path(self.layout, self.info.name, "beat"))

    @property
    def draining(self) -> bool:
        """Tell whether somebody asked this worker to take no more jobs."""
        return _path(self.layout, self.info.name, "drain").exists()

    def leave(self) -> None:
        try:
            _forget(self.layout, self.info.name)
        finally:
            self.lock.remove()


def register(layout: Layout, slots: int, name: str | None = None) -> Registration:
    """Enter a worker; without a name it gets the first free one of this host, so that a restarted worker is the same worker.

    Raises:
        QueueRefused: a living worker has the name.
    """
    host, code = socket.gethostname(), version()
    if name is not None:
        lock = _take_name(layout, name)
        if lock is None:
            raise QueueRefused(f"A worker called {name!r} runs on this queue.", hint="Give this one another --name, or stop the other.")
    else:
        name, lock = _first_free(layout, host)
    info = WorkerInfo(name, host, os.getpid(), clock.iso(clock.now_ms()), slots, 0, True, code)
    made = Registration(info, lock, layout)
    made.beat()
    try:
        with_room(layout, lambda: _write(layout, info))
    except OSError as error:
        if not is_full(error):  # the entry is for people; without a worker no running job would be recorded
            lock.remove()
            raise
    return made


def _first_free(layout: Layout, host: str) -> tuple[str, Lock]:
    for number in count(1):
        name = f"{host}-{number}"
        if lock := _take_name(layout, name, _TRIES_OF_A_FREE_NAME):
            return name, lock
    raise AssertionError("count() ended")


def _take_name(layout: Layout, name: str, tries: int = _TRIES) -> Lock | None:
    for _ in range(tries):
        if lock := with_room(layout, lambda: Lock.take(_path(layout, name, "lock"))):
            return lock
        time.sleep(0.01)  # somebody may just be looking whether it is held
    return None


def _path(layout: Layout, name: str, kind: str) -> Path:
    if not name or "/" in name or name.startswith(".") or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise QueueRefused(f"{name!r} cannot be the name of a worker.", hint="Use letters, digits and '-', not too many.")
    return layout.workers / f"{name}.{kind}"


def _write(layout: Layout, info: WorkerInfo) -> None:
    """Replace the entry. Not forced to the disk: after a power cut no worker lives."""
    path = _path(layout, info.name, "json")
    fresh = path.with_name(f".{path.name}.fresh")  # one writer: the holder of the name
    fresh.write_text(json.dumps({name: getattr(info, name) for name in _KEPT}) + "\n", "utf-8")
    fresh.replace(path)


def _write_beat(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        os.write(descriptor, b"%020d\n" % time.monotonic_ns())  # always as long, so that writing over it needs no room
    finally:
        os.close(descriptor)


def _beat_age_s(path: Path) -> float | None:
    try:
        age_ns = time.monotonic_ns() - int(path.read_bytes())
    except (OSError, ValueError):
        return None
    return age_ns / 1e9 if age_ns >= 0 else None


def _forget(layout: Layout, name: str) -> None:
    for kind in ("json", "beat", "drain"):
        _path(layout, name, kind).unlink(missing_ok=True)


def drain(layout: Layout, name: str, by: str) -> WorkerInfo:
    """Ask a living worker, durably, to take no more jobs and to end when those it has have ended. Raises QueueRefused when there is none."""
    info = _read(layout, name) if _path(layout, name, "lock").exists() else None
    if info is None or not info.alive:
        living = ", ".join(item.name for item in workers(layout) if item.alive) or "none"
        raise QueueRefused(f"No worker called {name!r} is running on this queue.", hint=f"Running are: {living}.")
    asked = {"by": by, "at": clock.iso(clock.now_ms())}
    data = (json.dumps(asked) + "\n").encode()
    with_room(layout, lambda: publish(_path(layout, name, "drain"), data, layout.tmp))
    return info


def undrain(layout: Layout, name: str) -> bool:
    """Take that back, durably; False when the worker was not being drained."""
    path = _path(layout, name, "drain")
    asked = path.exists()
    if asked:
        remove(path)
    return asked


def workers(layout: Layout) -> list[WorkerInfo]:
    """Return the workers that live, and those that ended without leaving."""
    found = []
    for name in names(layout.workers):
        if name.endswith(".json") and (info := _read(layout, name.removesuffix(".json"))):
            found.append(info)
    return found


def _read(layout: Layout, name: str) -> WorkerInfo | None:
    try:
        info = _told(name, json.loads(_path(layout, name, "json").read_bytes()))
        return _looked_at(layout, info) if is_held(_path(layout, name, "lock")) else info
    except (OSError, ValueError, TypeError, RecursionError, QueueRefused):
        return None


def _told(name: str, data: Any) -> WorkerInfo:
    """What a worker's file says. Raises ValueError, TypeError when no worker of that name can have written it."""
    info = WorkerInfo(**{**{item: data[item] for item in _KEPT if item in data}, "alive": False})
    texts, numbers = (info.name, info.host, info.started_at, info.version), (info.pid, info.slots, info.running)
    if info.name != name or not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise ValueError(f"not the file of {name}")
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError(f"not the figures of {name}")
    return info


def _looked_at(layout: Layout, info: WorkerInfo) -> WorkerInfo:
    """A living worker with what a look at it shows."""
    age = _beat_age_s(_path(layout, info.name, "beat"))
    known = {
        **asdict(info), "alive": True, "beat_age_s": age, "draining": _path(layout, info.name, "drain").exists(),
        "hanging": age is not None and age > _HANGS_AFTER_S + _HANGS_AFTER_POLLS * layout.settings.poll_s,
        "stopped": processes.is_stopped(info.pid),
    }  # fmt: skip
    return WorkerInfo(**known)


def forget_dead(layout: Layout, now_ms: int) -> None:
    """Remove the entries of workers that ended without leaving more than a day ago."""
    for info in workers(layout):
        if not info.alive and now_ms - _written_ms(_path(layout, info.name, "json")) > _FORGET_AFTER_MS:
            lock = Lock.take(_path(layout, info.name, "lock"))
            if lock is not None:
                _forget(layout, info.name)
                lock.remove()


def _written_ms(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return clock.now_ms()
