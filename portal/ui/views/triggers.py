"""Triggers: what makes jobs by itself: all of them, one with its history, and the form that makes and changes them."""

from __future__ import annotations

import streamlit as st

from portal.errors import PortalError, explain
from portal.spool import Spool
from portal.triggers import book
from portal.triggers.trigger import NAME_PATTERN
from portal.ui import access, boxes, state, trigger_actions, trigger_form, trigger_rows, trigger_words
from portal.ui.accounts import Role
from portal.ui.components.trigger_table import Click, trigger_table
from portal.ui.trigger_rows import PAGE_SIZE, Filters
from portal.ui.views import trigger
from portal.ui.wording import count_of, plain

POLL_S = 3
_MOST_DAMAGED = 5


def show() -> None:
    asked = {name: str(st.query_params.get(name, "")).strip() for name in ("name", "edit", "new")}
    if asked["new"] or asked["edit"]:
        _form(asked["edit"])
    elif asked["name"]:
        _one(asked["name"])
    else:
        _all()


def _all() -> None:
    config, spool = state.config(), state.spool()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Triggers", width="content")
        st.space("stretch")
        if access.may(config, Role.OPERATOR) and st.button("New trigger", type="primary", icon=":material/add:"):
            state.go("triggers", new="yes")
    if not book.names(spool.layout):
        _live(spool, Filters(), 1)
        return
    filters = _filters()
    number = str(st.query_params.get("page", "1"))
    _live(spool, filters, min(max(int(number), 1), 100_000) if number.isdecimal() else 1)


def _filters() -> Filters:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Search", type="search", key="text", bind="query-params", placeholder="name, folder, queue, engine…", width=300)
        kinds = st.pills(
            "Kind", list(trigger_words.KINDS), selection_mode="multi", format_func=trigger_words.KINDS.__getitem__, key="kind", bind="query-params"
        )
        standings = st.pills(
            "State", list(trigger_words.STANDINGS), selection_mode="multi", format_func=trigger_words.STANDINGS.__getitem__, key="state",
            bind="query-params",
        )  # fmt: skip
    return Filters((text or "").strip(), tuple(kinds or ()), tuple(standings or ()))


def _live(spool: Spool, filters: Filters, number: int) -> None:
    @st.fragment(run_every=POLL_S)
    def body() -> None:
        with boxes.told():
            look = trigger_rows.look(spool.layout)
            if look.active:
                trigger.warn(spool)
            _damaged(look)
            found = trigger_rows.fitting(look.known, filters)
            shown = found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
            if shown:
                rows = trigger_rows.rows(spool.layout, shown, may_act=access.may(state.config(), Role.OPERATOR))
                handle(trigger_table(rows, key="triggers"))
            else:
                _nothing(filters)
            _pager(number, len(found))

    body()


def _damaged(look: trigger_rows.Look) -> None:
    for name, why in list(look.damaged.items())[:_MOST_DAMAGED]:
        st.error(plain(why), title=plain(f"The trigger {name} cannot be read"), icon=":material/broken_image:")
    if (more := len(look.damaged) - _MOST_DAMAGED) > 0:
        st.error(f"{count_of(more, 'more trigger')} cannot be read: `python -m portal triggers` tells which.", icon=":material/broken_image:")


def _nothing(filters: Filters) -> None:
    if filters == Filters():
        told = "A schedule, a watched folder or an SQS queue makes jobs by itself: New trigger, or python -m portal triggers add."
        boxes.empty("bolt", "No triggers yet", told)
    else:
        boxes.empty("search_off", "No trigger fits these filters", button="Clear filters", on_click=_clear)


def _clear() -> None:
    st.session_state.update(text="", kind=[], state=[])
    st.query_params.clear()


def _pager(number: int, count: int) -> None:
    if count <= PAGE_SIZE:
        return
    last = -(-count // PAGE_SIZE)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Back", icon=":material/chevron_left:", disabled=number == 1):
            _turn(number - 1)
        st.markdown(f"Page {number} of {last} · {count_of(count, 'trigger')}", width="content")
        if st.button("Next", icon=":material/chevron_right:", icon_position="right", disabled=number >= last):
            _turn(number + 1)


def _turn(number: int) -> None:
    st.query_params["page"] = str(number)
    st.rerun()


def handle(clicked: Click | None) -> None:
    """Do what was clicked in the table."""
    if not clicked:
        return
    verb, name = clicked
    if verb == "open":
        state.go("triggers", name=name)
    if verb == "job":
        state.go("job", id=name)
    if verb == "pause":
        trigger.ask_why(name)
        return
    try:
        if verb == "run":
            trigger_actions.run_now(name)
            st.toast(f"{name} was asked to run now.", icon=":material/play_arrow:")
        elif verb == "resume":
            trigger_actions.resume(name)
            st.toast(f"{name} makes jobs again.", icon=":material/play_arrow:")
    except PortalError as problem:
        st.toast(plain(explain(problem)), icon=":material/error:", duration="long")
    else:
        st.rerun()


def _one(name: str) -> None:
    _back("All triggers")
    if not NAME_PATTERN.fullmatch(name) or name not in book.names(state.spool().layout):
        _missing()
        return
    try:
        found = book.load(state.spool().layout, name)
    except PortalError as problem:
        st.title(plain(name))
        boxes.error(problem)
        if st.button("Remove…", icon=":material/delete:", disabled=not access.may(state.config(), Role.OPERATOR)):
            trigger.ask_removal(name)
        return
    trigger.show(found)


def _back(label: str, **query: str) -> None:
    """A way to another view of this page. Not a page link: that does not change the address when it leads to the page it stands on."""
    if st.button(label, icon=":material/arrow_back:", type="tertiary", key="back"):
        state.go("triggers", **query)


def _missing() -> None:
    st.title("Trigger not found")
    boxes.empty("search_off", "There is no trigger of this name", "Check the link; it may have been removed.")


def _form(name: str) -> None:
    _back("Back to the trigger", name=name) if name else _back("All triggers")
    if not access.may(state.config(), Role.OPERATOR):
        boxes.empty("lock", "You can look, but not change", "Changing triggers takes the role operator. Ask an admin for it.")
    elif name and (not NAME_PATTERN.fullmatch(name) or name not in book.names(state.spool().layout)):
        _missing()
    else:
        st.title(f"Edit {plain(name)}" if name else "New trigger")
        trigger_form.show(book.load(state.spool().layout, name) if name else None)
