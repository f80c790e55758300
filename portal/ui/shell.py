"""The frame around every page: look, sign-in, navigation."""

from __future__ import annotations

import logging

import streamlit as st

from portal.errors import PortalError
from portal.settings import CODE_ROOT
from portal.ui import access, boxes, state, theme
from portal.ui.access import Mode, Person
from portal.ui.views import audit, connections, job, jobs, lakehouse, new_job, overview, triggers
from portal.ui.wording import plain

TITLE = "Data Operations Portal"
_ICON = str(CODE_ROOT / "static" / "favicon.svg")


def run() -> None:
    """Show the page of this visit."""
    st.set_page_config(page_title=TITLE, page_icon=_ICON, layout="wide", initial_sidebar_state=220, menu_items={"About": None})
    theme.apply()
    try:
        how = access.mode(state.config())
        who = access.person(state.config())
    except PortalError as problem:
        boxes.error(problem)
        st.stop()
    if who is None:
        _ask_to_sign_in()
        st.stop()
    _navigate(who, how)


def report(problem: Exception) -> bool:
    """Take over what no page caught: the log gets the traceback, the person a clear box."""
    logging.getLogger("portal.ui").error("unexpected error", exc_info=problem)
    boxes.error(boxes.unexpected(problem))
    return True


def _navigate(who: Person, how: Mode) -> None:
    pages = {
        "overview": st.Page(overview.show, title="Overview", icon=":material/dashboard:", default=True),
        "new": st.Page(new_job.show, title="New job", icon=":material/add_circle:", url_path="new"),
        "jobs": st.Page(jobs.show, title="Jobs", icon=":material/list_alt:", url_path="jobs"),
        "job": st.Page(job.show, title="Job", icon=":material/article:", url_path="job", visibility="hidden"),
        "lakehouse": st.Page(lakehouse.show, title="Lakehouse", icon=":material/water:", url_path="lakehouse"),
        "triggers": st.Page(triggers.show, title="Triggers", icon=":material/bolt:", url_path="triggers"),
        "audit": st.Page(audit.show, title="Audit", icon=":material/policy:", url_path="audit"),
        "connections": st.Page(connections.show, title="Connections", icon=":material/cable:", url_path="connections"),
    }
    state.register(pages)
    st.logo(_ICON, size="small")
    chosen = st.navigation(list(pages.values()))
    with st.sidebar:
        st.caption(f":material/person: {plain(who.name)} · {who.role.value}")
        _sign_out(how)
    with boxes.told():
        chosen.run()


def _sign_out(how: Mode) -> None:
    if how is not Mode.OPEN:
        st.html('<a class="signout" href="sign-out" target="_self">Sign out</a>')


def _ask_to_sign_in() -> None:
    st.title(TITLE)
    st.info("Your session has ended.", icon=":material/lock:")
    st.html('<a href="sign-in" target="_self">Sign in again</a>')
