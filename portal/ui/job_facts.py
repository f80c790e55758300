"""The quiet parts of a job's page: parameters, attempts, files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from portal import catalog
from portal.errors import BadParameters
from portal.jobs import Job
from portal.spool import Spool
from portal.ui import wording
from portal.ui.wording import plain

_SHOWN_KEYS = 1_000
_MOST_DOWNLOAD_BYTES = 200 << 20
_MEANINGS = {
    "names.csv": "names that were changed because the target cannot hold them, in both forms", "extras.csv": "what only the target has",
    "conflicts.csv": "what is in the way at the target, and what is done about each",
    "carried.ndjson": "headers, metadata and tags that found no place at the target", "columns.ndjson": "types of the converted columns, and why",
    "combined.txt": "the comparison, as rclone check --combined writes it", "plan.ndjson": "what was listed, and what was to become of it",
    "ledger.parquet": "what became of each object", "combined.parquet": "what the comparison found of each object",
}  # fmt: skip
_BESIDE = ("conflicts.csv", "names.csv", "extras.csv", "carried.ndjson", "columns.ndjson", "combined.txt")
"""Files that belong beside a result: what the ledger does not tell."""


def parameters(job: Job) -> None:
    """Show what the job was given, in the words of its form, and as JSON."""
    try:
        titles = {item.name: item.title for item in catalog.engine(job.engine).fields}
    except BadParameters:
        titles = {}
    rows = [{"Parameter": titles.get(name, name), "Value": _short(value)} for name, value in job.params.items()]
    if rows:
        st.dataframe(rows, hide_index=True, row_height=30, alt="Parameters", column_config={"Parameter": st.column_config.TextColumn(width="small")})
    else:
        st.caption("All parameters have their defaults.")
    facts = {
        "Priority": job.priority, "Attempts allowed": job.max_attempts, "Time limit": wording.duration(job.timeout_s),
        "Limits": ", ".join(job.limits) or wording.NONE,
        "Key": job.key or wording.NONE, "Labels": ", ".join(f"{name}={value}" for name, value in job.labels.items()) or wording.NONE,
    }  # fmt: skip
    st.caption(plain(" · ".join(f"{name}: {value}" for name, value in facts.items())))
    with st.expander("As JSON"):
        st.code(json.dumps(_cut(job.params), ensure_ascii=False, indent=1), language="json", height=300)


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join(str(item) for item in value[:5])
        return shown if len(value) <= 5 else f"{shown} and {len(value) - 5:,} more"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [*value[:_SHOWN_KEYS], f"… {len(value) - _SHOWN_KEYS:,} more"]
        if isinstance(value, list | tuple) and len(value) > _SHOWN_KEYS
        else value
        for name, value in params.items()
    }


def attempts(job: Job) -> None:
    if not job.attempts:
        st.caption("No attempt has started yet.")
        return
    rows = [
        {
            "No.": item.number, "Outcome": item.outcome or "running", "Started (UTC)": wording.moment(item.started_at, seconds=True),
            "Took": wording.duration(wording.elapsed_s(item.started_at, item.finished_at)),
            "Exit": wording.NONE if item.exit_code is None else str(item.exit_code),
            "Worker": item.worker, "Host": item.host, "CPU": wording.duration(item.cpu_s), "Peak memory": wording.size(item.peak_memory_bytes),
            "Error": (item.error or "").partition("\n")[0],
        }
        for item in job.attempts
    ]  # fmt: skip
    st.dataframe(rows, hide_index=True, row_height=30, alt="Attempts")
    if job.interruptions:
        st.caption(f"Cut off {wording.count_of(job.interruptions, 'time')} by a dying host, worker or runner.")


def files(spool: Spool, job: Job) -> None:
    """Offer the job's files for download: log, ledger, rejects and whatever else it wrote."""
    found = [path for path in (spool.log_path(job.id), *_in(spool.folder(job.id))) if path.is_file()]
    if not found:
        st.caption("The job has written no files yet.")
        return
    sums = {str(item.get("name")): str(item.get("sha256", "")) for item in job.artefacts}
    for path in found:
        _file(path, sums)


def beside(spool: Spool, job: Job) -> None:
    """Offer the files that tell what the result and the ledger do not, if there are any."""
    found = [path for name in _BESIDE if (path := spool.folder(job.id) / name).is_file()]
    if found:
        st.subheader("Files beside it")
    for path in found:
        _file(path, {}, "beside")


def _in(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else ()


def _file(path: Path, sums: Mapping[str, str], place: str = "file") -> None:
    size = path.stat().st_size
    digest = next((value for name, value in sums.items() if name.rpartition("/")[2] == path.name), "")
    with st.container(horizontal=True, vertical_alignment="center"):
        if size <= _MOST_DOWNLOAD_BYTES:
            st.download_button(
                path.name, lambda: path.read_bytes(), path.name, icon=":material/download:", on_click="ignore", key=f"{place}-{path.name}", width=300
            )
        else:
            st.button(path.name, disabled=True, key=f"{place}-{path.name}", width=300, help=f"Too big for a browser: it is at {path}")
        told = (_MEANINGS.get(path.name, ""), wording.size(size), f"SHA-256 {digest}" if digest else "")
        st.caption(plain(" · ".join(filter(None, told))))
