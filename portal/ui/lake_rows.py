"""What the page of the lakehouse shows, as values: tables with where they are, a chain's tables by its steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portal.lake.chain_view import Cell, View
from portal.lake.looking import Listed, There
from portal.lake.table_name import TableName
from portal.ui import wording
from portal.ui.wording import count_of

STATE_WORDS: Mapping[str, str] = {
    "done": "Done", "unchanged": "Unchanged", "excluded": "Left out", "failed": "Failed", "running": "Running", "waiting": "Waiting",
    "cancelled": "Cancelled", "held": "Not reached",
}  # fmt: skip
CHAIN_WORDS: Mapping[str, str] = {
    "running": "Running", "succeeded": "Succeeded", "partial": "Partly done", "failed": "Failed", "cancelled": "Cancelled",
}  # fmt: skip
MATRIX_ROWS = 1000
"""Tables that the matrix shows at a time; troubled ones come first."""
_NOT_YET = {"text": "not yet", "look": "dot away", "title": ""}
_REGISTERED = {"text": "registered", "look": "dot here", "title": ""}
_UNKNOWN = {"text": "", "look": "", "title": ""}


@dataclass(frozen=True)
class Elsewhere:
    """Where the tables of a listing are, by their names there. None: that place is not configured or did not answer."""

    iceberg: Mapping[TableName, There] | None = None
    azure: Mapping[TableName, There] | None = None
    snowflake: Collection[TableName] | None = None
    told: tuple[str, ...] = field(default_factory=tuple)
    """What could not be found out, and why."""


def rows(listed: Sequence[Listed], picked: Collection[str], elsewhere: Elsewhere, *, takes_iceberg: bool) -> list[dict[str, Any]]:
    """Return the rows of `portal.ui.components.object_table.table_table`; what the first step cannot take is shown and cannot be ticked."""
    return [
        {
            "key": str(item.name), "shown": item.name.table, "picked": str(item.name) in picked, "locked": not takes(item, takes_iceberg),
            "cells": [item.what, *_places(item, elsewhere)],
        }
        for item in listed
    ]  # fmt: skip


def takes(item: Listed, takes_iceberg: bool) -> bool:
    return item.is_iceberg if takes_iceberg else item.on_files


def _places(item: Listed, elsewhere: Elsewhere) -> list[Any]:
    iceberg = _iceberg(item, elsewhere)
    copy = None if elsewhere.azure is None else elsewhere.azure.get(item.name)
    comes = item.on_files or item.is_iceberg
    azure = _UNKNOWN if elsewhere.azure is None or not comes else _NOT_YET if copy is None else _there(copy)
    there = elsewhere.snowflake
    snowflake = _UNKNOWN if there is None or not comes else _REGISTERED if item.name in there else _NOT_YET
    return [iceberg, azure, _behind(copy), snowflake]


def _iceberg(item: Listed, elsewhere: Elsewhere) -> Mapping[str, str]:
    if item.is_iceberg:
        return {"text": "yes", "look": "dot here", "title": "It is an Iceberg table"}
    if elsewhere.iceberg is None or not item.on_files:
        return _UNKNOWN
    return _there(found) if (found := elsewhere.iceberg.get(item.name)) else _NOT_YET


def _there(copy: There) -> Mapping[str, str]:
    if copy.problem:
        return {"text": "unreadable", "look": "dot unknown", "title": copy.problem}
    late = copy.compared and copy.behind != 0
    return {"text": "behind" if late else "here", "look": "dot behind" if late else "dot here", "title": f"Snapshot {copy.snapshot_id or 'none'}"}


def _behind(copy: There | None) -> str:
    if copy is None or not copy.compared or copy.problem:
        return ""
    return "gone apart" if copy.behind is None else count_of(copy.behind, "snapshot") if copy.behind else "0"


def matrix(view: View, *, only: Collection[str] = (), text: str = "") -> list[dict[str, Any]]:
    """Return the rows of `portal.ui.components.chain_table`, those with trouble first.

    Args:
        only: states of which a table has one in any step; empty: every table.
        text: what a name has in it.
    """
    fitting = [row for row in view.rows if text.casefold() in row.table.casefold()]
    if only:
        fitting = [row for row in fitting if any(cell.state in only for cell in row.cells.values())]
    ordered = sorted(fitting, key=lambda row: (not row.troubled, row.table))[:MATRIX_ROWS]
    return [{"table": row.table, "cells": [_cell(cell) for cell in row.cells.values()]} for row in ordered]


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "state": cell.state, "look": cell.state, "word": STATE_WORDS[cell.state], "note": _note(cell), "job": cell.job_id, "title": _title(cell),
    }  # fmt: skip


def _note(cell: Cell) -> str:
    if cell.state in ("failed", "excluded", "cancelled"):
        return cell.reason.partition("\n")[0]
    rows_there, way = cell.outcome.get("rows"), str(cell.outcome.get("way") or "") if cell.state == "done" else ""
    counted = count_of(int(rows_there), "row") if isinstance(rows_there, int) else ""
    return " · ".join(word for word in (counted, way.replace("_", " ")) if word)


def _title(cell: Cell) -> str:
    outcome = cell.outcome
    parts = [cell.reason, str(outcome.get("target") or "")]
    if outcome.get("bytes"):
        parts.append(wording.size(outcome["bytes"]))
    if outcome.get("seconds"):
        parts.append(wording.duration(outcome["seconds"]))
    return "\n".join(part for part in parts if part)


def tally(view: View) -> str:
    """How far the tables of a chain came, in words."""
    counts = view.counts
    still = "on the way" if view.running else "not all the way"
    words = {"whole": "all the way", "excluded": "left out", "failed": "failed", "cancelled": "cancelled", "open": still}
    parts = [f"{counts[name]:,} {word}" for name, word in words.items() if counts[name]]
    return ", ".join([count_of(counts["tables"], "table"), *parts]) if counts["tables"] else "its tables are not known yet"
