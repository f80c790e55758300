"""Which entries of a page are left to be moved, and how the others end without having been moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from portal.ledger.journal import JournalState
from portal.planning.plan import SKIPPED, Entry, Page, cause_of

REFUSALS_BEFORE_GIVING_UP = 20
NOT_TRIED = f"not tried: the {REFUSALS_BEFORE_GIVING_UP} objects before it were refused access"


class Sorted(NamedTuple):
    left: list[Entry]
    settled: list[tuple[Entry, str, str, str]]
    """Each with its outcome, reason and cause."""
    done: int
    """Of those that an earlier attempt has ended, how many moved."""


def sort_out(page: Page, verdicts: Sequence[int], state: JournalState) -> Sorted:
    """Tell apart what is excluded, cannot be copied, is there already or has ended before, and what is left.

    `verdicts`: what the preflight found at the target of each entry of the plan (see plan.Verdict)."""
    fresh = state.untouched(page.first, len(page))
    if fresh and page.actions.count("copy") == len(page) and not any(verdicts[page.first : page.first + len(page)]):
        return Sorted(list(page.entries()), [], 0)
    left: list[Entry] = []
    settled: list[tuple[Entry, str, str, str]] = []
    done = 0
    for entry in page.entries():
        if state.ended(entry.n):
            done += entry.moves
        elif entry.action == "exclude":
            settled.append((entry, "excluded", entry.reason, ""))
        elif entry.action == "fail":
            settled.append((entry, "failed", entry.reason, cause_of(entry.reason)))
        elif verdicts[entry.n] in SKIPPED and not state.doubtful(entry.n):
            settled.append((entry, "skipped", SKIPPED[verdicts[entry.n]], ""))
        else:
            left.append(entry)
    return Sorted(left, settled, done)
