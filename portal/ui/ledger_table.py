"""The per-object ledger of a job: one row an object, filtered, paged and for download; read only as far as shown."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import streamlit as st

from portal.jobs import Job
from portal.ledger import export as ledger_export
from portal.ledger.kinds import Chosen
from portal.ledger.view import View
from portal.spool import Spool
from portal.ui import boxes, ledger_filters, ledger_summary, proofs
from portal.ui.wording import count_of

PAGE_SIZE = 200
MOST_DOWNLOADED = 300_000
"""Rows that are made into a file in the memory of the launcher; the command line has no limit."""

_COLUMNS = (
    "source_key", "outcome", "proof", "mode", "source_size", "target_key", "target_size", "reason", "rows_in", "rows_out", "rows_rejected",
    "rows_filtered", "attempts", "duration_s", "bytes_through", "resumed_bytes", "storage_class", "source_modified", "crc64nvme", "md5",
    "compared",
)  # fmt: skip


def show(spool: Spool, job: Job) -> None:
    """Show the ledger, or say why there is none."""
    view = ledger_summary.opened(spool, job)
    if view is None:
        told = "The ledger is written when the job has ended." if not job.status.finished else "This job handled no objects one by one."
        boxes.empty("list", "No object ledger", told)
        return
    chosen = ledger_filters.show(view)
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="center"):
        number = _pager(view, chosen)
        page = view.page(chosen, (number - 1) * PAGE_SIZE, PAGE_SIZE)
        _told(number, page.rows.num_rows, page.total)
        st.space("stretch")
        _downloads(view, chosen, job, page.total)
    with place:
        if page.rows.num_rows:
            _table(page.rows)
        else:
            boxes.empty("search_off", "No object fits", height=160, button="Show all", on_click=ledger_filters.clear)


def _pager(view: View, chosen: Chosen) -> int:
    """The number of the page; nothing to choose where there is only one."""
    key = f"ledger-page-{hash(chosen)}"
    pages = None
    if not chosen.text:
        pages = max(1, -(-sum(sums.objects for sums in view.kinds(chosen).values()) // PAGE_SIZE))
    if pages == 1:
        return 1
    return int(st.number_input("Page", 1, pages, key=key, width=120, label_visibility="collapsed", help="Page") or 1)


def _told(number: int, shown: int, total: int | None) -> None:
    first = (number - 1) * PAGE_SIZE
    if shown == total:
        st.caption(f"{count_of(shown, 'object')}.", width="content")
    elif shown:
        among = f"of {total:,} objects" if total is not None else "; more follow"
        st.caption(f"Objects {first + 1:,} to {first + shown:,} {among}.".replace(" ;", ";"), width="content")


def _downloads(view: View, chosen: Chosen, job: Job, total: int | None) -> None:
    too_many = (view.rows if total is None else total) > MOST_DOWNLOADED
    for shape in ("csv", "parquet"):
        help_text = "The objects that fit the filters, with all columns"
        if too_many:
            help_text = f"Too many for a browser: python -m portal ledger {job.id} -o ledger.{shape}"
        st.download_button(
            "CSV" if shape == "csv" else "Parquet", partial(_file, view, chosen, shape), f"{job.id}-objects.{shape}", disabled=too_many,
            icon=":material/download:", on_click="ignore", key=f"ledger-{shape}", help=help_text,
        )  # fmt: skip


def _file(view: View, chosen: Chosen, shape: str) -> bytes:
    file = io.BytesIO()
    ledger_export.write(view.batches(chosen, 0, MOST_DOWNLOADED), view.schema, shape, file)
    return file.getvalue()


def _table(rows: Any) -> None:
    frame = rows.select([name for name in _COLUMNS if name in rows.column_names and _says_something(rows[name], name)]).to_pandas()
    frame["outcome"] = frame["outcome"].map(lambda name: proofs.OUTCOMES.get(name, name))
    if "proof" in frame:
        frame["proof"] = [_level(outcome, name) for outcome, name in zip(rows["outcome"].to_pylist(), frame["proof"], strict=True)]
    if "mode" in frame:
        frame["mode"] = frame["mode"].map(lambda name: proofs.mode(name).word if name else None)
    height = min(560, 42 + 30 * len(frame))
    st.dataframe(frame, hide_index=True, row_height=30, height=height, alt="Objects of the job", placeholder="", column_config=_titles())


def _says_something(column: Any, name: str) -> bool:
    """Whether a column is worth its place: nothing and zero are not, unless rows of a table were counted."""
    return any((value is not None) if name.startswith("rows_") else bool(value) for value in column.to_pylist())


def _level(outcome: str, name: str) -> str | None:
    """The level of proof in a cell; nothing of what was not written."""
    if outcome not in ("copied", "converted", "equal"):
        return None
    look = proofs.level(name)
    short = look.word if name == "size" else look.word.partition(": ")[2] or look.word
    return f"{look.letter} {short}"


def _titles() -> dict[str, Any]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "source_key": text("Source", width="large"), "target_key": text("Target", width="medium"), "outcome": "Outcome", "proof": "Proof",
        "mode": "How", "reason": text("Reason", width="medium"), "attempts": "Attempts", "source_size": number("Size", format="bytes"),
        "target_size": number("Written", format="bytes"), "bytes_through": number("Through here", format="bytes"),
        "resumed_bytes": number("Taken over", format="bytes"), "rows_in": number("Rows in", format="localized"),
        "rows_out": number("Rows out", format="localized"), "rows_rejected": number("Rejected", format="localized"),
        "rows_filtered": number("Left out", format="localized"),
        "duration_s": number("Seconds", format="%.2f"), "storage_class": "Storage class", "source_modified": "Modified (source)",
        "crc64nvme": "CRC64NVME", "md5": "MD5", "compared": "Compared",
    }  # fmt: skip
