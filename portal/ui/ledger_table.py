"""The per-object ledger of a job: one row an object, filtered and paged, read only as far as shown."""

from __future__ import annotations

from typing import Any

import streamlit as st

from portal.jobs import Job
from portal.spool import Spool
from portal.transfer import ledger
from portal.ui import boxes, wording

PAGE_SIZE = 200
_OUTCOMES = ["copied", "converted", "skipped", "failed", "excluded"]
_COLUMNS = [
    "source_key",
    "outcome",
    "proof",
    "source_size",
    "target_key",
    "target_size",
    "rows_in",
    "rows_out",
    "rows_rejected",
    "reason",
    "attempts",
    "duration_s",
    "crc64nvme",
    "md5",
]


def show(spool: Spool, job: Job) -> None:
    """Show the ledger, or say why there is none."""
    path = spool.folder(job.id) / ledger.LEDGER_FILE
    if not path.is_file():
        told = "The ledger is written when the job has ended." if not job.status.finished else "This job handled no objects one by one."
        boxes.empty("list", "No object ledger", told)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Find", type="search", key="object", bind="query-params", placeholder="part of a key or a reason…", width=320)
        outcome = st.pills("Outcome", _OUTCOMES, key="outcome", bind="query-params", format_func=str.capitalize)
    rows = _matching(ledger.read(path, outcome=outcome), (text or "").strip())
    if not rows.num_rows:
        st.caption("No object fits.")
        return
    pages = -(-rows.num_rows // PAGE_SIZE)
    page = st.number_input("Page", 1, pages, 1, key=f"ledger-page-{outcome}-{text}", width=120) if pages > 1 else 1
    _table(rows.slice((page - 1) * PAGE_SIZE, PAGE_SIZE))
    st.caption(
        f"{wording.count_of(rows.num_rows, 'object')}, page {page} of {pages}." if pages > 1 else f"{wording.count_of(rows.num_rows, 'object')}."
    )


def _matching(rows: Any, text: str) -> Any:
    if not text:
        return rows
    import pyarrow.compute as pc

    found = [
        pc.match_substring(pc.fill_null(rows[name], ""), text, ignore_case=True)
        for name in ("source_key", "target_key", "reason")
        if name in rows.column_names
    ]
    keep = found[0]
    for other in found[1:]:
        keep = pc.or_(keep, other)
    return rows.filter(keep)


def _table(rows: Any) -> None:
    frame = rows.select([name for name in _COLUMNS if name in rows.column_names]).to_pandas()
    frame = frame.dropna(axis="columns", how="all")
    config: dict[str, Any] = {
        "source_key": st.column_config.TextColumn("Source", width="medium"), "target_key": st.column_config.TextColumn("Target", width="medium"),
        "outcome": "Outcome", "proof": "Proof", "reason": st.column_config.TextColumn("Reason", width="medium"), "attempts": "Attempts",
        "source_size": st.column_config.NumberColumn("Size", format="bytes"), "target_size": st.column_config.NumberColumn("Written", format="bytes"),
        "rows_in": st.column_config.NumberColumn("Rows in", format="localized"),
        "rows_out": st.column_config.NumberColumn("Rows out", format="localized"),
        "rows_rejected": st.column_config.NumberColumn("Rejected", format="localized"),
        "duration_s": st.column_config.NumberColumn("Seconds", format="%.2f"),
        "crc64nvme": "CRC64NVME", "md5": "MD5",
    }  # fmt: skip
    st.dataframe(
        frame, hide_index=True, row_height=30, height=min(560, 42 + 30 * len(frame)), alt="Objects of the job", placeholder="", column_config=config
    )
