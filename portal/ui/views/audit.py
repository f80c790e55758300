"""Audit: what happened in a period, in figures, charts and rows; for download and for Snowflake."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import altair as alt
import streamlit as st

from portal import audit, seal
from portal.ui import access, actions, boxes, state, theme, wording
from portal.ui.accounts import Role
from portal.ui.actions import Order
from portal.ui.wording import count_of, plain

if TYPE_CHECKING:
    import pandas as pd

_EXPORT = "audit_export"
_DAYS = 30
_SHOWN = (
    "finished_at", "job_id", "name", "engine", "status", "submitted_by", "objects_copied", "objects_converted", "objects_failed", "bytes", "rows_out",
    "duration_s", "source", "target", "error",
)  # fmt: skip


def show() -> None:
    config = state.config()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Audit", width="content")
        st.space("stretch")
        actions_place = st.container(horizontal=True, width="content")
    filters_place = st.container(horizontal=True, vertical_alignment="bottom")
    since, until = _period(filters_place)
    frame = _rows(since, until, _mark(since, until))
    frame = _filtered(filters_place, frame)
    with actions_place:
        _downloads(frame, since, until)
        if st.button("Export to Snowflake", icon=":material/cloud_upload:", disabled=not access.may(config, Role.OPERATOR)):
            _export(since, until)
    if frame.empty:
        boxes.empty("policy", "No finished job fits", "Choose a longer period or clear the filters.", height=260)
    else:
        _metrics(frame)
        _charts(frame)
        _table(frame)
    _seal()


def _period(place: Any) -> tuple[date, date]:
    today = datetime.now(UTC).date()
    since, until = (_day(st.query_params.get(name)) for name in ("since", "until"))
    first = (since or today - timedelta(days=_DAYS - 1), until or today)
    with place:
        chosen = st.date_input(
            "Period (UTC)", first, key="period", format="YYYY-MM-DD", min_value=date(2000, 1, 1), max_value=date(2200, 1, 1), width=230
        )
    if not isinstance(chosen, tuple) or len(chosen) != 2:
        return first
    if chosen != first:
        st.query_params["since"], st.query_params["until"] = chosen[0].isoformat(), chosen[1].isoformat()
    return chosen[0], chosen[1]


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _mark(since: date, until: date) -> int:
    """Changes when a job of the last days of the period is archived; closed days do not change."""
    last = min(until, datetime.now(UTC).date())
    folders = [state.config().archive_dir / f"{day:%Y/%m/%d}" for day in (last, last - timedelta(days=1))]
    return hash(tuple(folder.stat().st_mtime_ns if folder.exists() else 0 for folder in folders))


@st.cache_data(show_spinner="Reading the archive…", max_entries=8, ttl=600)
def _rows(since: date, until: date, mark: int) -> pd.DataFrame:
    return audit.rows(state.config(), since, until)


def _filtered(place: Any, frame: pd.DataFrame) -> pd.DataFrame:
    with place:
        for column, label in (("engine", "Engine"), ("status", "Outcome"), ("submitted_by", "Owner")):
            options = sorted(set(frame[column].dropna().astype(str)) | set(st.query_params.get_all(column)))
            chosen = st.multiselect(label, options, key=column, bind="query-params", placeholder="All", width=200)
            if chosen:
                frame = frame[frame[column].isin(chosen)]
        text = st.text_input("Search", type="search", key="text", bind="query-params", placeholder="id, name, URL, error…", width=220)
    if text:
        hits = [
            frame[column].fillna("").astype(str).str.contains(text, case=False, regex=False)
            for column in ("job_id", "name", "source", "target", "error")
        ]
        keep = hits[0]
        for hit in hits[1:]:
            keep = keep | hit
        frame = frame[keep]
    return frame


def _metrics(frame: pd.DataFrame) -> None:
    figures = audit.summary(frame)
    objects = figures["objects_copied"] + figures["objects_converted"]
    proven = sum(figures["proof"].get(level, 0) for level in ("read-back", "end-to-end", "streamed", "converted"))
    with st.container(horizontal=True):
        st.metric("Jobs", f"{figures['jobs']:,}", border=True)
        st.metric("Succeeded", f"{figures['success_rate'] or 0:.1%}", border=True)
        st.metric("Objects", f"{objects:,}", border=True, help="Copied or converted")
        st.metric("With proof", f"{proven:,}", border=True, help="Objects whose bytes were checked, not only their length")
        st.metric("Bytes moved", wording.size(figures["bytes"]), border=True)
        st.metric("Rows written", f"{figures['rows_out']:,}", border=True)
        st.metric("Median time", wording.duration(figures["duration_s"]["median"]), border=True)


def _charts(frame: pd.DataFrame) -> None:
    left, right = st.columns([2, 1])
    daily = frame.assign(day=frame["finished_at"].dt.floor("D")).groupby(["day", "status"], observed=True).size().rename("jobs").reset_index()
    known = [name for name in theme.CHART_COLOURS if name in set(daily["status"])]
    colour = alt.Color("status:N", scale=alt.Scale(domain=known, range=[theme.CHART_COLOURS[name] for name in known]),
                       legend=alt.Legend(orient="bottom", title=None, direction="horizontal"))  # fmt: skip
    chart = alt.Chart(daily).mark_bar(size=18).encode(
        x=alt.X("yearmonthdate(day):O", title=None, axis=alt.Axis(format="%b %d", labelAngle=0, labelOverlap=True)),
        y=alt.Y("jobs:Q", title=None, axis=alt.Axis(tickMinStep=1)), color=colour, tooltip=["day:T", "status:N", "jobs:Q"],
    )  # fmt: skip
    left.altair_chart(chart.properties(height=270, title="Jobs per day"), alt="Jobs per day by outcome")
    per_engine = frame.groupby("engine", observed=True).size().rename("jobs").reset_index()
    bars = alt.Chart(per_engine).mark_bar(color="#3B82F6").encode(
        y=alt.Y("engine:N", sort="-x", title=None), x=alt.X("jobs:Q", title=None, axis=alt.Axis(tickMinStep=1)), tooltip=["engine:N", "jobs:Q"]
    )  # fmt: skip
    right.altair_chart(bars.properties(height=270, title="Jobs by engine"), alt="Jobs by engine")


def _table(frame: pd.DataFrame) -> None:
    shown = frame[[name for name in _SHOWN if name in frame.columns]]
    titles = {column.name: column.name.replace("_", " ").capitalize() for column in audit.COLUMNS}
    config: dict[str, Any] = {name: titles[name] for name in shown.columns}
    config |= {
        "finished_at": st.column_config.DatetimeColumn("Finished (UTC)", format="YYYY-MM-DD HH:mm:ss", timezone="UTC"), "job_id": "Job",
        "submitted_by": "Owner", "status": "Outcome", "bytes": st.column_config.NumberColumn("Bytes", format="bytes"),
        "objects_copied": "Copied", "objects_converted": "Converted", "objects_failed": "Failed",
        "rows_out": st.column_config.NumberColumn("Rows", format="localized"),
        "duration_s": st.column_config.NumberColumn("Seconds", format="%.1f"),
    }  # fmt: skip
    event = st.dataframe(
        shown, hide_index=True, row_height=30, height=min(420, 42 + 30 * len(shown)), column_config=config, alt="Audit rows", placeholder="",
        lazy=True if len(shown) > 1000 else None, on_select="rerun", selection_mode="single-row", key="audit-rows",
    )  # fmt: skip
    rows = event["selection"]["rows"]
    if rows and rows[0] < len(shown):
        job_id = str(shown["job_id"].iloc[rows[0]])
        state.link("job", f"Open job {job_id}", ":material/arrow_forward:", id=job_id)
    else:
        st.caption(f"{count_of(len(frame), 'row')}. Tick one to open its job.")


def _downloads(frame: pd.DataFrame, since: date, until: date) -> None:
    name = f"audit-{since}-{until}"
    st.download_button("CSV", lambda: audit.csv(frame).encode(), f"{name}.csv", "text/csv", icon=":material/download:", on_click="ignore")
    st.download_button("Parquet", lambda: _parquet(frame), f"{name}.parquet", icon=":material/download:", on_click="ignore")


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _export(since: date, until: date) -> None:
    key = st.session_state.setdefault("_export_key", f"audit-page-{datetime.now(UTC).timestamp():.6f}")
    with boxes.told():
        job = actions.submit(Order(_EXPORT, {"since": since.isoformat(), "until": until.isoformat()}, key=key, name="Audit export"))
        del st.session_state["_export_key"]
        state.go("job", id=job.id)


def _seal() -> None:
    """The chain of daily digests: its head, and whether everything still fits when asked."""
    with st.expander("Proof against tampering", icon=":material/verified_user:"):
        newest = seal.head(state.config())
        if newest is None:
            st.caption("No day is sealed yet: a worker seals each day shortly after it has ended.")
            return
        st.markdown(f"Newest seal: day **{newest.day}**, number {newest.sequence}. Digest `{newest.digest}`")
        if st.button("Verify the archive", icon=":material/fact_check:"):
            with st.spinner("Reading every sealed record…"):
                findings = seal.verify(state.config())
            if not findings:
                st.success("Every sealed record is as it was sealed.", icon=":material/check_circle:")
            for finding in findings[:50]:
                st.error(plain(finding), icon=":material/gpp_bad:")
