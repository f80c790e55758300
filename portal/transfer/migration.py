"""A whole transfer: plan → preflight → move → delete what is extra → ledger → books. Each step leaves on disk what the next attempt goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from portal.ledger import ledger
from portal.ledger.balance import Books
from portal.ledger.journal import JOURNAL_FILE, Journal, JournalState
from portal.planning import plan, planner, sources
from portal.planning.compare import SameBytes
from portal.planning.listing import Lister, ListsPages
from portal.planning.looking import Looker
from portal.planning.planner import Planned
from portal.planning.planning import Rules
from portal.planning.policies import Policies
from portal.planning.preflight import Check, Preflight
from portal.planning.sources import Chosen, Listing, Source, Wanted, each_once
from portal.transfer.deletions import Deleted, Deletions
from portal.transfer.moving import move
from portal.transfer.route import Route
from portal.transfer.side import Side
from portal.wire.ends import End
from portal.wire.opening import open_end

Mover = Callable[[Route, Iterable[plan.Page], Sequence[int], Journal, Callable[[int, int], None]], bool]
Tell = Callable[[int, int | None, int, str], None]
"""Told (objects done, objects in all or None, bytes done, note); raises Cancelled when the job shall stop."""


class Outcome(NamedTuple):
    """What came of a transfer."""

    books: Books
    retryable: bool
    """Something failed for a reason that may pass."""
    undeleted: int
    """Objects that were to be deleted and could not be."""


@dataclass(frozen=True)
class Migration:
    """Everything a transfer needs to know."""

    route: Route
    rules: Rules
    policies: Policies
    folder: Path
    """Where plan, journal and ledger are."""
    job_id: str
    header: Mapping[str, Any]
    """What the plan is made for; another header, another plan."""
    tell: Tell
    check: Callable[[], None]
    """Called often, from any thread; raises Cancelled when the job shall stop."""
    keys: Callable[[], Iterable[str]] | None = None
    """Gives the keys that are chosen, the same ones each time; None: everything that is listed."""
    earlier: Path | None = None
    """Folder of the finished job whose failures are to be done again."""
    mover: Mover = move
    """What brings the entries to their end: `portal.transfer.moving.move`, or what takes its place."""
    same_bytes: SameBytes | None = None
    """With overwrite=different: what decides on a target that exists."""
    lister: ListsPages | None = None
    """What lists the source in place of this machine alone."""

    def plan(self) -> Planned:
        """List the source into a plan on disk, or go on with the one that an earlier attempt of this job began."""
        path = self.folder / plan.PLAN_FILE
        planned = Planned(path, reused=plan.length_if_for(path, self.header, self.job_id) is not None)
        left = sources.undone(self.earlier, self.header) if self.earlier else None
        planned.redone = left is not None
        if planned.reused:
            planned.look_again()
            return planned
        (self.folder / JOURNAL_FILE).unlink(missing_ok=True)
        planner.made(planned, self.job_id, self.header, self.rules.names, self._source(left), self._tell_listed)
        return planned

    def _source(self, left: Callable[[], Iterator[Wanted]] | None) -> Source:
        keys, check = self.keys, self.check
        if left is None and keys is not None:
            return Chosen(self.rules, lambda: each_once(keys(), self.rules.source_prefix), Looker(opened(self.route.source), check), check)
        if left is not None:
            return Chosen(self.rules, left, Looker(opened(self.route.source), check), check)
        return Listing(self.rules, self.lister or Lister(opened(self.route.source), check), self.route.source.store.stat)

    def _tell_listed(self, count: int, size: int) -> None:
        self.tell(0, None, 0, f"listed {count:,} objects ({size:,} bytes to move)")

    def preflight(self, planned: Planned) -> Preflight:
        """Check names, sizes and targets. Raises NotFound when the target's container is not there."""
        self.tell(0, None, 0, "checking the target")
        check = self.check
        source, target = Looker(opened(self.route.source), check), Looker(opened(self.route.target), check)
        lister = Lister(opened(self.route.target), check)
        try:
            tells = self.route.target.access().kind == "blob"
            begun = self._begun(planned)
            return Check(
                planned, self.rules, self.policies, self.folder, self.route.target.store, lister, target, source, begun, check, tells,
                self.same_bytes,
            ).run()  # fmt: skip
        finally:
            source.close()
            target.close()

    def _begun(self, planned: Planned) -> Callable[[int], bool]:
        """What an earlier attempt of this job has written, or may have, is in nobody's way."""
        if not (self.folder / JOURNAL_FILE).exists():
            return lambda n: False
        state = JournalState(self.folder / JOURNAL_FILE, planned.listed)
        return lambda n: state.begun(n) or state.ended(n)

    def move(self, planned: Planned, found: Preflight, books: Books) -> Outcome:
        """Move every entry, delete what is extra, and write the ledger. `books` come empty and are kept whatever happens.

        Raises Cancelled (the ledger then holds what was done until then) and BooksDoNotBalance."""
        meter = _Meter(self.tell, planned.survey.moving)
        with Journal(self.folder / JOURNAL_FILE, planned.listed) as journal:
            try:
                retryable = self.mover(self.route, plan.pages(planned.path), found.verdicts, journal, meter)
                deleted = self._delete(planned, found, journal)
            finally:
                batches = books.through(journal.rows())
                ledger.write(self.folder / ledger.LEDGER_FILE, batches, source_base=self.route.source.base, target_base=self.route.target.base)
        books.notes += [*planned.notes, *deleted.notes]
        books.refuse_imbalance(planned.listed)
        return Outcome(books, retryable, deleted.failed)

    def _delete(self, planned: Planned, found: Preflight, journal: Journal) -> Deleted:
        """Delete what only the target has, if that was asked for and everything else went well."""
        if self.policies.mirror and planned.redone:
            return Deleted(["What only the target has was not looked for: this job does again what another one left undone."])
        if self.policies.mirror and not found.extras_path:
            return Deleted(["What only the target has was not looked for: the source is one object."])
        if not self.policies.delete_extra or not found.extras_path:
            return Deleted()
        if unseen := planned.survey.unseen:
            return Deleted([f"Nothing was deleted at the target, because {unseen} names at the source could not be looked at."])
        self.tell(planned.survey.moving, planned.survey.moving, 0, "deleting what only the target has")
        deletions = Deletions(self.folder, found.extras_path, journal, opened(self.route.target), self.check)
        if not deletions.begun:
            failed = any("failed" in columns["outcome"] for columns in journal.rows())
            if failed or not planned.listed:
                why = "not every object arrived" if failed else "nothing was listed at the source"
                return Deleted([f"Nothing was deleted at the target, because {why}."])
        return deletions.run()


def opened(side: Side) -> Callable[[], End]:
    """Return what opens an end of the thin path to a side, with credentials that are good now."""
    return lambda: open_end(side.access())


class _Meter:
    """Sums up what is told piece by piece."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell, self._total = tell, total
        self._done = self._bytes = 0

    def __call__(self, ended: int, size_bytes: int) -> None:
        self._done += ended
        self._bytes += size_bytes
        self._tell(self._done, self._total, self._bytes, "")


