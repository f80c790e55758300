"""What became of the files that a job converted: rows in and out, columns, what did not fit, and the schema to use again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import streamlit as st

from portal.jobs import Job
from portal.spool import Spool
from portal.transfer.columns_file import COLUMNS_FILE
from portal.ui import conversion_view, wording
from portal.ui.wording import count_of, plain

_SHOWN_REJECTS = 100
_MOST_DOWNLOAD_BYTES = 200 << 20
_FIGURES = (("rows_in", "Rows in"), ("rows_out", "Rows out"), ("rows_rejected", "Rejected"), ("rows_filtered", "Left out by where"))


def show(spool: Spool, job: Job, files: Sequence[Mapping[str, Any]]) -> None:
    """Show the report of one of the files, to be chosen; `files` are the first of them, the file columns.ndjson has all."""
    if not files:
        return
    st.subheader("Columns")
    chosen = 0
    if len(files) > 1:
        chosen = st.selectbox(
            "File", range(len(files)), format_func=lambda n: str(files[n].get("source", n)), key=f"converted-{job.id}",
            help=f"The first {len(files):,}; columns.ndjson has all" if len(files) >= 20 else None,
        )  # fmt: skip
    _file(spool.folder(job.id), files[chosen])
    conversion_view.schema_document(_schema(spool.folder(job.id), chosen), str(files[chosen].get("target", "")).rstrip("/"))


def _schema(folder: Path, number: int) -> Any:
    """The schema of the n-th file: it stands in the job's file alone."""
    path = folder / COLUMNS_FILE
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        return next((json.loads(line).get("schema") for line in islice(file, number, number + 1)), None)


def _file(folder: Path, told: Mapping[str, Any]) -> None:
    st.caption(f"{plain(told.get('source', ''))} :material/arrow_right_alt: {plain(told.get('target', ''))}")
    with st.container(horizontal=True):
        for name, title in _FIGURES:
            if told.get(name) or name in ("rows_in", "rows_out"):
                st.metric(title, f"{told.get(name) or 0:,}", border=True)
        if len(parts := told.get("parts") or ()) > 1:
            st.metric("Files", f"{len(parts):,}", border=True)
    st.caption(_proof(told))
    conversion_view.warnings(told.get("warnings") or ())
    _widened(told.get("widened") or {})
    conversion_view.reading(told.get("reading") or {})
    conversion_view.columns(told.get("columns") or ())
    _rejects(folder, told)


def _proof(told: Mapping[str, Any]) -> str:
    sources, source = told.get("sources") or (), told.get("source_checksum")
    if len(sources) > 1:
        read = f"{len(sources):,} sources, {_compared(sources)}"
    else:
        against = f"compared with {plain(source)}, which the source stores" if source else "none is stored with it to compare"
        read = f"Source CRC64 {plain(told.get('source_crc64', ''))}, {against}"
    twice = sum(item.get("rows_read_twice") or 0 for item in sources)
    both = f" · {count_of(twice, 'row')} read by two readers, which agree" if twice else ""
    return f":material/verified: {read}{both}{' · read back from the target and equal' if told.get('read_back') else ''}"


def _compared(sources: Sequence[Mapping[str, Any]]) -> str:
    """Say how many were compared with a stored checksum; that a store keeps none is nobody's fault."""
    compared = sum(1 for item in sources if item.get("compared"))
    if not compared:
        return "the CRC64 of each taken as it was read; no checksums are stored with them to compare"
    if compared == len(sources):
        return "all compared with the checksums that are stored with them"
    return f"{compared:,} of them compared with the checksum that is stored with it, which the others have none of"


def _widened(found: Mapping[str, str]) -> None:
    if found:
        lines = "\n".join(f"- **{plain(name)}**: {plain(how)}" for name, how in found.items())
        st.info(lines, title="Types that were widened, and the file begun again", icon=":material/unfold_more:")


def _rejects(folder: Path, told: Mapping[str, Any]) -> None:
    path = folder / Path(str(told.get("rejects") or "-")).name
    if not told.get("rows_rejected") or not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, _SHOWN_REJECTS)]
    conversion_view.rejects(rows, told["rows_rejected"])
    size = path.stat().st_size
    st.download_button(
        f"All {count_of(told['rows_rejected'], 'rejected row')}", path.read_bytes if size <= _MOST_DOWNLOAD_BYTES else b"", path.name,
        icon=":material/download:", on_click="ignore", key=f"rejects-{path.name}", disabled=size > _MOST_DOWNLOAD_BYTES,
        help=f"JSON lines, {wording.size(size)}" + ("" if size <= _MOST_DOWNLOAD_BYTES else f": too big for a browser, it is at {path}"),
    )  # fmt: skip
