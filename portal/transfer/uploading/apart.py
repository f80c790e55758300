"""Files whose target another object has: the object stays, and the file goes under a name of its own beside it.

The name is made of the job (the first of those that retry one another), the file's path and the file's version, so that each attempt and each
retry makes the same one and finds what was brought there before, and no other file ever gets it. Nothing is written over: whoever finds out only
while writing that somebody was quicker goes apart then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portal.errors import visible
from portal.ledger.journal import JOURNAL_FILE, JournalState
from portal.planning import names, plan
from portal.planning.compare import SameBytes
from portal.planning.looking import LOOKERS, Looker, each
from portal.planning.plan import RENAMED, Change, Entry, Page, Verdict
from portal.planning.planner import Planned
from portal.planning.planning import Rules
from portal.planning.preflight import Preflight
from portal.planning.problems import Problems
from portal.transfer.migration import opened
from portal.transfer.side import Side

ROUNDS = 3
"""So often the targets of a job are looked at again because somebody was quicker; what has lost then fails."""
_LOGGED = 20

log = logging.getLogger("portal.transfer")


def lost(rows: Mapping[str, Sequence[Any]]) -> Iterator[int]:
    """Yield the entries whose target was taken when they were written, of columns of the ledger."""
    causes = rows.get("cause") or ()
    yield from (n for n, cause in zip(rows["n"], causes, strict=False) if cause == "exists")


@dataclass(frozen=True)
class Apart:
    """Gives such names. `first`: id of the job, or of the first of those that retry one another."""

    rules: Rules
    target: Side
    first: str
    same_bytes: SameBytes
    check: Callable[[], None]

    def settle(self, found: Preflight, planned: Planned) -> None:
        """Do so where the preflight found other bytes. The plan has the new names before anything is written."""
        if Verdict.REPLACE not in found.verdicts:
            return
        state = JournalState(planned.path.with_name(JOURNAL_FILE), planned.listed)
        taken = set()
        for n, verdict in enumerate(found.verdicts):
            if verdict != Verdict.REPLACE:
                continue
            if state.begun(n):
                found.verdicts[n] = Verdict.UNKNOWN  # it may be our own, not whole: whoever writes looks, and goes apart if it is not
            elif not state.ended(n):
                taken.add(n)
        if taken:
            found.counts = self._give(planned.path, taken, found.verdicts)
            planned.look_again()

    def again(self, path: Path, lost: Collection[int], verdicts: bytearray) -> Iterator[Page]:
        """Do so with entries that lost; returns each of them as a page of its own, to be moved now."""
        self._give(path, lost, verdicts)
        return _alone(path, lost)

    def _give(self, path: Path, taken: Collection[int], verdicts: bytearray) -> dict[str, int]:
        """Returns what the plan says of its entries by class, see `Preflight.counts`."""
        plan.rewrite(path, self._changes(path, taken, verdicts))
        with Problems(path.parent) as problems:
            problems.take_plan(path)
        return dict(problems.counts)

    def _changes(self, path: Path, taken: Collection[int], verdicts: bytearray) -> Iterator[Change]:
        with closing(Looker(opened(self.target), self.check)) as looker:
            entries = (entry for entry in plan.read(path) if entry.n in taken)
            logged = 0
            for entry, key, verdict in each(entries, lambda entry: self._placed(entry, looker), LOOKERS):
                verdicts[entry.n] = verdict
                if key != entry.target_key:
                    there = str(self.target.url.at(entry.target_key))
                    logged += 1
                    if logged <= _LOGGED:
                        log.info("%s has other bytes than /%s, which becomes %s", visible(there), visible(entry.key), visible(key))
                    yield Change(entry.n, key, "", f"{RENAMED}{there} is there already, with other bytes")

    def _placed(self, entry: Entry, looker: Looker) -> tuple[Entry, str, int]:
        """Return the key that an entry gets, and what is there."""
        key = entry.target_key
        verdict = self._verdict(entry, key, looker)
        if verdict != Verdict.REPLACE:
            return entry, key, verdict
        below = names.below(entry.key, self.rules.source_prefix) or entry.key
        own = names.set_apart(self.rules.target_scheme, key, f"{self.first}/{below}/{entry.etag}") or key
        verdict = self._verdict(entry, own, looker)
        # What should be nobody else's and is: the write fails, and says so.
        return entry, own, Verdict.NEW if verdict == Verdict.REPLACE else verdict

    def _verdict(self, entry: Entry, key: str, looker: Looker) -> int:
        found = looker.find(key)
        if found is None:
            return Verdict.NEW
        may_be = entry.action == "convert" or found.size_bytes == entry.size_bytes
        return Verdict.SAME_CONTENT if may_be and self.same_bytes(entry, found) else Verdict.REPLACE


def _alone(path: Path, wanted: Collection[int]) -> Iterator[Page]:
    for page in plan.pages(path):
        for place in range(len(page)):
            if page.first + place in wanted:
                yield replace(plan.picked(page, [place]), first=page.first + place)
