"""The whole of a download: receive → fetch many at a time → write down what became of each message → delete it, until the queue is empty.

Threads receive, threads handle, one keeps messages in hand; the thread that calls `run` alone writes the record and deletes. A message is deleted
when its files are safe and its line of the record is on the disk; whatever ends the process before that, it comes again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from portal.errors import PortalError
from portal.notices.sqs import BATCH_MESSAGES, NoticeQueue, Received
from portal.transfer.downloading.hand import Hand
from portal.transfer.downloading.handling import Ended, Fate, Handler
from portal.transfer.downloading.record import Record
from portal.transfer.downloading.tries import Tries

TROUBLES_BEFORE_GIVING_UP = 20
"""Messages in a row that circumstances kept from being tried, each for the second time: the others had their turn in between."""

PATIENCE_S = 300.0
"""For so long at most circumstances may keep all messages from being tried before the job ends."""

POLL_S = 2
"""One long poll: a cancel waits for it, as what it brings must be given back."""

LONGEST_PAUSE_S = 900
_TURN_S = 0.2
_END_WITHIN_S = 8.0
_FAILURES_LOGGED = 100

log = logging.getLogger("portal.transfer")

Tell = Callable[[int, int, int], None]
"""Told (objects done, objects that are left, about, bytes that came); raises Cancelled when the job shall stop."""


@dataclass(frozen=True)
class Limits:
    """How long and how much."""

    max_messages: int
    wait_s: float
    """The work ends when the queue was empty for so long."""
    visible_s: int
    retry_s: float
    """Before a message that failed comes again; twice as long each time."""
    threads: int


class Downloads:
    """One run."""

    def __init__(self, source: NoticeQueue, handler: Handler, record: Record, limits: Limits, tell: Tell) -> None:
        self._source, self._handler, self._record, self._limits, self._tell = source, handler, record, limits, tell
        self._stop = handler.fetcher.stop
        self._hand = Hand(source, limits.visible_s)
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._handlers = ThreadPoolExecutor(limits.threads, "fetches")
        self._receivers = [threading.Thread(target=self._receive, name="receives", daemon=True) for _ in range(1 + (limits.threads > BATCH_MESSAGES))]
        self._lock = threading.Lock()
        self._closing = threading.Event()
        """Set: nothing more is received."""
        self._received = self._asked_for = 0
        """Messages that came, and those with what receivers are asking for."""
        self._busy = 0
        """Threads that handle a message."""
        self._quiet_since = time.monotonic()
        self._empty_polls = 0
        self._failures = 0
        self._troubled: set[str] = set()
        """Messages that were in trouble since the last one that was not, from `_troubled_since` on."""
        self._troubled_since = 0.0
        self._troubled_again = 0
        self._tries = Tries(handler.fetcher.folder, source.url)
        self._trouble: PortalError | None = None
        self._bytes = 0

    def run(self) -> PortalError | None:
        """Work until the queue is empty; returns what kept it from that. Raises Cancelled; the record then holds what was done."""
        self._hand.start()
        for thread in self._receivers:
            thread.start()
        try:
            while not (self._closing.is_set() and not self._hand and not self._receiving):
                self._turn()
        finally:
            self._end()
        return self._trouble

    @property
    def quiet(self) -> bool:
        """Whether no thread works on a message any more."""
        return not self._busy

    @property
    def _receiving(self) -> bool:
        return any(thread.is_alive() for thread in self._receivers)

    def _turn(self) -> None:
        self._settle(self._ended_now(_TURN_S))
        if self._idle() or self._received >= self._limits.max_messages:
            self._closing.set()
        self._tell(self._record.listed, len(self._hand) + self._hand.waiting, self._bytes)

    def _idle(self) -> bool:
        with self._lock:
            return not self._hand and self._empty_polls > 0 and time.monotonic() - self._quiet_since >= self._limits.wait_s

    # what comes in

    def _receive(self) -> None:
        poll_s = int(min(POLL_S, self._limits.wait_s))
        try:
            while not self._closing.is_set():
                room = self._room()
                found = self._source.receive(room, wait_s=poll_s, visible_s=self._limits.visible_s) if room else []
                if room:
                    self._arrived(found, room)
                if not found and not (room and poll_s):
                    self._closing.wait(_TURN_S / 2)
        except PortalError as error:
            self._give_up(error)
        except BaseException as error:  # nobody would know that nothing is received any more
            log.exception("receiving failed in a way that is not known")
            self._give_up(PortalError(f"Receiving failed: {type(error).__name__}: {error}"))

    def _room(self) -> int:
        """How many messages may be asked for now. What is in hand is bounded, so that memory is, and that no message waits here for long."""
        with self._lock:
            most = min(self._limits.max_messages - self._asked_for, 2 * self._limits.threads + BATCH_MESSAGES - len(self._hand), BATCH_MESSAGES)
            room = max(0, most)
            self._asked_for += room
        return room

    def _arrived(self, found: list[Received], room: int) -> None:
        with self._lock:
            self._asked_for -= room - len(found)
            self._received += len(found)
            for message in found:
                self._hand.add(message)
            if found:
                self._quiet_since, self._empty_polls = time.monotonic(), 0
            else:
                self._empty_polls += 1
        for message in found:
            if not self._closing.is_set():
                self._handlers.submit(self._handle, message)
            else:
                self._ended.put(Ended(message, Fate.BACK))

    def _handle(self, message: Received) -> None:
        with self._lock:
            self._busy += 1
        try:
            given_up = self._stop.is_set() or self._trouble is not None
            self._ended.put(Ended(message, Fate.BACK) if given_up else self._handled(message))
        except BaseException as error:  # a message that ends nowhere would be waited for without end
            log.exception("the message %s failed in a way that is not known", message.id)
            self._give_up(PortalError(f"A message failed in a way that is not known: {type(error).__name__}: {error}"))
            self._ended.put(Ended(message, Fate.BACK))
        finally:
            with self._lock:
                self._busy -= 1

    def _handled(self, message: Received) -> Ended:
        return self._handler.handle(message, self._record.settled(message.id), self._tries.of(message.id))

    def _give_up(self, error: PortalError) -> None:
        self._trouble = self._trouble or error
        self._closing.set()

    # what comes out

    def _ended_now(self, timeout_s: float) -> list[Ended]:
        """Wait for a message that ended; returns it, and others that have ended too: what one request can delete."""
        found: list[Ended] = []
        try:
            found.append(self._ended.get(timeout=timeout_s))
            while len(found) < BATCH_MESSAGES:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        return found

    def _settle(self, batch: list[Ended]) -> None:
        """Write down what became of messages, then delete them or give them back."""
        if not batch:
            return
        try:
            for ended in batch:
                self._record.add(ended)
                self._judge(ended)
            self._record.sync()
            self._count_tries(batch)
            self._delete([ended.message for ended in batch if ended.fate is Fate.DELETE])
            self._give_back([ended for ended in batch if ended.fate is not Fate.DELETE])
        except PortalError as error:
            self._give_up(error)
        for ended in batch:
            self._hand.drop(ended.message)
        with self._lock:
            self._quiet_since = time.monotonic()

    def _count_tries(self, batch: list[Ended]) -> None:
        for ended in batch:
            if ended.fate is Fate.DELETE:
                self._tries.forget(ended.message.id)
            elif ended.fate is Fate.AGAIN and ended.trouble is None:
                self._tries.add(ended.message.id)

    def _delete(self, messages: list[Received]) -> None:
        for n, why in self._source.delete([message.receipt for message in messages]):
            log.warning("the message %s could not be deleted, and comes again; what it tells of is there then: %s", messages[n].id, why)

    def _give_back(self, left: list[Ended]) -> None:
        pauses = [self._pause_s(ended) for ended in left]
        for pause_s in set(pauses):
            self._source.extend([ended.message.receipt for ended, own_s in zip(left, pauses, strict=True) if own_s == pause_s], pause_s)

    def _pause_s(self, ended: Ended) -> int:
        """0: it comes again at once."""
        if ended.fate is Fate.BACK:
            return 0
        return int(min(LONGEST_PAUSE_S, self._limits.retry_s * 2 ** min(ended.message.times - 1, 20)))

    def _judge(self, ended: Ended) -> None:
        for row in ended.rows.values():
            self._bytes += row.get("bytes_through", 0)
            if row["outcome"] == "failed":
                self._failures += 1
                if self._failures <= _FAILURES_LOGGED:
                    log.error("%s failed: %s", row.get("source_url") or f"the message {ended.message.id}", row["reason"])
                if self._failures == _FAILURES_LOGGED:
                    log.error("further failures stand in the ledger alone")
        if ended.trouble:
            self._bear(ended.message, ended.trouble)
        elif ended.fate is Fate.DELETE:
            self._troubled.clear()
            self._troubled_again = 0

    def _bear(self, message: Received, trouble: PortalError) -> None:
        """Go on while messages come that may be better off; what ails these may be theirs alone."""
        now = time.monotonic()
        if not self._troubled:
            self._troubled_since = now
        self._troubled_again += message.id in self._troubled
        self._troubled.add(message.id)
        too_long = now - self._troubled_since >= PATIENCE_S and len(self._troubled) >= TROUBLES_BEFORE_GIVING_UP
        if too_long or self._troubled_again >= TROUBLES_BEFORE_GIVING_UP:
            self._give_up(trouble)

    # the end

    def _end(self) -> None:
        """Stop whatever still goes on, write down what was done until then, and give everything else back.

        A thread that waits for a service that does not answer is not waited for: its message comes again."""
        self._closing.set()
        self._stop.set()
        self._handlers.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + _END_WITHIN_S
        while (self._busy or self._receiving) and time.monotonic() < until:
            self._settle(self._ended_now(_TURN_S / 4))
        while batch := self._ended_now(0):
            self._settle(batch)
        self._hand.stop()
        self._hand.give_back()
        self._tries.close()
