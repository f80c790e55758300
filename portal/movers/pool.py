"""The parent's side: starts processes, hands them work, hears what came of it, and gives the work of one that died to another."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.errors import PortalError
from portal.movers.messages import Answered, Channel, Failure, Item, Moved, Options, Renewed, Report, Setup, Stop, Unit, keep_secret
from portal.processes import MARK
from portal.wire.ends import Access

MAX_PROCESSES = 8
MAX_CONNECTIONS = 64
_ROOT = Path(__file__).resolve().parent.parent.parent
_BATCH_OBJECTS = 32
_SMALL_BYTES = 128 << 10
_SMALL_LOAD = 1 / 16
"""What a small object weighs beside a block: so that a process has enough to do, and not all of it."""
_LOAD_AHEAD = 8
_PROCESSORS_FOR_BLOCKS = 4
"""Measured: a second process for two processors costs 0.15 s of CPU a GiB and saves no time."""
_LOAD_BEFORE_ANOTHER = 3.0
"""When each process has so much to do, another is started."""
_END_WITHIN_S = 0.8
_DEATHS_PER_PROCESS = 4
_RENEW_AGAIN_S = 15
_NEEDED = frozenset({
    "PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED",
    "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONWARNINGS", "MALLOC_ARENA_MAX", "HTTPS_PROXY",
    "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PORTAL_HOME", MARK,
})  # fmt: skip
"""All that a process that moves objects gets of the environment, beside LC_…: any other variable may hold a secret."""

log = logging.getLogger("portal.transfer")

Accesses = Callable[[], tuple[Access, Access]]
"""Gives the credentials for source and target, fresh ones each time."""


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    channel: Channel
    threads: int
    items: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    units: dict[int, Unit] = field(default_factory=dict)
    load: float = 0

    @property
    def room(self) -> float:
        return self.threads * 2 + _LOAD_AHEAD - self.load


class Pool:
    """Processes that move objects. Not for many threads. Leaving the context ends them."""

    def __init__(self, processes: int, options: Options, accesses: Accesses) -> None:
        """Start a process; more of them, at most `processes`, are started as there is work for them."""
        self._most, self._accesses = processes, accesses
        self._setup = Setup(*accesses(), options)
        keep_secret(self._setup.source, self._setup.target)
        self._selector = selectors.DefaultSelector()
        self._children: list[_Child] = []
        self._deaths_left = _DEATHS_PER_PROCESS * processes
        self._orphans: set[int] = set()
        self._renew_after = 0.0
        self._waiting: deque[tuple[Any, ...] | Unit] = deque()
        self._start()

    def _start(self) -> None:
        child = _started()
        self._children.append(child)
        self._selector.register(child.channel, selectors.EVENT_READ, child)
        _send(child, self._setup)

    @property
    def target_kind(self) -> str:
        return self._setup.target.kind

    @property
    def room(self) -> bool:
        """Whether more work is welcome."""
        return not self._waiting and (len(self._children) < self._most or any(child.room > 0 for child in self._children))

    @property
    def idle(self) -> bool:
        return not self._waiting and not any(child.items or child.units for child in self._children)

    def put(self, work: Sequence[tuple[Any, ...] | Unit]) -> None:
        """Take in objects of one block (the fields of Item) and steps of large ones."""
        self._waiting.extend(work)
        self._dispatch()

    def _dispatch(self) -> None:
        """Give what waits to the processes that have most room, many small objects in one message."""
        while self._waiting:
            child = max(self._children, key=lambda found: found.room)
            if self._worth_another(child) and len(self._children) < self._most:
                self._start()
            elif child.room > 0:
                self._give(child)
            else:
                return

    def _worth_another(self, child: _Child) -> bool:
        """Whether another process would bring more, when this one has most room. Blocks are received, summed and sent without Python's lock,
        so one process keeps several processors busy with them; small objects are mostly Python."""
        if isinstance(self._waiting[0], Unit):
            return child.room <= 0 and len(self._children) * _PROCESSORS_FOR_BLOCKS < self._most
        return child.load >= _LOAD_BEFORE_ANOTHER

    def _give(self, child: _Child) -> None:
        batch: list[tuple[Any, ...]] = []
        while self._waiting and len(batch) < _BATCH_OBJECTS and child.room > 0:
            if isinstance(self._waiting[0], Unit):
                break
            item = self._waiting.popleft()
            batch.append(item)
            child.load += _load(item)
            child.items[item[0]] = item
        if batch:
            _send(child, batch)
        elif isinstance(unit := self._waiting[0], Unit):
            self._waiting.popleft()
            child.units[unit.number] = unit
            child.load += 1
            _send(child, unit)

    def wait(self, timeout_s: float) -> Report:
        """Wait until something was done, at most so long, and tell what. Raises PortalError when processes die again and again."""
        self._renew()
        told = Report()
        for key, _ in self._selector.select(timeout_s):
            child: _Child = key.data
            reports = child.channel.received()
            if reports is None:
                self._bury(child, told)
            for report in reports or ():
                self._take(child, report, told)
        self._dispatch()
        return told

    def _take(self, child: _Child, report: Report, told: Report) -> None:
        child.threads = report.threads or child.threads
        for moved in report.moved:
            child.load -= _load(child.items.pop(moved[0]))
        for answer in report.answered:
            if answer.told.get("end"):
                del child.units[answer.number]
                child.load -= 1
        told.moved += report.moved
        told.answered += report.answered
        for level, text in report.logged:
            log.log(level, "%s", text)

    def _bury(self, child: _Child, told: Report) -> None:
        """Give the work of a process that died to another, once; start another process in its place."""
        self._selector.unregister(child.channel)
        child.channel.close()
        self._children.remove(child)
        status = child.process.wait()
        died = f"signal {-status}" if status < 0 else f"exit code {status}"
        log.error("a process that moves objects ended (%s) with %d objects in hand", died, len(child.items) + len(child.units))
        self._deaths_left -= 1
        if self._deaths_left <= 0:
            raise PortalError(f"The processes that move objects end again and again ({died}).", hint="Is there enough memory? See the job's log.")
        self._start()
        failure = Failure("other", f"the process that moved it ended twice ({died})", retryable=True)
        for item in child.items.values():
            if item[0] in self._orphans:
                told.moved.append(tuple(Moved(item[0], "failed", reason=failure.reason, cause=failure.cause, retryable=True)))
            else:
                self._waiting.append(tuple(Item(*item)._replace(look=True)))
        for unit in child.units.values():
            if unit.item.n in self._orphans:
                told.answered.append(Answered(unit.number, {"end": True}, failure))
            else:
                self._waiting.append(unit._replace(item=unit.item._replace(look=True)))
        self._orphans.update(child.items, (unit.item.n for unit in child.units.values()))

    def _renew(self) -> None:
        setup = self._setup
        if time.time() < min(setup.source.renew_at, setup.target.renew_at):
            return
        if time.monotonic() < self._renew_after:
            return
        try:
            source, target = self._accesses()
        except PortalError as error:
            if not error.retryable:
                raise
            # They are renewed some time before they end; until then those of before do, and when they have ended the objects say so.
            log.warning("the credentials could not be renewed yet, in %d s it is tried again: %s", _RENEW_AGAIN_S, error.message)
            self._renew_after = time.monotonic() + _RENEW_AGAIN_S
            return
        self._setup = Setup(source, target, setup.options)
        keep_secret(source, target)
        for child in self._children:
            _send(child, Renewed(source, target))

    def forget(self, n: int) -> list[int]:
        """Drop the steps of a large object that no process has yet; returns their numbers."""
        dropped = [work.number for work in self._waiting if isinstance(work, Unit) and work.item.n == n]
        self._waiting = deque(work for work in self._waiting if not (isinstance(work, Unit) and work.item.n == n))
        return dropped

    def stop(self) -> Report:
        """Have the processes end within a second; returns what they did until then."""
        for child in self._children:
            _send(child, Stop())
        self._waiting.clear()
        told = Report()
        until = time.monotonic() + _END_WITHIN_S
        while self._children and (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                child = key.data
                reports = child.channel.received()
                for report in reports or ():
                    self._take(child, report, told)
                if reports is None:
                    self._let_go(child)
        return told

    def _let_go(self, child: _Child) -> None:
        self._selector.unregister(child.channel)
        self._children.remove(child)
        child.channel.close()
        child.process.kill()
        child.process.wait()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *about: object) -> None:
        for child in list(self._children):
            self._let_go(child)
        self._selector.close()


def _started() -> _Child:
    ours, theirs = socket.socketpair()
    with theirs:
        environment = {name: value for name, value in os.environ.items() if name.upper() in _NEEDED or name.startswith("LC_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "portal.movers.process", "--fd", str(theirs.fileno())], cwd=_ROOT, pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
    return _Child(process, Channel(ours), threads=2)


def _send(child: _Child, message: object) -> None:
    try:
        child.channel.send(message)
    except OSError:
        return  # it died: the next look at its socket finds that, and its work is given to another


def _load(item: tuple[Any, ...]) -> float:
    return _SMALL_LOAD if item[2] <= _SMALL_BYTES else 1.0
