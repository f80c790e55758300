"""Lakehouse: tables picked from a catalog, where each of them is, and chains that take them from Hive to Snowflake."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from portal.errors import PortalError
from portal.lake import packages
from portal.ui import access, boxes, health, lake_chains, lake_choice, lake_listing, lake_steps, lake_tables, listing, state
from portal.ui.accounts import Role
from portal.ui.lake_choice import Choice

_NOT_INSTALLED = "They are an extra: pip install -r requirements-lake.txt, then restart launcher and worker."
_NOT_CONFIGURED = "Set HIVE_METASTORE_URI=thrift://HOST:9083 in .env, or add a connection of kind catalog to connections.toml."


def show() -> None:
    spool = state.spool()
    if mark := str(st.query_params.get("chain", "")).strip():
        lake_chains.one(spool, mark)
        return
    choice = lake_choice.current(spool)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Lakehouse", width="content")
        st.space("stretch")
        st.button("Start over", type="tertiary", icon=":material/restart_alt:", on_click=_start_over)
    if access.may(state.config(), Role.OPERATOR):
        health.warn(health.look(state.config(), spool))
    below = None
    with boxes.told():
        below = _choosing(choice)
    with below or st.container():
        st.subheader("Chains")
        lake_chains.latest(spool)


def _start_over() -> None:
    lake_choice.start()
    listing.forget()


def _choosing(choice: Choice) -> DeltaGenerator | None:
    """Show the tables and what to do with them; return the place below the tables, when there are any."""
    if not packages.there():
        boxes.empty("extension", "The packages of the lakehouse are not installed", _NOT_INSTALLED)
        return None
    try:
        names = lake_listing.configured(lake_listing.connections())
    except PortalError as problem:
        boxes.error(problem)
        return None
    if not names:
        boxes.empty("cable", "No catalog is configured", _NOT_CONFIGURED)
        return None
    left, right = st.columns([2, 1.1], gap="large")
    with right, st.container(border=True):
        st.subheader("What to do")
        may_act = access.may(state.config(), Role.OPERATOR)
        steps = lake_steps.choose(choice) if may_act else []
        panel = st.container()
    with left:
        connection = lake_tables.catalog(choice, names)
    with panel:
        if may_act:
            lake_steps.show(choice, steps, connection)
        else:
            st.caption("You can look, but not start a chain: that takes the role operator.")
    with left:
        tables, below = st.container(), st.container()
    with tables, boxes.told():
        lake_tables.show(choice, connection, steps, choice.given)
    return below
