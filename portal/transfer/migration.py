"""A whole transfer: plan → preflight → copy → prove → balance. Each step leaves on disk what the next attempt goes on from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.transfer import ledger, plan, planning, preflight, sources
from portal.transfer.balance import Books
from portal.transfer.journal import JOURNAL_FILE, Journal, JournalState
from portal.transfer.moving import Mover, Route
from portal.transfer.plan import Entry
from portal.transfer.planning import Rules
from portal.transfer.pool import each
from portal.transfer.preflight import Preflight

_SAMPLE = 20

Tell = Callable[[int, int | None, int, str], None]
"""Told (objects done, objects in all or None, bytes done, note); raises Cancelled when the job shall stop."""


@dataclass
class Planned:
    """A plan on disk, and what it says in short."""

    path: Path
    listed: int
    reused: bool = False
    redone: bool = False
    """It holds what a finished job left undone."""
    moving: int = 0
    bytes: int = 0
    converting: int = 0
    excluded: int = 0
    failing: int = 0
    sample: list[dict[str, Any]] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        return {
            "listed": self.listed, "to_copy": self.moving - self.converting, "to_convert": self.converting, "bytes": self.bytes,
            "excluded": self.excluded, "cannot_be_copied": self.failing, "resumed": self.reused,
        }  # fmt: skip

    def count(self, entry: Entry) -> None:
        self.moving += entry.moves
        self.bytes += entry.size_bytes * entry.moves
        self.converting += entry.action == "convert"
        self.excluded += entry.action == "exclude"
        self.failing += entry.action == "fail"
        if entry.moves and len(self.sample) < _SAMPLE:
            self.sample.append({"source": entry.key, "target": entry.target_key, "bytes": entry.size_bytes, "action": entry.action})


@dataclass(frozen=True)
class Migration:
    """Everything a transfer needs to know."""

    route: Route
    rules: Rules
    folder: Path
    """Where plan, journal and ledger are."""
    job_id: str
    header: Mapping[str, Any]
    """What the plan is made for; another header, another plan."""
    threads: int
    tell: Tell
    keys: Sequence[str] = ()
    earlier: Path | None = None
    """Folder of the finished job whose failures are to be done again."""

    def plan(self) -> Planned:
        """List the source into a plan on disk, or take the one that an earlier attempt of this job completed."""
        path = self.folder / plan.PLAN_FILE
        length = plan.length_if_for(path, self.header, self.job_id)
        left = self._undone() if length is None else None
        planned = Planned(path, length or 0, reused=length is not None, redone=left is not None)
        if length is None:
            (self.folder / JOURNAL_FILE).unlink(missing_ok=True)
            planned.listed = planning.write(path, self.job_id, self.header, left or self._found(), self._tell_listed, self.rules)
        for entry in plan.read(path):
            planned.count(entry)
        return planned

    def _undone(self) -> Iterator[Entry] | None:
        if self.earlier is None:
            return None
        return sources.undone(self.earlier, self.header, self.route.source, self.rules, self.threads)

    def _found(self) -> Iterator[Entry]:
        if self.keys:
            return sources.chosen(self.route.source, self.rules, self.keys, self.threads)
        return sources.listed(self.route.source, self.rules, lambda: self.tell(0, None, 0, "listing"))

    def _tell_listed(self, count: int, size: int) -> None:
        self.tell(0, None, 0, f"listed {count:,} objects ({size:,} bytes)")

    def preflight(self, planned: Planned) -> Preflight:
        """Check names and targets. Raises NotFound when the target's container is not there."""
        begun = self._begun(planned)
        return preflight.check(planned.path, planned.listed, self.route.target, self.rules.target_prefix, self.folder / ".targets.sqlite", begun)

    def _begun(self, planned: Planned) -> Callable[[int], bool]:
        """What an earlier attempt of this job has written, or may have, is in nobody's way."""
        state = JournalState(self.folder / JOURNAL_FILE, planned.listed)
        return lambda n: state.begun(n) or state.ended(n)

    def move(self, planned: Planned, found: Preflight) -> tuple[Books, bool]:
        """Move every entry and write the ledger. Returns the books, and whether something failed for a reason that may pass.

        Raises Cancelled (the ledger then holds what was done until then) and BooksDoNotBalance."""
        meter = _Meter(self.tell, planned.moving)
        books = Books(str(self.route.target.url.root))
        with Journal(self.folder / JOURNAL_FILE, planned.listed) as journal:
            mover = Mover(self.route, journal, found.existing, meter.moved)
            try:
                for entry in each(plan.read(planned.path), mover, self.threads):
                    meter.ended(entry)
            finally:
                ledger.write(self.folder / ledger.LEDGER_FILE, books.through(journal.state.rows()))
        books.refuse_imbalance(planned.listed)
        return books, mover.retryable


class _Meter:
    """Counts objects and bytes over all threads."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell, self._total = tell, total
        self._done = self._bytes = 0
        self._lock = threading.Lock()

    def moved(self, size: int) -> None:
        with self._lock:
            self._bytes += size
            done, size_done = self._done, self._bytes
        self._tell(done, self._total, size_done, "")

    def ended(self, entry: Entry) -> None:
        if entry.moves:
            with self._lock:
                self._done += 1
        self.moved(0)
