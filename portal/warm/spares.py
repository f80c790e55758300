"""The worker's side of the warm spares: keeps some ready and hands one a job. Linux; elsewhere there are none.

Every trouble ends in "no spare", and then the job is started cold: a zygote that died is replaced, one whose code is no longer that on the
disk too, one that cannot import or fork is said once and left alone until the code changes.
"""

from __future__ import annotations

import logging
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from portal.warm.code_stamp import Stamp, code_stamp
from portal.warm.handles import Spare, Zygote

log = logging.getLogger("portal.worker")

PRELOADED = (
    "concurrent.futures.thread", "portal.engine", "portal.stores.local", "portal.stores.s3", "portal.stores.adls", "portal.planning.selection",
    "portal.transfer.moving",
)  # fmt: skip
"""What engines need and what starts no thread. PyArrow and NumPy start some as they are imported, so they stay with the engines."""

_LOOK_EVERY_S = 1.0
PATIENCE_S = 0.5
"""A spare that is being made is waited for so long before a job is started cold."""
_MOST_LOCKS = 200
"""SCM_RIGHTS carries 253 descriptors (unix(7))."""


class Spares:
    """Some spares, kept ready by `tick`.

    Args:
        home: of the queue; all its jobs have the same.
        wanted: how many; 0: never any.
        folders: where the code lies that the zygote imports.
    """

    def __init__(self, home: Path, wanted: int, *folders: Path) -> None:
        self.home, self.wanted, self.folders = home, wanted if sys.platform == "linux" else 0, folders
        self.preloaded: Sequence[str] = PRELOADED
        self.patience_s = PATIENCE_S
        self.zygote: Zygote | None = None
        self._spares: list[Spare] = []
        self._looked = -_LOOK_EVERY_S
        self._seen: Stamp | None = None
        self._hopeless: Stamp | None = None
        self._failures, self._not_before, self._fill_after = 0, 0.0, 0.0
        self._is_slow = False

    def tick(self) -> None:
        """Replace what has ended or is outdated, and fill up. Waits for nothing."""
        if not self.wanted:
            return
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self._compare_code()
        self._look()
        if self.zygote is None and self._seen not in (None, self._hopeless) and now >= self._not_before:
            self._start_zygote(now)
        self._fill()

    def _compare_code(self) -> None:
        """See whether the code is that of the zygote; while it is being changed there is none."""
        before = self._seen
        try:
            self._seen = code_stamp(*self.folders)
        except OSError:
            self._seen = None
        if self.zygote and self.zygote.stamp != self._seen:
            log.info("the code has changed; new warm spares are made of it")
            self._drop_all()
        if self.zygote is None and before is not None and before != self._seen:
            self._not_before = max(self._not_before, self._looked + _LOOK_EVERY_S)

    def _start_zygote(self, now: float) -> None:
        assert self._seen is not None  # noqa: S101 - looked at by the caller
        self._not_before = now + min(60.0, 2.0**self._failures)
        self._failures += 1
        try:
            self.zygote = Zygote(self.home, self._seen, self.preloaded)
        except OSError as error:
            log.warning("Warm spares cannot be made now (%s); jobs are started cold.", error)

    def _look(self) -> None:
        """Take in what zygote and spares said, and drop what has ended."""
        if self.zygote and not self.zygote.look():
            self._lost()
        elif self.zygote and self.zygote.is_ready:
            self._failures = 0
        for spare in [spare for spare in self._spares if not spare.look()]:
            if not spare.is_ready and self.zygote:  # there may be no room for another process: do not try at every turn
                self._fill_after = time.monotonic() + _LOOK_EVERY_S
            spare.drop()
            self._spares.remove(spare)
        if any(spare.is_ready for spare in self._spares):
            self._is_slow = False

    def _lost(self) -> None:
        assert self.zygote is not None  # noqa: S101 - looked at by the caller
        if self.zygote.problem:
            self._hopeless = self.zygote.stamp
            log.warning("Jobs are started cold: %s.", self.zygote.problem)
        else:
            log.warning("The process that warm spares are made from has ended; another one is started.")
        self._drop_zygote()

    def _fill(self) -> None:
        if self.zygote is None or time.monotonic() < self._fill_after:
            return
        try:
            while len(self._spares) < self.wanted:
                self._spares.append(self.zygote.make())
        except BlockingIOError:
            return  # it has enough to do
        except OSError as error:
            log.warning("Warm spares cannot be made now (%s).", error)
            self._fill_after = time.monotonic() + _LOOK_EVERY_S
        if any(not spare.is_ready and self.zygote.is_stuck(spare.asked) for spare in self._spares):
            log.warning("The process that warm spares are made from does not answer; another one is started.")
            self._drop_zygote()

    def hand_over(self, descriptors: Sequence[int]) -> int | None:
        """Give a job to a spare: order, log, lock and places of limits. Returns the pidfd of its runner; None when there is no spare."""
        if not self.wanted or len(descriptors) > _MOST_LOCKS:
            return None
        while (spare := self._take()) is not None:
            if (pidfd := spare.give(descriptors)) is not None:
                return pidfd
        return None

    def _take(self) -> Spare | None:
        """Return a spare that is ready, waiting a moment for one that is being made."""
        until = time.monotonic() + self.patience_s
        while True:
            self._look()
            for spare in self._spares:
                if spare.is_ready:
                    self._spares.remove(spare)
                    return spare
            self._fill()
            left = until - time.monotonic()
            if self._is_slow or self.zygote is None or not self.zygote.is_ready or not self._spares:
                return None
            if left <= 0:
                self._is_slow = True
                return None
            poll = select.poll()
            for descriptor in (self.zygote.fileno(), *(spare.fileno() for spare in self._spares)):
                poll.register(descriptor, select.POLLIN)
            poll.poll(left * 1000)

    @property
    def ready(self) -> int:
        """How many wait for a job, as they said last."""
        return sum(spare.is_ready for spare in self._spares)

    def descriptors(self) -> list[int]:
        """Return what becomes readable when a turn of the worker is worth its while: the zygote has become ready, or ended."""
        return [self.zygote.fileno()] if self.zygote else []

    def _drop_zygote(self) -> None:
        """End the zygote and forget the spares that it has not made; the others are as good as before."""
        if self.zygote:
            self.zygote.end()
            self.zygote = None
        for spare in [spare for spare in self._spares if not spare.is_ready]:
            spare.drop()
            self._spares.remove(spare)

    def _drop_all(self) -> None:
        self._drop_zygote()
        while self._spares:
            self._spares.pop().drop()

    def leave(self) -> None:
        """Let all that have no job end."""
        self.wanted = 0
        self._drop_all()
