"""Jobs: every job, live, filtered by what stands in the address."""

from __future__ import annotations

import functools
from collections.abc import Callable

import streamlit as st

from portal import catalog
from portal.errors import PortalError, explain
from portal.jobs import DEFAULT_PRIORITY, PRIORITIES, Job, Status
from portal.spool import Spool
from portal.ui import access, actions, boxes, health, job_rows, job_search, pauses, state, wording
from portal.ui.accounts import Role
from portal.ui.components.job_table import Click, job_table
from portal.ui.job_search import Filters
from portal.ui.wording import count_of, plain

POLL_S, IDLE_S = 2, 15
_PERIODS = {"1": "Today", "7": "7 days", "30": "30 days", "365": "1 year", str(job_search.LONGEST_DAYS): "All time"}


def show() -> None:
    config, spool = state.config(), state.spool()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Jobs", width="content")
        st.space("stretch")
        pauses.button()
        bulk = st.container(horizontal=True, width="content")
    filters = _filters()
    number = _page_number()
    active = health.look(config, spool).active
    _live(spool, filters, number, active)
    with bulk:
        _bulk(spool, filters)


def handle(clicked: Click | None) -> None:
    """Do what was clicked in a table of jobs."""
    if not clicked:
        return
    verb, job_id, value = clicked
    if verb == "open":
        state.go("job", id=job_id)
    try:
        if verb == "cancel":
            actions.cancel(job_id)
            st.toast("Cancel requested.", icon=":material/stop_circle:")
        elif verb == "retry":
            again = actions.retry(job_id)
            st.toast(f"Submitted again as {job_rows.short(again.id)}.", icon=":material/replay:")
        elif verb == "priority" and value is not None:
            actions.priority(job_id, value)
            st.toast(f"{job_rows.short(job_id)} has priority {value} now.", icon=":material/low_priority:")
    except PortalError as problem:
        st.toast(plain(explain(problem)), icon=":material/error:", duration="long")
    else:
        st.rerun()


def _filters() -> Filters:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Search", type="search", key="text", bind="query-params", placeholder="id, name, owner, URL or error…", width=240)
        engine = st.selectbox(
            "Engine", ["", *catalog.names()], format_func=lambda name: name or "All engines", key="engine", bind="query-params", width=150
        )
        owner = st.text_input("Owner", key="owner", bind="query-params", placeholder="anyone", width=120)
        trigger = st.text_input("Trigger", key="trigger", bind="query-params", placeholder="any or none", width=130)
        days = st.selectbox("Finished in", list(_PERIODS), format_func=_PERIODS.__getitem__, index=2, key="days", bind="query-params", width=120)
        statuses = st.pills(
            "State", [item.value for item in Status], selection_mode="multi", format_func=str.capitalize, key="status", bind="query-params"
        )
    return Filters(tuple(statuses or ()), engine or "", (owner or "").strip(), (text or "").strip(), int(days or 30), (trigger or "").strip())


def _page_number() -> int:
    given = st.query_params.get("page", "1")
    return min(max(int(given), 1), 100_000) if given.isdecimal() else 1


def _live(spool: Spool, filters: Filters, number: int, was_active: bool) -> None:
    @st.fragment(run_every=POLL_S if was_active else IDLE_S)
    def body() -> None:
        now = health.look(state.config(), spool)
        with boxes.told():
            pauses.banner(now.pauses)
            health.warn(now)
            found = job_search.page(spool, filters, number)
            if found.jobs:
                rows = job_rows.rows(spool, found.jobs, may_act=access.may(state.config(), Role.OPERATOR))
                handle(job_table(rows, key="jobs"))
            else:
                _nothing(filters)
            _pager(number, found)
        # Last: a rerun before the table has been asked would throw away a click that came with this run.
        if now.active != was_active:
            st.rerun()

    body()


def _nothing(filters: Filters) -> None:
    if filters == Filters():
        boxes.empty("inbox", "No jobs yet", "Submit the first one with New job, or with python -m portal submit.")
    else:
        boxes.empty("search_off", "No job fits these filters", button="Clear filters", on_click=_clear)


def _clear() -> None:
    st.session_state.update(text="", engine="", owner="", trigger="", days="30", status=[])
    st.query_params.clear()


def _pager(number: int, found: job_search.Found) -> None:
    if found.searched_to:
        st.caption(f"The search stopped at jobs of {found.searched_to}. Choose a shorter period, or filter further; "
                   "the Audit page searches everything.")  # fmt: skip
    if number == 1 and not found.more:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Newer", icon=":material/chevron_left:", disabled=number == 1):
            _turn(number - 1)
        st.markdown(f"Page {number}", width="content")
        if st.button("Older", icon=":material/chevron_right:", icon_position="right", disabled=not found.more):
            _turn(number + 1)


def _turn(number: int) -> None:
    st.query_params["page"] = str(number)
    st.rerun()


def _bulk(spool: Spool, filters: Filters) -> None:
    may_act = access.may(state.config(), Role.OPERATOR)
    if st.button(
        "Cancel all…", icon=":material/stop_circle:", disabled=not may_act, help="Cancel every running and waiting job that fits the filters"
    ):
        _confirm("Cancel", "cancelled", _alive_ids(spool, filters), actions.cancel)
    if st.button(
        "Retry all…", icon=":material/replay:", disabled=not may_act, help="Submit every job again that fits the filters and did not succeed"
    ):
        _confirm("Retry", "submitted again", _failed_ids(spool, filters), actions.retry)

    if st.button(
        "Priority…", icon=":material/low_priority:", disabled=not may_act, help="Change the priority of every waiting job that fits the filters"
    ):
        prioritize(waiting_ids(spool, filters))


def waiting_ids(spool: Spool, filters: Filters) -> list[str]:
    """The waiting jobs that fit."""
    return [job.id for job in job_search.alive(spool, filters) if job.status is Status.QUEUED]


@st.dialog("Priority", icon=":material/low_priority:")
def prioritize(job_ids: list[str]) -> None:
    """Ask for the new priority of these jobs, and give it to them."""
    chosen = job_ids[: actions.MOST_AT_ONCE]
    if not chosen:
        st.write("No job that fits the filters waits.")
        return
    st.write(f"**{count_of(len(chosen), 'waiting job')}** that {'fits' if len(chosen) == 1 else 'fit'} the filters:")
    if len(job_ids) > len(chosen):
        st.caption("There are more; change them in a second go.")
    value = st.selectbox("Priority", PRIORITIES, index=DEFAULT_PRIORITY, format_func=wording.priority, key="bulk-priority")
    if st.button("Change", type="primary", width="stretch"):
        with boxes.told():
            done, problems = actions.many(functools.partial(_with_priority, value), chosen)
            st.success(f"{count_of(done, 'job')} changed.")
            for problem in problems[:20]:
                st.caption(plain(problem))


def _with_priority(value: int, job_id: str) -> Job:
    return actions.priority(job_id, value)


def _alive_ids(spool: Spool, filters: Filters) -> list[str]:
    return [job.id for job in job_search.alive(spool, filters)]


def _failed_ids(spool: Spool, filters: Filters) -> list[str]:
    found = job_search.finished(spool, filters, 0, actions.MOST_AT_ONCE * 2, budget_s=5)
    again = {job.retry_of for job in found.jobs}
    return [job.id for job in found.jobs if job.status is not Status.SUCCEEDED and job.id not in again]


def _confirm(verb: str, outcome: str, job_ids: list[str], action: Callable[[str], Job]) -> None:
    @st.dialog(f"{verb} jobs?", icon=":material/warning:")
    def ask() -> None:
        chosen = job_ids[: actions.MOST_AT_ONCE]
        if not chosen:
            st.write(f"No job that fits the filters can be {outcome}.")
            return
        st.write(f"**{count_of(len(chosen), 'job')}** that fit the filters will be {outcome}.")
        if len(job_ids) > len(chosen):
            st.caption(f"There are more; {verb.lower()} them in a second go.")
        if st.button(f"{verb} {count_of(len(chosen), 'job')}", type="primary", width="stretch"):
            with boxes.told():
                done, problems = actions.many(action, chosen)
                st.success(f"{count_of(done, 'job')} {outcome}.")
                for problem in problems[:20]:
                    st.caption(plain(problem))

    ask()
