"""How much of a table's history is meant: all of it, what came since a snapshot or a moment, or what is there now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self

from portal.errors import NotFound
from portal.lake.iceberg.reading import Metadata

_HINT = "Write all, current, since SNAPSHOT_ID or since 2026-01-31T00:00:00Z."


@dataclass(frozen=True, slots=True)
class History:
    """A choice of snapshots."""

    kind: Literal["all", "since", "current"] = "all"
    snapshot: int | None = None
    moment: datetime | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`all`, `current`, `since SNAPSHOT_ID` or `since MOMENT` (ISO 8601; without a zone it is UTC). Raises ValueError."""
        words = text.split(maxsplit=1)
        if words in (["all"], ["current"]):
            return cls("all" if words == ["all"] else "current")
        if len(words) != 2 or words[0] != "since":
            raise ValueError(f"{text!r} is no part of a history. {_HINT}")
        if words[1].isdecimal() and len(words[1]) != len("20260131"):
            return cls("since", snapshot=int(words[1]))
        try:
            moment = datetime.fromisoformat(words[1])
        except ValueError as error:
            raise ValueError(f"{words[1]!r} is neither a snapshot's id nor a moment. {_HINT}") from error
        return cls("since", moment=moment if moment.tzinfo else moment.replace(tzinfo=UTC))

    def __str__(self) -> str:
        since = self.moment.isoformat() if self.moment else self.snapshot
        return f"since {since}" if self.kind == "since" else self.kind


@dataclass(frozen=True, slots=True)
class Pruned:
    """A table's metadata with the chosen snapshots alone, paths as they were."""

    metadata: Metadata
    notes: tuple[str, ...]
    """What was left out, for a person."""

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.metadata.get("snapshots") or []
        return found


def pruned(metadata: Metadata, history: History) -> Pruned:
    """Keep the chosen snapshots: with `since`, the one that was current then and all that came later, on whichever branch.

    What is left is what Iceberg's expire_snapshots would leave: a parent may be missing, the log of what was current begins after the last
    entry that is gone, and branches and tags of what is gone are gone. Raises NotFound when there is no such snapshot."""
    snapshots = metadata.get("snapshots") or []
    current = _current(metadata)
    keep = _chosen(metadata, history, current)
    if all(keep(item) for item in snapshots):
        return Pruned(metadata, ())
    kept = [item for item in snapshots if keep(item)]
    ids = {item["snapshot-id"] for item in kept}
    lost = sorted(name for name, ref in (metadata.get("refs") or {}).items() if ref["snapshot-id"] not in ids)
    notes = [f"{len(snapshots) - len(kept)} of {len(snapshots)} snapshots are left out (history: {history})."]
    if lost:
        notes.append(f"Branches and tags of snapshots that are left out: {', '.join(lost)}.")
    left = {**metadata, "snapshots": kept, "snapshot-log": _log(metadata.get("snapshot-log") or [], ids)}
    if "refs" in metadata:
        left["refs"] = {name: ref for name, ref in metadata["refs"].items() if name not in lost}
    for name in ("statistics", "partition-statistics"):
        if name in metadata:
            left[name] = [item for item in metadata[name] if item["snapshot-id"] in ids]
    return Pruned(left, tuple(notes))


def _current(metadata: Metadata) -> int | None:
    found = metadata.get("current-snapshot-id")
    return None if found in (None, -1) else int(found)


def _chosen(metadata: Metadata, history: History, current: int | None) -> Callable[[dict[str, Any]], bool]:
    if history.kind == "all":
        return lambda item: True
    if history.kind == "current":
        return lambda item: item["snapshot-id"] == current
    begin = _first(metadata, history)
    ids = {begin["snapshot-id"], current} if begin else {current}
    from_ms = begin["timestamp-ms"] if begin else int(history.moment.timestamp() * 1000) if history.moment else 0
    order = begin.get("sequence-number", 0) if begin else 0

    def keep(item: dict[str, Any]) -> bool:
        # Clocks of writers differ, sequence numbers do not lie; format 1 has none.
        later = item.get("sequence-number", 0) >= order if order else item["timestamp-ms"] >= from_ms
        return later or item["snapshot-id"] in ids

    return keep


def _first(metadata: Metadata, history: History) -> dict[str, Any] | None:
    """The snapshot that the chosen history begins with; None when the table had none yet at the moment."""
    by_id: dict[int, dict[str, Any]] = {item["snapshot-id"]: item for item in metadata.get("snapshots") or []}
    if history.snapshot is not None:
        if history.snapshot not in by_id:
            raise NotFound(f"The table has no snapshot {history.snapshot}.", hint="Choose one that it still has, a moment, or all.")
        return by_id[history.snapshot]
    if history.moment is None:
        return None
    moment_ms = history.moment.timestamp() * 1000
    log = [(entry["timestamp-ms"], entry["snapshot-id"]) for entry in metadata.get("snapshot-log") or []]
    before = [snapshot for at, snapshot in log if at <= moment_ms]
    return by_id.get(before[-1]) if before else None


def _log(log: list[dict[str, Any]], ids: set[int]) -> list[dict[str, Any]]:
    """As Iceberg does it: an entry whose snapshot is gone takes all before it along, else the log would have gaps."""
    gone = max((place for place, entry in enumerate(log) if entry["snapshot-id"] not in ids), default=-1)
    return log[gone + 1 :]
