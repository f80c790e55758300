"""Pausing on the pages: everybody sees what is paused, by whom, since when and why; who may can pause and resume."""

from __future__ import annotations

import streamlit as st

from portal import catalog
from portal.errors import PortalError, explain
from portal.spool import Pause
from portal.spool.pausing import Pauses
from portal.ui import access, actions, boxes, state, wording
from portal.ui.accounts import Role
from portal.ui.wording import plain

_LONGEST = 300
_MEANS = "what runs goes on, and jobs can be submitted and cancelled."


def banner(held: Pauses, engine: str | None = None) -> None:
    """Say what is paused, with a way to end it.

    Args:
        engine: only what concerns jobs of this engine.
    """
    of_engines = [item for name, item in held.engines.items() if engine in (None, name)]
    for item in [*([held.queue] if held.queue else []), *of_engines]:
        _one(item)


def _one(item: Pause) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(told(item), title=plain(_title(item)), icon=":material/pause_circle:", width="stretch")
        if st.button(
            "Resume", key=f"resume-{item.scope}", icon=":material/play_arrow:", disabled=not access.may(state.config(), Role.OPERATOR),
            help=f"Start {'jobs' if item.engine is None else f'jobs of {item.engine}'} again",
        ):  # fmt: skip
            _resume(item)


def _title(item: Pause) -> str:
    return "The queue is paused" if item.engine is None else f"Jobs of {item.engine} are paused"


def told(item: Pause) -> str:
    """Who paused it, since when, why, and what that means; safe for Markdown."""
    since = f" since {wording.moment(item.at)} UTC" if item.at else ""
    why = f": {item.why}{'' if item.why.endswith(('.', '!', '?')) else '.'}" if item.why else "."
    held = "Nothing new starts" if item.engine is None else "None of them starts"
    return f"{plain(f'By {item.by}{since}{why}')} {held}; {_MEANS}"


def _resume(item: Pause) -> None:
    try:
        actions.resume(item.engine)
    except PortalError as problem:
        st.toast(plain(explain(problem)), icon=":material/error:", duration="long")
    else:
        st.rerun()


def button() -> None:
    """The button that asks what to pause, and why."""
    may_act = access.may(state.config(), Role.OPERATOR)
    if st.button("Pause…", icon=":material/pause_circle:", disabled=not may_act, help="Start nothing new, of one engine or at all"):
        ask()


@st.dialog("Pause", icon=":material/pause_circle:")
def ask() -> None:
    """Ask what to pause and why, and do it."""
    with st.form("pause", border=False):
        engine = st.selectbox("What", ["", *catalog.names()], format_func=lambda name: f"Jobs of {name}" if name else "The whole queue")
        why = st.text_input("Why", max_chars=_LONGEST, placeholder="Everybody sees this: the warehouse is down until 18:00")
        st.caption("Nothing new starts until somebody resumes it. What runs goes on; jobs can be submitted and cancelled.")
        wanted = st.form_submit_button("Pause", type="primary", width="stretch")
    if not wanted:
        return
    if not why.strip():
        st.error("Say why: everybody who waits will ask.", icon=":material/error:")
        return
    with boxes.told():
        actions.pause(engine or None, why.strip())
        st.rerun()
