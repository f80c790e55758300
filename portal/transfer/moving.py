"""Moving the entries of a plan: what is settled already is written down by whole pages, what is to be copied goes to the processes that move
objects, what is to be converted to threads of this one; all of it into one journal."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any

from portal.errors import Cancelled, PortalError
from portal.ledger.journal import Journal
from portal.movers.large import Known, Large
from portal.movers.messages import Answered, Item, Moved, Report, Unit
from portal.movers.pool import Pool
from portal.movers.sums import Piece
from portal.planning.plan import SKIPPED, Entry, Page, Verdict
from portal.transfer.conversions import Conversions
from portal.transfer.route import Route
from portal.transfer.rows import Rows
from portal.transfer.settling import NOT_TRIED, REFUSALS_BEFORE_GIVING_UP, sort_out
from portal.wire.ends import Block

_FEED_OBJECTS = 128
_WAIT_S = 0.1
_CONVERTING = 16
_FAILURES_LOGGED = 1000

log = logging.getLogger("portal.transfer")

Tell = Callable[[int, int], None]
"""Told (objects that have ended, bytes moved) since it was told before; often, and raises Cancelled when the job shall stop."""


def move(route: Route, pages: Iterable[Page], verdicts: Sequence[int], journal: Journal, tell: Tell) -> bool:
    """Bring every entry to its end, and into the journal; those that have ended already are left alone.

    Args:
        pages: of a plan
        verdicts: what the preflight found at the target of each entry (see plan.Verdict)

    Returns whether something failed for a reason that may pass. Raises Cancelled (what was done is in the journal, and half of a large object
    is kept for the next attempt), and PortalError when nothing can be moved at all.
    """
    with closing(_Move(route, verdicts, journal, tell)) as moving:
        try:
            for page in pages:
                moving.take(page)
            moving.finish()
        except PortalError:
            moving.stop()
            raise
        return moving.retryable


class _Move:
    def __init__(self, route: Route, verdicts: Sequence[int], journal: Journal, tell: Tell) -> None:
        self._route, self._verdicts, self._journal, self._tell = route, verdicts, journal, tell
        self.options, self.target_kind = route.options(), ""
        self.retryable = False
        self._pool: Pool | None = None
        self._numbers = itertools.count()
        self._entries: dict[int, Entry] = {}
        self._large: dict[int, Large] = {}
        self._large_of: dict[int, Large] = {}
        self._rows = Rows(journal, self._entries)
        self._cancelled = threading.Event()
        self._converted_bytes = _Sum()
        threads = min(route.converting or route.concurrency or os.cpu_count() or 1, _CONVERTING)
        self._conversions = Conversions(route.source.store, route.target.store, route.job_id, route.convert, threads, self._passed)
        self._refusals = self._failures = 0
        self._untold = (0, 0)

    def _passed(self, size_bytes: int) -> None:
        """Called by threads that convert."""
        if self._cancelled.is_set():
            raise Cancelled
        self._converted_bytes.add(size_bytes)

    # what comes in

    def take(self, page: Page) -> None:
        """Settle what needs no moving and hand on the rest."""
        entries, settled, done = sort_out(page, self._verdicts, self._journal.state)
        self._rows.settled(settled)
        self._came(done + sum(entry.moves for entry, *_ in settled), 0)
        for start in range(0, len(entries), _FEED_OBJECTS):
            self._feed(entries[start : start + _FEED_OBJECTS])
        self._turn(0)

    def _feed(self, entries: Sequence[Entry]) -> None:
        if self._refusals >= REFUSALS_BEFORE_GIVING_UP:
            self._rows.settled([(entry, "failed", NOT_TRIED, "access-denied") for entry in entries])
            self._came(len(entries), 0)
            return
        while not self._welcome(entries):
            self._turn(_WAIT_S)
        items = {entry.n: self._item(entry) for entry in entries}  # before the journal says that they are begun
        self._journal.begin([entry.n for entry in entries])
        self._entries.update((entry.n, entry) for entry in entries)
        work: list[tuple[Any, ...] | Unit] = []
        for entry in entries:
            if entry.action == "convert":
                self._convert(entry, items[entry.n])
            elif entry.size_bytes <= self.options.whole_bytes:
                work.append(tuple(items[entry.n]))
            else:
                work += self._begun(items[entry.n])
        if work:
            self.pool.put(work)

    def _welcome(self, entries: Sequence[Entry]) -> bool:
        return (self._pool is None or self._pool.room) and (entries[0].action != "convert" or self._conversions.room)

    def _item(self, entry: Entry) -> Item:
        verdict = self._verdicts[entry.n]
        replace = verdict == Verdict.REPLACE or (verdict == Verdict.UNKNOWN and self._route.overwrite == "replace")
        state = self._journal.state
        look, doubts = state.cut_off(entry.n), state.doubtful(entry.n)
        return Item(entry.n, entry.key, entry.size_bytes, entry.etag, entry.target_key, replace, look, entry.ours, doubts)

    def _convert(self, entry: Entry, item: Item) -> None:
        while not self._conversions.room:
            self._turn(_WAIT_S)
        self._conversions.put(entry, overwrite=item.replace, skips=self._route.overwrite == "skip")

    def _begun(self, item: Item) -> list[Unit]:
        state = self._journal.state
        known = None
        if (upload := state.upload(item.n)) and upload[1]:
            known = Known(upload[0], state.step_bytes(item.n), upload[1], [Piece(*piece) for piece in state.sums(item.n)])
        large = self._large[item.n] = Large(item, self, known)
        return self._asked(large, large.first())

    @property
    def pool(self) -> Pool:
        if self._pool is None:
            route = self._route
            self._pool = Pool(route.most_processes, self.options, lambda: (route.source.access(), route.target.access()))
            self.target_kind = self._pool.target_kind
        return self._pool

    # what large objects are given to work with

    def number(self) -> int:
        return next(self._numbers)

    def staged(self, n: int, upload: str, step_bytes: int, block: Block, pieces: Sequence[Piece]) -> None:
        self._journal.blocks(n, upload, [block], [piece for piece in pieces if isinstance(piece.value, int)], step_bytes)
        self._came(0, block.size_bytes)

    def discarded(self, n: int) -> None:
        self._journal.blocks(n, "", [])

    def forget(self, n: int) -> list[int]:
        dropped = self.pool.forget(n)
        for number in dropped:
            self._large_of.pop(number, None)
        return dropped

    def _asked(self, large: Large, units: list[Unit]) -> list[Unit]:
        self._large_of.update((unit.number, large) for unit in units)
        return units

    # what comes out

    def finish(self) -> None:
        """Wait until everything has ended."""
        while not self._conversions.idle or (self._pool and not self._pool.idle):
            self._turn(_WAIT_S)
        self._rows.flush()

    def _turn(self, timeout_s: float) -> None:
        """Take in what has ended, for at most so long, and tell it when all of it is written down. Raises Cancelled."""
        if self._pool:
            self._took(self._pool.wait(timeout_s))
        elif timeout_s:
            time.sleep(timeout_s)
        self._take_converted()
        self._rows.flush_if_due()
        objects, size = self._untold
        self._untold = (0, 0)
        self._tell(objects, size + self._converted_bytes.taken())

    def _take_converted(self) -> None:
        converted = [self._judged(row) for row in self._conversions.ended()]
        self._rows.add_rows(converted)
        self._came(len(converted), 0)

    def _came(self, objects: int, size_bytes: int) -> None:
        """Remember what is to be told: who is told may raise Cancelled, and what came with it is to be written down before that."""
        self._untold = (self._untold[0] + objects, self._untold[1] + size_bytes)

    def _took(self, report: Report) -> None:
        if report.moved:
            self._ended([Moved(*values) for values in report.moved])
        for answer in report.answered:
            self._answered(answer)

    def _answered(self, answer: Answered) -> None:
        large = self._large_of.get(answer.number)
        if answer.told.get("end"):
            self._large_of.pop(answer.number, None)
        if large is None or large.item.n not in self._large:
            return
        units = self._asked(large, large.answered(answer))
        if units and not self._cancelled.is_set():
            self.pool.put(units)
        if large.moved:
            del self._large[large.item.n]
            self._ended([large.moved], told=True)

    def _ended(self, moved: list[Moved], *, told: bool = False) -> None:
        """`told`: the bytes were told already."""
        size = 0
        for place, found in enumerate(moved):
            if found.outcome != "copied":
                moved[place] = found = self._judged_failure(found)
            else:
                self._refusals = 0
                size += found.target_size or 0
        self._rows.add(moved)
        self._came(len(moved), 0 if told else size)

    def _judged_failure(self, found: Moved) -> Moved:
        if found.cause == "exists" and self._route.overwrite == "skip":
            return found._replace(outcome="skipped", reason=SKIPPED[Verdict.EXISTS], cause="", retryable=False)
        self._refusals += found.cause == "access-denied"
        self._note_failure(found.n, found.reason, found.retryable)
        return found

    def _note_failure(self, n: int, reason: str, retryable: bool) -> None:
        self.retryable = self.retryable or retryable
        self._failures += 1
        if self._failures <= _FAILURES_LOGGED:
            log.error("%s failed: %s", self._entries[n].key, reason)
        if self._failures == _FAILURES_LOGGED:
            log.error("further failures stand in the ledger alone")

    def _judged(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["outcome"] == "failed":
            self._note_failure(row["n"], row["reason"], row.pop("retryable"))
        return row

    # the end

    def stop(self) -> None:
        """Stop within a second and write down what was done until then."""
        self._cancelled.set()
        report = self._pool.stop() if self._pool else Report()
        # What failed or was refused now is left as it is: nobody is there any more to begin it anew.
        report.answered = [answer for answer in report.answered if not answer.failure and "refused" not in answer.told]
        self._took(report)
        self._take_converted()
        self._rows.flush()

    def close(self) -> None:
        self._cancelled.set()
        if self._pool:
            self._pool.__exit__()
        self._conversions.close()
        self._rows.close()


class _Sum:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def add(self, value: int) -> None:
        with self._lock:
            self._value += value

    def taken(self) -> int:
        with self._lock:
            value, self._value = self._value, 0
        return value
