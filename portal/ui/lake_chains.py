"""Chains on the page of the lakehouse: the latest ones, and one with its tables by its steps, live."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from portal.lake import chain_jobs
from portal.lake.chain import WORDS, restart_key
from portal.lake.chain_view import StepView, View
from portal.lake.table_outcome import Ended
from portal.spool import Spool
from portal.ui import access, actions, boxes, job_rows, lake_rows, state, wording
from portal.ui.accounts import Role
from portal.ui.components.chain_table import chain_table
from portal.ui.status_line import Colour
from portal.ui.wording import STATUS_WORDS, count_of, plain

POLL_S, IDLE_S = 2, 30
_LOOK: dict[str, tuple[Colour, str]] = {
    "running": ("blue", "progress_activity"), "succeeded": ("green", "check_circle"), "partial": ("orange", "contrast"), "failed": ("red", "error"),
    "cancelled": ("gray", "block"), "queued": ("gray", "schedule"), "waiting": ("gray", "schedule"), "rejected": ("red", "do_not_disturb_on"),
}  # fmt: skip
_FILTERS = {"failed": "Failed", "running": "Running", "waiting": "Waiting", "excluded": "Left out"}


def latest(spool: Spool) -> None:
    """Show the latest chains, each with how far it is; the page looks often while one runs."""
    running = any(found.running for found in chain_jobs.chains(spool).chains)

    @st.fragment(run_every=POLL_S if running else IDLE_S)
    def body() -> None:
        with boxes.told():
            found = chain_jobs.chains(spool)
            if not found.chains:
                told = f"Of the last {chain_jobs.DAYS} days. Tick tables, then Review and start; or python -m portal lake chain."
                boxes.empty("conversion_path", "No chains yet", told, height=170)
            for view in found.chains:
                _line(view)
            if found.searched_to:
                st.caption(f"Looked back to {found.searched_to} until now; older ones follow.")

    body()


def _line(view: View) -> None:
    first = view.jobs[0]
    with st.container(gap=None):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _badge(view.state, lake_rows.CHAIN_WORDS[view.state])
            if st.button(plain(view.name or view.way), key=f"open-{view.mark}", type="tertiary"):
                state.go("lakehouse", chain=view.mark)
        parts = [lake_rows.tally(view), view.way if view.name else "", f"by {first.submitted_by}", f"{wording.moment(first.submitted_at)} UTC"]
        st.caption(plain(" · ".join(part for part in parts if part)))


def _badge(name: str, word: str) -> None:
    colour, icon = _LOOK[name]
    st.badge(word, color=colour, icon=f":material/{icon}:")


def one(spool: Spool, mark: str) -> None:
    """Show one chain."""
    state.link("lakehouse", "Lakehouse", ":material/arrow_back:")
    found = chain_jobs.one(spool, mark)
    if found is None:
        st.title("Chain not found")
        told = f"Chains are found for {chain_jobs.DAYS} days after the last of their jobs; the jobs themselves are on the Jobs page."
        boxes.empty("search_off", "There is no chain with this id", told)
        return
    _live(spool, found.mark, found.running)


def _live(spool: Spool, mark: str, was_running: bool) -> None:
    @st.fragment(run_every=POLL_S if was_running else None)
    def body() -> None:
        with boxes.told():
            view = chain_jobs.one(spool, mark)
            if view is None:
                st.rerun()
            _head(view)
            for place, (column, step) in enumerate(zip(st.columns(len(view.steps)), view.steps, strict=True)):
                with column, st.container(border=True, height="stretch"):
                    _step(spool, view, step, place)
            clicked = _matrix(view)
            if clicked:
                state.go("job", id=clicked)
            if view.running != was_running:
                st.rerun()

    body()


def _matrix(view: View) -> str | None:
    """Show the tables by steps; return the job whose cell was clicked."""
    text, only = "", []
    if len(view.rows) > 1:
        with st.container(horizontal=True, vertical_alignment="top"):
            text = st.text_input(
                "Filter tables", type="search", live=True, key="tables", bind="query-params", placeholder="name contains…", width=260
            )
            only = st.pills("State", list(_FILTERS), selection_mode="multi", format_func=_FILTERS.__getitem__, key="state", bind="query-params")
    rows = lake_rows.matrix(view, only=only or (), text=(text or "").strip())
    if view.rows and not rows:
        boxes.empty("search_off", "No table fits these filters", height=150)
        return None
    if not view.rows:
        told = "Patterns are looked up when the first step runs." if view.running else "The first step ended before it knew of any."
        boxes.empty("table_rows", "No tables yet" if view.running else "No tables", told, height=150)
        return None
    clicked = chain_table([WORDS[step.step] for step in view.steps], rows, "matrix")
    if len(view.rows) > lake_rows.MATRIX_ROWS:
        st.caption(f"The first {lake_rows.MATRIX_ROWS:,} that fit are shown, those with trouble before the others.")
    return clicked


def _head(view: View) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(plain(view.name or "Chain"), width="content")
        _badge(view.state, lake_rows.CHAIN_WORDS[view.state])
        st.space("stretch")
        may_act = access.may(state.config(), Role.OPERATOR)
        alive = [job for job in view.jobs if not job.status.finished]
        if alive and st.button("Cancel chain", icon=":material/stop_circle:", disabled=not may_act, help="Ends what runs; nothing follows"):
            for job in alive:
                actions.cancel(job.id)
            st.toast("The chain was asked to end.", icon=":material/stop_circle:")
        again = view.retryable
        if again and st.button(
            f"Restart from: {WORDS[next(step.step for step in view.steps if again in step.jobs)]}", icon=":material/replay:",
            disabled=not may_act, help="Does again what did not succeed in this step; the steps after it follow",
        ):  # fmt: skip
            actions.retry(again.id, key=restart_key(again.id))
            st.rerun()
    first = view.jobs[0]
    st.caption(f"`{view.mark}` · {plain(lake_rows.tally(view))} · by {plain(first.submitted_by)} · {plain(wording.moment(first.submitted_at))} UTC")


def _step(spool: Spool, view: View, step: StepView, place: int) -> None:
    job = step.latest
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{place + 1}. {WORDS[step.step]}**", width="content")
        _badge(step.state, STATUS_WORDS[job.status] if job and not step.idle else "Waiting" if view.running else "Not reached")
    if job is None or step.idle:
        st.caption("It begins when the step before has ended." if view.running else "The step before brought nothing to it.")
        return
    _progress(spool, job)
    if job.error:
        st.caption(f":material/error: {plain(job.error.partition(chr(10))[0])}")
    again = f" · {count_of(len(step.jobs), 'try', 'tries')}" if len(step.jobs) > 1 else ""
    if st.button(f"Job {job_rows.short(job.id)}", key=f"job-{job.id}", type="tertiary", icon=":material/article:"):
        state.go("job", id=job.id)
    counts = (job.result or {}).get("counts") or {}
    told = ", ".join(f"{counts[name]:,} {lake_rows.STATE_WORDS[name].lower()}" for name in get_args(Ended) if counts.get(name))
    if told or again:
        st.caption(plain(told + again))


def _progress(spool: Spool, job: Any) -> None:
    progress = spool.progress(job.id) if not job.status.finished else None
    if progress is None:
        return
    parts = [job_rows.done(job, progress), job_rows.rate(progress) if progress.rate_bytes else "", progress.note]
    st.progress(progress.fraction or 0.0, text=plain(" · ".join(part for part in parts if part)))
