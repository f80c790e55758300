"""Rows of the ledger on their way into the journal: many at a time, by columns."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from portal.ledger.journal import Journal
from portal.movers.messages import Moved
from portal.planning.plan import Entry
from portal.transfer.carry_file import CARRIED_FILE, CarriedFile

_ROWS_TOGETHER = 256
_ROWS_EVERY_S = 0.5


class Rows:
    """`entries`: those that are under way; they are taken out as their rows are written."""

    def __init__(self, journal: Journal, entries: dict[int, Entry]) -> None:
        self._journal, self._entries = journal, entries
        self._moved: list[Moved] = []
        self._flushed = time.monotonic()
        self._carried = CarriedFile(journal.state.path.parent / CARRIED_FILE)

    def add(self, moved: Iterable[Moved]) -> None:
        self._moved.extend(moved)
        if len(self._moved) >= _ROWS_TOGETHER:
            self.flush()

    def flush_if_due(self) -> None:
        if time.monotonic() - self._flushed >= _ROWS_EVERY_S:
            self.flush()

    def flush(self) -> None:
        moved, self._moved = self._moved, []
        self._flushed = time.monotonic()
        if not moved:
            return
        self._carried.add(found.carried for found in moved if found.carried)
        entries = [self._entries.pop(found.n) for found in moved]
        columns = dict(zip(Moved._fields, map(list, zip(*moved, strict=True)), strict=True))
        del columns["carried"], columns["retryable"]
        if any(reasons := [entry.reason for entry in entries]):
            columns["reason"] = ["; ".join(filter(None, pair)) for pair in zip(reasons, columns["reason"], strict=True)]
        self._journal.end({**columns, **_named(entries)})

    def add_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self._journal.end({**{name: [value] for name, value in row.items()}, **_named([self._entries.pop(row["n"])])})

    def settled(self, found: Sequence[tuple[Entry, str, str, str]]) -> None:
        """Entries that end without having been moved: outcome, reason, cause."""
        if found:
            entries, outcomes, reasons, causes = (list(column) for column in zip(*found, strict=True))
            told = {"n": [entry.n for entry in entries], "outcome": outcomes, "reason": reasons, "cause": causes}
            self._journal.end({**told, **_named(entries)})

    def close(self) -> None:
        self._carried.close()


def _named(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """What the plan knows of entries, as columns of the ledger."""
    _, keys, sizes, etags, modified, targets, _, _, classes, _ = zip(*entries, strict=True)
    return {
        "source_key": list(keys), "source_size": list(sizes), "source_etag": list(etags), "source_modified": list(modified),
        "target_key": [target or None for target in targets], "storage_class": [name or None for name in classes],
    }  # fmt: skip
