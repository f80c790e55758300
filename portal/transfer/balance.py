"""The books of a transfer: what became of every object, summed from the ledger's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from portal.errors import BooksDoNotBalance
from portal.transfer.ledger import OUTCOMES

FAILURES_SHOWN = 20
OUTPUTS_SHOWN = 1000


@dataclass
class Books:
    """Sums over ledger rows. `bytes` are the source bytes of what was copied or converted."""

    outcomes: Counter[str] = field(default_factory=Counter)
    proofs: Counter[str] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)

    def through(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the rows as they are, counting each."""
        for row in rows:
            self._count(row)
            yield row

    def _count(self, row: dict[str, Any]) -> None:
        outcome = row["outcome"]
        self.outcomes[outcome] += 1
        if outcome in ("copied", "converted"):
            self._count_moved(row)
        elif outcome == "failed" and len(self.failures) < FAILURES_SHOWN:
            self.failures.append({"key": row["source_key"], "reason": row["reason"]})
        elif outcome == "excluded":
            known = row["reason"] in self.excluded or len(self.excluded) < FAILURES_SHOWN
            self.excluded[row["reason"] if known else "for other reasons"] += 1

    def _count_moved(self, row: dict[str, Any]) -> None:
        self.proofs[row["proof"]] += 1
        self.bytes += row["source_size"]
        for name in ("rows_in", "rows_out", "rows_rejected"):
            if row[name] is not None:
                self.rows[name] += row[name]
        if row["reason"] and len(self.notes) < FAILURES_SHOWN:
            self.notes.append(f"{row['source_key']}: {row['reason']}")
        if len(self.outputs) <= OUTPUTS_SHOWN:
            self.outputs.append({"url": row["target_url"], "bytes": row["target_size"], "proof": row["proof"]})

    @property
    def moved(self) -> int:
        return self.outcomes["copied"] + self.outcomes["converted"]

    def counts(self, listed: int) -> dict[str, int]:
        return {"listed": listed, **{name: self.outcomes[name] for name in OUTCOMES}, **self.rows}

    def refuse_imbalance(self, listed: int) -> None:
        """Raises BooksDoNotBalance when an object that was listed has no outcome, or one too many."""
        told = sum(self.outcomes.values())
        if told != listed:
            sums = ", ".join(f"{self.outcomes[name]} {name}" for name in OUTCOMES)
            raise BooksDoNotBalance(
                f"{listed} objects were listed, but {told} have an outcome ({sums}).", hint="See the journal of the job; report it."
            )
