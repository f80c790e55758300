"""The books of a transfer: what became of every object, summed from the ledger's columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from portal.errors import BooksDoNotBalance
from portal.ledger.ledger import OUTCOMES, Columns

FAILURES_SHOWN = 20
OUTPUTS_SHOWN = 1000
_MOVED = ("copied", "converted")
_ROWS = ("rows_in", "rows_out", "rows_rejected", "rows_filtered")


@dataclass
class Books:
    """Sums over the ledger. `bytes` are the source bytes of what was copied or converted."""

    target_base: str = ""
    """URL of the target's container, with a '/' at its end: `outputs` name their objects by it."""
    outcomes: Counter[str] = field(default_factory=Counter)
    proofs: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    """Failures by their cause."""
    excluded: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    bytes_through: int = 0
    resumed_bytes: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)

    def through(self, batches: Iterable[Columns]) -> Iterator[Columns]:
        """Yield the batches of columns as they are, counting each row."""
        for columns in batches:
            self._count(columns)
            yield columns

    def _count(self, columns: Columns) -> None:
        outcomes = columns["outcome"]
        counted = Counter(outcomes)
        self.outcomes.update(counted)
        self.bytes_through += _sum(columns, "bytes_through")
        self.resumed_bytes += _sum(columns, "resumed_bytes")
        moved = counted["copied"] + counted["converted"]
        if moved:
            self._count_moved(columns if moved == len(outcomes) else _only(columns, [outcome in _MOVED for outcome in outcomes]))
        if counted["failed"]:
            self._count_failed(_only(columns, [outcome == "failed" for outcome in outcomes]))
        if counted["excluded"]:
            self._count_excluded(_only(columns, [outcome == "excluded" for outcome in outcomes]))

    def _count_moved(self, columns: Columns) -> None:
        self.bytes += _sum(columns, "source_size")
        self.proofs.update(columns.get("proof", ()))
        self.modes.update(columns.get("mode", ()))
        for name in _ROWS:
            if name in columns:
                self.rows[name] += _sum(columns, name)
        self._note(columns["source_key"], columns.get("reason", ()))
        room = OUTPUTS_SHOWN + 1 - len(self.outputs)
        if room > 0:
            told = zip(columns["target_key"][:room], columns.get("target_size", ())[:room], columns.get("proof", ())[:room], strict=False)
            self.outputs += [{"url": f"{self.target_base}{key}", "bytes": size, "proof": proof} for key, size, proof in told]

    def _note(self, keys: Sequence[str], reasons: Sequence[str]) -> None:
        if any(reasons) and len(self.notes) < FAILURES_SHOWN:
            # Why an object was not copied server-side is worth knowing, and no warning: the ledger tells it of each.
            told = [f"{key}: {reason}" for key, reason in zip(keys, reasons, strict=False) if reason and not reason.startswith("streamed: ")]
            self.notes += told[: FAILURES_SHOWN - len(self.notes)]

    def _count_failed(self, columns: Columns) -> None:
        causes = columns.get("cause") or ["other"] * len(columns["outcome"])
        self.causes.update(causes)
        for key, cause, reason in zip(columns["source_key"], causes, columns.get("reason", ()), strict=False):
            if len(self.failures) >= FAILURES_SHOWN:
                return
            self.failures.append({"key": key, "cause": cause, "reason": reason})

    def _count_excluded(self, columns: Columns) -> None:
        for reason, count in Counter(columns.get("reason", ())).items():
            known = reason in self.excluded or len(self.excluded) < FAILURES_SHOWN
            self.excluded[reason if known else "for other reasons"] += count

    @property
    def moved(self) -> int:
        return self.outcomes["copied"] + self.outcomes["converted"]

    def counts(self, listed: int) -> dict[str, int]:
        counted: dict[str, int] = {"listed": listed, **{name: self.outcomes[name] for name in OUTCOMES}, **self.rows}
        if self.outcomes["deleted"]:
            counted["deleted"] = self.outcomes["deleted"]
        return counted

    def refuse_imbalance(self, listed: int) -> None:
        """Raises BooksDoNotBalance when an object that was listed has no outcome, or one too many. What was deleted was not listed."""
        told = sum(self.outcomes.values()) - self.outcomes["deleted"]
        if told != listed:
            sums = ", ".join(f"{self.outcomes[name]} {name}" for name in OUTCOMES)
            raise BooksDoNotBalance(
                f"{listed} objects were listed, but {told} have an outcome ({sums}).", hint="See the journal of the job; report it."
            )


def _sum(columns: Columns, name: str) -> int:
    found = columns.get(name, ())
    try:
        return sum(found)
    except TypeError:  # nothing told of some
        return sum(value for value in found if value is not None)


def _only(columns: Columns, kept: list[bool]) -> Columns:
    return {name: [value for value, keep in zip(column, kept, strict=True) if keep] for name, column in columns.items()}
