"""How far a copy of an Iceberg table is behind its source, told from the two metadata files alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NONE = (None, -1)
"""How metadata says that a table has no snapshot: format 1 wrote -1."""


def behind(source: Mapping[str, Any], target: Mapping[str, Any]) -> int | None:
    """Count the snapshots of the source's current line that its copy lacks.

    0: the copy is at the source's current snapshot. None: the two have gone apart, for the copy has a current snapshot that the source's line
    does not lead back to. Arguments are metadata files as JSON.
    """
    current, copied = source.get("current-snapshot-id"), target.get("current-snapshot-id")
    parents = {item["snapshot-id"]: item.get("parent-snapshot-id") for item in source.get("snapshots") or ()}
    count = 0
    while current != copied and current in parents:
        count += 1
        current = parents.pop(current)  # never round in a circle
    return None if current != copied and copied not in _NONE else count


def snapshot(metadata: Mapping[str, Any]) -> str:
    """Return the current snapshot's id as a text, '' when there is none."""
    current = metadata.get("current-snapshot-id")
    return "" if current in _NONE else str(current)
