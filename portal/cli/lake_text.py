"""What the command line tells of chains and of copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portal.cli.text import printable, short, table
from portal.lake.chain import WORDS
from portal.lake.chain_view import Cell, View
from portal.lake.looking import There


def lag(found: There | None) -> str:
    """How a copy is doing, in words."""
    if found is None:
        return "not there"
    if found.problem:
        return found.problem
    if not found.compared:
        return "its source has no metadata"
    if found.behind is None:
        return "gone apart: it has a snapshot that its source does not lead back to"
    return f"{found.behind} snapshot{'' if found.behind == 1 else 's'}" if found.behind else "not behind"


def listed(chains: Sequence[View]) -> str:
    rows = []
    for view in chains:
        counts = view.counts
        numbers = [counts[name] for name in ("tables", "whole", "excluded", "failed")]
        rows.append([view.mark, view.name, view.state, view.way, *numbers, short(view.jobs[0].submitted_at)])
    return table(["chain", "name", "state", "way", "tables", "arrived", "left out", "failed", "started (UTC)"], rows)


def matrix(view: View) -> str:
    """The tables of a chain by its steps, then what went wrong."""
    names = [WORDS[step.step] for step in view.steps]
    head = [f"{view.name or 'chain'} {view.mark}: {view.state}"]
    head += [f"  {WORDS[step.step]}: {step.state}" + (f"  job {step.latest.id}" if step.latest else "") for step in view.steps]
    rows = [[row.table, *(_word(cell) for cell in row.cells.values())] for row in view.rows]
    told = [
        f"  {row.table}, {WORDS[step]}: {cell.reason}"
        for row in view.rows
        for step, cell in row.cells.items()
        if cell.reason and cell.state in ("failed", "excluded", "cancelled")
    ]
    lines = [*head, "", table(["table", *names], rows) if rows else "Its tables are not known yet.", *([""] if told else []), *told]
    return "\n".join(printable(line) for text in lines for line in text.split("\n"))


def _word(cell: Cell) -> str:
    rows = cell.outcome.get("rows")
    counted = f" {rows:,} rows" if isinstance(rows, int) else ""
    return {"held": "not reached", "excluded": "left out"}.get(cell.state, cell.state) + (counted if cell.state in ("done", "unchanged") else "")


def public(view: View) -> dict[str, Any]:
    """A chain for a script."""
    return {
        "chain": view.mark, "name": view.name, "state": view.state, "counts": view.counts,
        "steps": [{"step": step.step.value, "state": step.state, "jobs": [job.id for job in step.jobs]} for step in view.steps],
        "tables": [
            {"table": row.table, "steps": {step.value: {"state": cell.state, "job": cell.job_id, "reason": cell.reason, "outcome": dict(cell.outcome)}
                                           for step, cell in row.cells.items()}}
            for row in view.rows
        ],
    }  # fmt: skip
