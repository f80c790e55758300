"""Who serves the queue: its workers with their heartbeat, and the limits with who holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from portal.errors import PortalError, explain
from portal.jobs import Job
from portal.spool import LimitUse, Spool, WorkerInfo, limits
from portal.ui import access, actions, job_rows, state, wording
from portal.ui.accounts import Role
from portal.ui.wording import plain

_MOST = 50
_NAMED = 5


def show(spool: Spool, known: Sequence[WorkerInfo], waiting: Sequence[Job]) -> None:
    """Show workers and limits side by side.

    Args:
        waiting: the waiting jobs that the page shows: limits that nobody holds are told only when one of them needs it.
    """
    used = limits.uses(spool.layout, waiting)
    if not known and not used:
        return
    left, right = st.columns([5, 3], gap="large") if used else (st.container(), st.container())
    with left:
        _workers(known)
    with right:
        _limits(used)


def _workers(known: Sequence[WorkerInfo]) -> None:
    if not known:
        return
    st.subheader("Workers")
    for worker in sorted(known, key=lambda item: (not item.alive, item.name))[:_MOST]:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _worker(worker)


def _worker(worker: WorkerInfo) -> None:
    word, colour, icon = _state(worker)
    st.badge(word, color=colour, icon=f":material/{icon}:")
    st.markdown(f"**{plain(worker.name)}**", width="content")
    if not worker.alive:
        st.caption("forgotten after a day; a worker of this name takes its jobs over", width="content")
        return
    st.caption(plain(_facts(worker)), width="content")
    st.space("stretch")
    may_act = access.may(state.config(), Role.ADMIN)
    if worker.draining:
        if st.button(
            "Undo", key=f"undrain-{worker.name}", type="tertiary", icon=":material/undo:", disabled=not may_act, help="Let it take jobs again"
        ):
            _act(actions.undrain, worker.name)
    elif st.button(
        "Drain", key=f"drain-{worker.name}", type="tertiary", icon=":material/hourglass_bottom:", disabled=not may_act,
        help="It takes no more jobs, and ends when those it has have ended",
    ):  # fmt: skip
        _act(actions.drain, worker.name)


def _state(worker: WorkerInfo) -> tuple[str, Literal["green", "orange", "red", "gray"], str]:
    if not worker.alive:
        return "Ended", "gray", "stop_circle"
    if worker.stopped:
        return "Stopped", "red", "pause"
    if worker.hanging:
        return "Not responding", "red", "error"
    return ("Draining", "orange", "hourglass_bottom") if worker.draining else ("Working", "green", "check_circle")


def _facts(worker: WorkerInfo) -> str:
    beat = "no heartbeat" if worker.beat_age_s is None else f"heartbeat {wording.duration(worker.beat_age_s)} ago"
    busy = f"{worker.running} of {wording.count_of(worker.slots, 'slot')} busy"
    return " · ".join((busy, beat, f"pid {worker.pid}"))


def _act(action: Callable[[str], object], name: str) -> None:
    try:
        action(name)
    except PortalError as problem:
        st.toast(plain(explain(problem)), icon=":material/error:", duration="long")
    else:
        st.rerun()


def _limits(used: Sequence[LimitUse]) -> None:
    if not used:
        return
    st.subheader("Limits")
    for item in used[:_MOST]:
        full = len(item.held_by) >= item.places
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge("Full" if full else "Free", color="orange" if full else "green", icon=f":material/{'lock' if full else 'lock_open'}:")
            st.markdown(f"**{plain(item.name)}**", width="content")
            st.caption(plain(f"{len(item.held_by)} of {wording.count_of(item.places, 'place')} held{' by' if item.held_by else ''}"), width="content")
            for job_id in item.held_by[:_NAMED]:
                state.link("job", job_rows.short(job_id), id=job_id)
