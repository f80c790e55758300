"""What came of each table of a job, and of all of them together: the form in which every engine of the lakehouse tells it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from portal.durable import write_durably

TABLES_FILE = "tables.ndjson"
"""Among a job's files: a line for each table."""
_TOLD = 1000
"""Tables that the job's record holds; the file has all."""

Ended = Literal["done", "unchanged", "excluded", "failed"]
ARRIVED = ("done", "unchanged")


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What came of one table."""

    table: str
    """Its name at the source, as it can be chosen again."""
    outcome: Ended
    """`done`; `unchanged`: the target had everything already; `excluded`: not to be done (a view, an unsupported kind); `failed`."""
    reason: str = ""
    """Why it is excluded or failed, and why it was done the way it was."""
    target: str = ""
    """Its name in the target catalog or warehouse."""
    way: str = ""
    """How it was done: ctas, snapshot, add_files, copy, create, refresh, …"""
    rows: int | None = None
    """Rows that the target has now, counted there."""
    files: int = 0
    """Files that were written or moved."""
    bytes: int = 0
    seconds: float = 0.0
    location: str = ""
    """URL of the target's folder."""
    metadata_location: str = ""
    """URL of the target's current metadata file."""
    snapshot_id: str = ""
    """Of the target's current snapshot; text, for JSON in a browser cuts numbers of 64 bits."""
    snapshots: int = 0
    """Snapshots that were brought over."""
    cause: str = ""
    """Of a failure: what kind of thing it was, in one word."""
    retryable: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is worth showing: checks, schema mapping, partitions."""

    @property
    def arrived(self) -> bool:
        return self.outcome in ARRIVED


def write(folder: Path, outcomes: Sequence[TableOutcome]) -> None:
    """Write a job's tables among its files, durably."""
    write_durably(folder / TABLES_FILE, "".join(json.dumps(asdict(item)) + "\n" for item in outcomes).encode())


def counts(outcomes: Sequence[TableOutcome]) -> dict[str, int]:
    """Return the books of a job's tables: selected = done + unchanged + excluded + failed."""
    ended: Counter[str] = Counter(item.outcome for item in outcomes)
    return {"selected": len(outcomes), **{name: ended[name] for name in get_args(Ended)}}


def told(outcomes: Sequence[TableOutcome]) -> dict[str, Any]:
    """Return what a job's report holds: `tables` (at most 1,000), and `arrived`, the names at the target that a follow-up quotes."""
    return {
        "tables": [asdict(item) for item in outcomes[:_TOLD]],
        "arrived": [item.target or item.table for item in outcomes if item.arrived],
        "undone": [item.table for item in outcomes if item.outcome == "failed"],
    }  # fmt: skip
