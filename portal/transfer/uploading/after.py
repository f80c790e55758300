"""What follows once a file has arrived: its notice is sent, then the file is put away. In that order, on a few threads beside those that move."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.errors import Cancelled, PortalError, explain, visible
from portal.ledger.journal import Journal
from portal.planning.plan import PLAN_FILE, Page
from portal.transfer.moving import move
from portal.transfer.route import Route
from portal.transfer.uploading import lines
from portal.transfer.uploading.announcing import Announcing
from portal.transfer.uploading.apart import ROUNDS, Apart, lost
from portal.transfer.uploading.arrived import Arrived, arrived, left_out
from portal.transfer.uploading.lines import LinesFile
from portal.transfer.uploading.putting_away import Gone, PuttingAway

AWAY_FILE = "moved.ndjson"
"""Where each file is now: {"n", "file", "to", "apart"}, a line each; "to" is empty when it was deleted."""
SHOWN = 20
_TOGETHER = 10
"""As many as one request to SQS takes."""
_THREADS = 4
_WAITING = 64
"""Batches that may wait: who moves is slowed down then, and memory stays flat."""
_TURN_S = 0.2
_END_WITHIN_S = 5.0
_FAILURES_BEFORE_GIVING_UP = 3

log = logging.getLogger("portal.transfer")


@dataclass
class Followed:
    """What came of it."""

    unannounced: int = 0
    away: int = 0
    """Files that were moved or deleted, in all attempts of the job."""
    apart: int = 0
    """Of these: got a name of their own."""
    left: int = 0
    """Files that were to be left out, or have another object at their target, and lie in a folder that was made for this job."""
    first_left: str = ""
    stayed: int = 0
    """Files that arrived and are where they were, although they should not be."""
    gone: int = 0
    """Files that somebody else took away meanwhile."""
    retryable: bool = False
    """Something failed for a reason that may pass."""
    problems: list[str] = field(default_factory=list)
    """The first of them."""

    called: str = "moved"
    """What putting away is called."""
    announced: int | None = None
    """Notices that this job sent, in all attempts; None: nobody was to be told."""

    @property
    def owed(self) -> int:
        """Files at the target that were not announced, or not put away."""
        return self.unannounced + self.stayed

    def counts(self) -> dict[str, int]:
        """What the job's result counts beside its books; nothing for what was not asked for."""
        told = {
            "unannounced": self.unannounced, self.called: self.away, "renamed": self.apart, "stayed": self.stayed, "gone": self.gone,
            "left": self.left,
        }  # fmt: skip
        return {**({"announced": self.announced} if self.announced is not None else {}), **{name: count for name, count in told.items() if count}}


class Following:
    """Follows the journal of an upload. `hear` and `turn` are called by who moves; the work is done by threads of our own.

    Arguments:
        announce, put_away: None: there is nothing to do
        folder: of the job
        own_folder: the source folder was made for this job: nobody else comes for what stays in it
        check: called often; raises Cancelled when the job shall stop
    """

    def __init__(
        self, announce: Announcing | None, put_away: PuttingAway | None, folder: Path, check: Callable[[], None], *, own_folder: bool = False
    ) -> None:  # fmt: skip
        self._announce, self._put_away, self._check, self._own = announce, put_away, check, own_folder
        self.told = Followed(called="removed" if put_away and put_away.deletes else "moved", announced=announce.sent.count if announce else None)
        self._away = _AwayFile(folder / AWAY_FILE)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="after")
        self._running: set[Future[None]] = set()
        self._batch: list[Arrived] = []
        self._lock = threading.Lock()
        self._unanswered = 0
        self._stopped = threading.Event()

    def resume(self, journal: Journal) -> None:
        """Take in what earlier attempts brought to the target. Raises Cancelled."""
        for rows in journal.rows():
            self.hear(rows)
            self.turn()

    def hear(self, rows: Mapping[str, Sequence[Any]]) -> None:
        """Take in rows of the ledger, at once: who writes them down is not to be held up, or cut off."""
        for one in arrived(rows) if self._announce or self._put_away else ():
            self._batch.append(one)
            if len(self._batch) >= _TOGETHER:
                self._hand_on()
        for key, why in left_out(rows) if self._own and self._put_away else ():
            self.told.left += 1
            self.told.first_left = self.told.first_left or f"/{visible(key)} ({why})"

    def turn(self) -> None:
        """Wait while too much is to be done. Raises Cancelled, and what nobody expected of the work that was done."""
        self._collect(0)
        while len(self._running) >= _WAITING:
            self._collect(_TURN_S)

    def _hand_on(self) -> None:
        batch, self._batch = self._batch, []
        if batch:
            self._running.add(self._pool.submit(self._follow, batch))

    def _collect(self, timeout_s: float) -> None:
        done, self._running = wait(self._running, timeout_s, return_when="FIRST_COMPLETED") if self._running else (set(), set())
        for future in done:
            future.result()
        self._check()

    def finish(self) -> Followed:
        """Wait until all of it is done. Raises Cancelled."""
        self._hand_on()
        while self._running:
            self._collect(_TURN_S)
        if self._put_away:
            self._put_away.finish(own=self._own)
        return self.told

    def close(self) -> None:
        """Wait for what is being done, but not for a service that is silent; the rest is left to the next attempt."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._running, _END_WITHIN_S)
        if self._put_away:
            self._put_away.finish(own=False)
        if self._announce:
            self._announce.sent.close()
        self._away.close()

    # in threads

    def _follow(self, batch: Sequence[Arrived]) -> None:
        failed = self._announced(batch)
        for one in batch:
            if self._stopped.is_set():
                return
            if one.n in failed:
                self._left(one, failed[one.n], announced=False)
            elif self._put_away:
                self._put(one, self._put_away)

    def _announced(self, batch: Sequence[Arrived]) -> Mapping[int, str]:
        owed = [one for one in batch if not self._away.had(one.n)]  # what is put away was announced before
        if self._announce is None or not owed:
            return {}
        if self._unanswered >= _FAILURES_BEFORE_GIVING_UP:
            return dict.fromkeys((one.n for one in owed), "not tried: the queue did not take what came before")
        try:
            failed = self._announce(owed)
        except Cancelled:
            raise
        except PortalError as error:
            with self._lock:
                self._unanswered += 1
                self.told.retryable = self.told.retryable or error.retryable
            return dict.fromkeys((one.n for one in owed), explain(error))
        self._unanswered = 0
        with self._lock:
            self.told.announced = self._announce.sent.count
        return failed

    def _put(self, one: Arrived, put_away: PuttingAway) -> None:
        if self._away.had(one.n):
            with self._lock:
                self.told.away += 1
            return
        try:
            done = put_away(one.key, one.uploaded)
        except Gone as error:
            with self._lock:
                self.told.gone += 1
            self._problem(explain(error))
            return
        except PortalError as error:
            self._left(one, explain(error), announced=True)
            return
        self._away.add(one, done.path, apart=done.apart)
        with self._lock:
            self.told.away += 1
            self.told.apart += done.apart

    def _left(self, one: Arrived, why: str, *, announced: bool) -> None:
        with self._lock:
            self.told.unannounced += not announced
            self.told.stayed += announced
        self._problem(why if announced else f"/{one.key} is at the target and was not announced: {why}")

    def _problem(self, text: str) -> None:
        with self._lock:
            shown = len(self.told.problems) < SHOWN
            if shown:
                self.told.problems.append(text)
        if shown:
            log.warning("%s", text)


class _AwayFile:
    """What was put away."""

    def __init__(self, path: Path) -> None:
        self._before = bytearray()
        for line in lines.read(path):
            n = int(line["n"])
            self._before.extend(bytes(max(0, n + 1 - len(self._before))))
            self._before[n] = 1
        self._file = LinesFile(path)
        self._lock = threading.Lock()

    def had(self, n: int) -> bool:
        """Whether an earlier attempt of this job put the file of an entry away."""
        return n < len(self._before) and bool(self._before[n])

    def add(self, one: Arrived, to: str, *, apart: bool) -> None:
        with self._lock:
            self._file.add([{"n": one.n, "file": f"/{one.key}", "to": to, **({"apart": True} if apart else {})}])

    def close(self) -> None:
        self._file.close()


class FollowedMove:
    """A `portal.transfer.migration.Mover` that sees to what follows. `followed` tells what came of it, also when it was cut off."""

    def __init__(self, begun: Callable[[], Following], apart: Apart | None = None) -> None:
        """`begun` makes what follows; `apart`: what becomes of those whose target was taken meanwhile, None: they fail."""
        self._begun, self._apart = begun, apart
        self.followed = Followed()

    def __call__(
        self, route: Route, pages: Iterable[Page], verdicts: Sequence[int], journal: Journal, tell: Callable[[int, int], None]
    ) -> bool:  # fmt: skip
        """Move everything, as `portal.transfer.moving.move` does."""

        found, taken = bytearray(verdicts), set[int]()

        def turn(ended: int, size_bytes: int) -> None:
            tell(ended, size_bytes)
            following.turn()

        def hear(rows: Mapping[str, Sequence[Any]]) -> None:
            taken.update(lost(rows))
            following.hear(rows)

        with closing(self._begun()) as following:
            self.followed = following.told
            following.resume(journal)
            journal.hear = hear
            retryable = move(route, pages, found, journal, turn)
            for _ in range(ROUNDS):
                if not (self._apart and taken):
                    break
                again = self._apart.again(journal.state.path.with_name(PLAN_FILE), frozenset(taken), found)
                taken.clear()
                retryable = move(route, again, found, journal, lambda _, size_bytes: turn(0, size_bytes)) or retryable
            following.finish()
        return retryable
