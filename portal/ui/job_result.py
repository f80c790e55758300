"""What came of a job: figures, books, proofs, what failed and why, outputs and warnings; of a dry run, what would come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from portal.errors import PortalError
from portal.jobs import Job
from portal.ledger.view import View
from portal.spool import Spool
from portal.ui import boxes, conversion_report, dry_run, job_facts, ledger_summary, proofs, wording
from portal.ui.wording import count_of, plain

_PLAIN_COUNTS = ("listed", "copied", "converted", "skipped", "failed", "excluded")
_COMPARED = ("equal", "different", "only_source", "errors")
"""What a comparison says of what the source has."""
_SHOWN_APART = ("proof", "failures", "dry_run", "modes", "causes", "differences", "files")


def show(spool: Spool, job: Job) -> None:
    """Show the result of a job, as far as there is one."""
    done = job.result
    if not done:
        st.caption("The result appears here when the job has ended.")
        return
    report: Mapping[str, Any] = done.get("report") or {}
    if isinstance(found := report.get("dry_run"), Mapping):
        dry_run.show(job, found)
    else:
        _figures(done)
    view = _ledger(spool, job)
    if view is not None:
        ledger_summary.show(view)
    else:
        _proof(report.get("proof"))
        _rows("Failures", report.get("failures"))
    warnings = [plain(warning) for warning in (done.get("warnings") or ())[:20]]
    if warnings:
        st.warning("  \n".join(warnings), icon=":material/warning:")
    conversion_report.show(spool, job, report.get("files") or ())
    job_facts.beside(spool, job)
    _rows("Outputs", done.get("outputs"))
    rest = {name: value for name, value in report.items() if name not in _SHOWN_APART}
    if rest:
        with st.expander("Full report"):
            st.json(json.loads(json.dumps(rest, default=str)), expanded=2)


def _ledger(spool: Spool, job: Job) -> View | None:
    """The ledger; what is wrong with it must not hide the result."""
    try:
        return ledger_summary.opened(spool, job)
    except PortalError as problem:
        boxes.error(problem)
        return None


def _figures(done: Mapping[str, Any]) -> None:
    counts: Mapping[str, Any] = done.get("counts") or {}
    with st.container(horizontal=True):
        for name, value in counts.items():
            if value or name not in (*_PLAIN_COUNTS, "rows_filtered") or name in ("listed", "failed"):
                st.metric(name.replace("_", " ").capitalize(), f"{value:,}" if isinstance(value, int) else str(value), border=True)
        if done.get("bytes"):
            st.metric("Bytes", wording.size(done["bytes"]), border=True)
        if total := (done.get("timings") or {}).get("total_s"):
            st.metric("Time", wording.duration(total), border=True)
    if "listed" in counts:
        _books(counts)


def _books(counts: Mapping[str, Any]) -> None:
    parts = [(name.replace("_", " "), counts.get(name, 0)) for name in (*_PLAIN_COUNTS[1:], "objects", *_COMPARED)]
    balance = " + ".join(f"{value:,} {name}" for name, value in parts if value) or "0"
    even = sum(value for _, value in parts) == counts["listed"]
    st.caption(f"{'The books balance' if even else 'The books do not balance'}: {counts['listed']:,} listed = {balance}.")
    if "rows_in" in counts:
        _row_books(counts)
    if deleted := counts.get("deleted"):
        st.caption(f":material/delete: Apart from what was listed, {count_of(deleted, 'object')} that the source no longer has "
                   f"{'was' if deleted == 1 else 'were'} deleted at the target.")  # fmt: skip


def _row_books(counts: Mapping[str, Any]) -> None:
    parts = [(word, counts.get(name) or 0) for name, word in (("rows_out", "written"), ("rows_rejected", "rejected"), ("rows_filtered", "left out"))]
    balance = " + ".join(f"{value:,} {word}" for word, value in parts if value) or "0"
    if sum(value for _, value in parts) == counts["rows_in"]:
        st.caption(f"So do the rows: {counts['rows_in']:,} read = {balance}.")
    else:
        st.caption(f":material/warning: The rows do not balance: {counts['rows_in']:,} read, {balance}.")


def _proof(levels: Any) -> None:
    if isinstance(levels, Mapping) and any(levels.values()):
        st.subheader("Proof")
        proofs.cards([(proofs.level(name), int(levels[name]), None) for name in sorted(levels, key=_rank) if levels[name]])


def _rank(level: str) -> int:
    return list(proofs.LEVELS).index(level) if level in proofs.LEVELS else len(proofs.LEVELS)


def _rows(title: str, items: Any) -> None:
    if not isinstance(items, list | tuple) or not items:
        return
    st.subheader(title)
    shown = [item if isinstance(item, Mapping) else {"": item} for item in items[:1000]]
    flat = [
        {
            str(name): value if isinstance(value, int | float | str | bool) or value is None else json.dumps(value, default=str)
            for name, value in item.items()
        }
        for item in shown
    ]
    names = {name: None for row in flat for name in row}
    titles: dict[str, Any] = {name: "URL" if name == "url" else name.replace("_", " ").capitalize() for name in names}
    sizes = {name: st.column_config.NumberColumn(titles.get(name, name), format="bytes") for name in ("bytes", "size", "size_bytes")}
    st.dataframe(flat, hide_index=True, row_height=30, alt=title, placeholder=wording.NONE, column_config={**titles, **sizes})
