"""What has arrived at the target, as values: what follows is owed to these, and to nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from portal.planning.plan import SKIPPED, Verdict

_MOVED = ("copied", "converted")
_THERE = (SKIPPED[Verdict.SAME], SKIPPED[Verdict.SAME_CONTENT])
"""Why something was skipped whose very bytes are at the target."""


class Arrived(NamedTuple):
    """A local file whose bytes are at the target, proven."""

    n: int
    """Its entry of the plan."""
    key: str
    """The file's path without the leading slash."""
    uploaded: str
    """ETag of the file as it was uploaded."""
    target_key: str
    target_etag: str
    """'' nobody told: it was there before this job."""
    size_bytes: int
    """At the target."""
    crc64nvme: str
    at_ms: int
    """When it arrived; 0 unknown."""


def there(outcome: str, reason: str) -> bool:
    """Whether a row of the ledger says that the target has had the file's bytes all along."""
    return outcome == "skipped" and reason in _THERE


def arrived(rows: Mapping[str, Sequence[Any]]) -> Iterator[Arrived]:
    """Yield what has arrived, of columns of the ledger (see `portal.ledger.journal.Journal.end`)."""
    reasons, count = rows.get("reason") or (), len(rows["n"])
    for place, outcome in enumerate(rows["outcome"]):
        if outcome in _MOVED or there(outcome, (reasons[place] if reasons else "") or ""):
            told = {name: column[place] for name in _TOLD if len(column := rows.get(name) or ()) == count}
            yield Arrived(
                rows["n"][place], told["source_key"], told.get("source_etag") or "", told["target_key"], told.get("target_etag") or "",
                _first(told.get("target_size"), told.get("source_size")), told.get("crc64nvme") or "", told.get("finished_at") or 0,
            )  # fmt: skip


def left_out(rows: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, str]]:
    """Yield key and reason of what was to stay where it is, of columns of the ledger: left out, or its target has other bytes."""
    reasons = rows.get("reason") or [""] * len(rows["n"])
    for outcome, key, reason in zip(rows["outcome"], rows["source_key"], reasons, strict=True):
        if outcome == "excluded" or (outcome == "skipped" and not there(outcome, reason or "")):
            yield key, reason or ""


_TOLD = ("source_key", "source_etag", "target_key", "target_etag", "target_size", "source_size", "crc64nvme", "finished_at")


def _first(*values: int | None) -> int:
    return next((value for value in values if value is not None), 0)
