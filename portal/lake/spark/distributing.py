"""Moving the entries of a plan on a cluster: in shares, each brought to its end by a task, what came of it written into the one journal here."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from portal.errors import PortalError
from portal.lake.spark import share_task, shares
from portal.lake.spark.calls import Calls
from portal.lake.spark.failures import SparkFailed
from portal.lake.spark.seeding import CutOff, seed
from portal.lake.spark.share_task import Brought, Conversion, Order, Task
from portal.lake.spark.shares import Share
from portal.ledger.journal import Columns, Journal
from portal.planning.plan import Page
from portal.transfer.carry_file import CARRIED_FILE, CarriedFile
from portal.transfer.migration import Mover
from portal.transfer.route import Route
from portal.transfer.rows import Rows
from portal.transfer.settling import NOT_TRIED, REFUSALS_BEFORE_GIVING_UP, sort_out

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SOFT_S = 45.0
HARD_S = 120.0
"""A share that is not done after so long comes back with what it did, and the rest of it is sent again: nothing that takes long is lost with
an executor, and no credentials end on the way."""
_SHARES_PER_PLACE = 4
"""When so little is left that it can be counted: so that no executor waits long for another at the end."""
_FEWEST_OBJECTS, _FEWEST_BYTES = 16, 8 << 20
_MOST_AHEAD = 200_000
"""Entries that are read before it is known whether the end is near."""
_WAIT_S = 0.2
_RENEW_AGAIN_S = 15
_SETTLE_S, _SETTLE_WITHIN_S = 2.0, 15.0
_FAILURES_LOGGED = 1000
_OF_THE_DRIVER = ("source", "target", "convert")

log = logging.getLogger("portal.transfer")

Converts = Callable[[], Conversion]
Bring = Callable[[str, bytes], None]
"""Takes in a file that a conversion wrote on an executor: its name and content. Called in the order in which the shares end."""


def spark_mover(session: SparkSession, *, conversion: Converts | None = None, bring: Bring = lambda name, data: None) -> Mover:
    """Return what moves the entries of a plan on the executors of a session, in place of `portal.transfer.moving.move`.

    Args:
        conversion: gives what converts there, with credentials that are good now, for a plan that converts
        bring: takes in the files that it wrote
    """

    def move(route: Route, pages: Iterable[Page], verdicts: Sequence[int], journal: Journal, tell: Callable[[int, int], None]) -> bool:
        with closing(_Distribution(session, route, verdicts, journal, tell, conversion, bring)) as distribution:
            try:
                distribution.run(pages)
            except PortalError:
                distribution.stop()
                raise
            return distribution.retryable

    return move


class _Distribution:
    def __init__(
        self, session: SparkSession, route: Route, verdicts: Sequence[int], journal: Journal, tell: Callable[[int, int], None],
        conversion: Converts | None, bring: Bring,
    ) -> None:  # fmt: skip
        self._session, self._route, self._verdicts, self._journal, self._tell = session, route, verdicts, journal, tell
        self._conversion, self._bring = conversion, bring
        self.retryable = False
        self._calls: Calls[int, Brought] | None = None
        self._places = 0
        """Tasks that run at the same time, where the job's connections, bytes or requests are capped; 0: as many as there can be."""
        self._renew_at = 0.0
        self._numbers = itertools.count()
        self._sent: dict[int, tuple[Share, float]] = {}
        """Shares on the way, with how long each has."""
        self._again: deque[tuple[Share, bytes, float]] = deque()
        self._rows = Rows(journal, {})
        self._carried = CarriedFile(journal.state.path.parent / CARRIED_FILE)
        self._block_bytes: dict[int, int] = {}
        """Told already, of large objects that are not done."""
        self._refusals = self._failures = 0
        self._untold = (0, 0)
        self._ending = False
        """Nothing is left but what is on the way."""

    def run(self, pages: Iterable[Page]) -> None:
        """Bring every entry to its end. Raises Cancelled, SparkFailed."""
        for share in self._shares(self._left(pages)):
            while self._calls is not None and not self._calls.room:
                self._turn(_WAIT_S)
            self._put(share, seed(self._journal.state, share.numbers, CutOff(self._journal.state)), HARD_S)
            self._turn(0)
        self._ending = True
        while self._sent or self._again:
            self._turn(_WAIT_S)
        self._turn(0)

    # what goes out

    def _left(self, pages: Iterable[Page]) -> Iterator[Page]:
        """Settle what needs no moving; yield the rest."""
        for page in pages:
            left, settled, done = sort_out(page, self._verdicts, self._journal.state)
            self._rows.settled(settled)
            self._came(done + sum(entry.moves for entry, *_ in settled), 0)
            if self._refusals >= REFUSALS_BEFORE_GIVING_UP:
                self._rows.settled([(entry, "failed", NOT_TRIED, "access-denied") for entry in left])
                self._came(len(left), 0)
            elif left:
                yield from shares.only(page, [entry.n - page.first for entry in left])
            self._turn(0)

    def _shares(self, pages: Iterator[Page]) -> Iterator[Share]:
        """Large shares as long as there is plenty; what comes last in small ones, so that all executors have something to do until the end."""
        for first in pages:
            plenty = self._ready().slots * _SHARES_PER_PLACE
            most = min(plenty * shares.MOST_OBJECTS, _MOST_AHEAD)
            kept, objects, size = [first], len(first), sum(first.sizes)
            more: Page | None = first
            while objects < most and size < plenty * shares.MOST_BYTES and (more := next(pages, None)) is not None:
                kept.append(more)
                objects, size = objects + len(more), size + sum(more.sizes)
            yield from self._evenly(kept) if more is None else shares.shares(kept)

    def _evenly(self, pages: Sequence[Page]) -> Iterator[Share]:
        pieces = self._ready().slots * _SHARES_PER_PLACE
        objects = max(_FEWEST_OBJECTS, math.ceil(sum(map(len, pages)) / pieces))
        size = max(_FEWEST_BYTES, math.ceil(sum(sum(page.sizes) for page in pages) / pieces))
        return shares.shares(pages, min(objects, shares.MOST_OBJECTS), min(size, shares.MOST_BYTES))

    def _ready(self) -> Calls[int, Brought]:
        """Return the way to the executors, opened when there is something to move; with fresh credentials when the last ones end soon."""
        if self._calls is None:
            self._calls = Calls(self._session, share_task.moved, None, name=f"moving from {self._route.source.url}")
            if self._route.concurrency or self._route.max_bandwidth or self._route.max_requests_s:
                self._places = self._settled_places(self._calls)
                self._calls.most = self._places
        if time.time() >= self._renew_at:
            self._renew(self._calls)
        return self._calls

    def _renew(self, calls: Calls[int, Brought]) -> None:
        try:
            order = self._order(calls)
        except PortalError as error:
            if not (self._renew_at and error.retryable):
                raise
            # They are renewed some time before they end; when those of before have ended, the objects say so.
            log.warning("the credentials could not be renewed yet, in %d s it is tried again: %s", _RENEW_AGAIN_S, error.message)
            self._renew_at = time.time() + _RENEW_AGAIN_S
            return
        self._renew_at = min(order.source_access.renew_at, order.target_access.renew_at)
        calls.renew(order)

    def _settled_places(self, calls: Calls[int, Brought]) -> int:
        """What is capped is parted among the tasks, so their number must not grow: wait until the executors are there that were asked for."""
        since, until = time.monotonic(), time.monotonic() + _SETTLE_WITHIN_S
        slots = calls.slots
        while time.monotonic() - since < _SETTLE_S and time.monotonic() < until and not calls.is_local:
            self._tell(0, 0)
            time.sleep(_WAIT_S)
            if calls.slots != slots:
                slots, since = calls.slots, time.monotonic()
        return min(slots, self._route.concurrency or slots)

    def _order(self, calls: Calls[int, Brought]) -> Order:
        route = self._route
        how: dict[str, Any] = {item.name: getattr(route, item.name) for item in fields(Route) if item.name not in _OF_THE_DRIVER}
        how["processes"] = how["converting"] = 1
        if self._places:
            parts = self._places
            how["max_bandwidth"], how["max_requests_s"] = route.max_bandwidth / parts, route.max_requests_s / parts
            how["concurrency"] = max(1, route.concurrency // parts) if route.concurrency else 0
        conversion = self._conversion() if self._conversion else None
        return Order(route.source.url, route.target.url, route.source.access(), route.target.access(), how, conversion)

    def _put(self, share: Share, known: bytes, hard_s: float) -> None:
        calls, number = self._ready(), next(self._numbers)
        self._journal.begin(share.numbers)
        self._sent[number] = share, hard_s
        verdicts = bytes(self._verdicts[share.first : share.first + share.count])
        calls.put(number, Task(share.pages, share.first, share.count, verdicts, known, min(SOFT_S, hard_s), hard_s))

    # what comes back

    def _turn(self, timeout_s: float) -> None:
        """Take in what has ended, for at most so long, and tell it when all of it is written down. Raises Cancelled."""
        if self._calls is not None:
            for number, brought in self._ended(self._calls, timeout_s):
                self._took(number, brought)
            while self._again and self._calls.room:
                self._put(*self._again.popleft())
        objects, size = self._untold
        self._untold = (0, 0)
        self._tell(objects, size)

    def _ended(self, calls: Calls[int, Brought], timeout_s: float) -> list[tuple[int, Brought]]:
        try:
            return calls.ended(timeout_s)
        except SparkFailed:
            self._tell(0, 0)  # who ends a job ends its Java, too: then that is why
            raise

    def _took(self, number: int, brought: Brought) -> None:
        """Write down what a task did, and see to what it left."""
        share, hard_s = self._sent.pop(number)
        self._carried.add(brought.carried)
        for name, data in brought.files:
            self._bring(name, data)
        self.retryable = self.retryable or brought.retryable
        begun, ended, blocks = set[int](), set[int](), 0
        for told in self._journal.adopt(brought.lines):
            begun.update(told.begun)
            if told.ended is not None:
                ended.update(told.ended["n"])
                self._note(told.ended)
            elif told.block_bytes:
                blocks += 1
                self._block_bytes[told.n] = self._block_bytes.get(told.n, 0) + told.block_bytes
                self._came(0, told.block_bytes)
        self._send_again(share, begun, ended, hard_s if ended or blocks else hard_s * 2)

    def _send_again(self, share: Share, begun: set[int], ended: set[int], hard_s: float) -> None:
        rest: list[Page] = []
        for page in share.pages:
            rest += shares.only(page, [place for place in range(len(page)) if page.first + place not in ended])
        for again in self._evenly(rest) if self._ending else shares.shares(rest):
            self._again.append((again, seed(self._journal.state, again.numbers, begun - ended), hard_s))

    def _note(self, columns: Columns) -> None:
        """Count what has ended, and say what failed."""
        size = 0
        for place, (n, outcome) in enumerate(zip(columns["n"], columns["outcome"], strict=True)):
            told = self._block_bytes.pop(n, 0)
            if outcome == "failed":
                self._note_failure(columns, place)
            elif outcome in ("copied", "converted"):
                self._refusals = 0
                size += max(0, (columns["target_size"][place] or 0) - told)
        self._came(len(columns["n"]), size)

    def _note_failure(self, columns: Columns, place: int) -> None:
        self._refusals += columns.get("cause", [""] * (place + 1))[place] == "access-denied"
        self._failures += 1
        if self._failures <= _FAILURES_LOGGED:
            log.error("%s failed: %s", columns["source_key"][place], columns["reason"][place])
        if self._failures == _FAILURES_LOGGED:
            log.error("further failures stand in the ledger alone")

    def _came(self, objects: int, size_bytes: int) -> None:
        self._untold = (self._untold[0] + objects, self._untold[1] + size_bytes)

    # the end

    def stop(self) -> None:
        """Have every task end, and write down what ended until then."""
        if self._calls is None:
            return
        self._again.clear()
        for number, brought in self._calls.cancel():
            self._took(number, brought)
        self._again.clear()

    def close(self) -> None:
        if self._calls is not None:
            self._calls.close()
        self._carried.close()
        self._rows.close()
