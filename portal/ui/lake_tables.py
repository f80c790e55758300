"""Choosing tables on the page of the lakehouse: catalog, database, filter, and what is where. Tables are chosen by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import streamlit as st

from portal.errors import PortalError
from portal.lake.chain import Step
from portal.lake.table_name import TableName
from portal.ui import boxes, lake_listing, lake_rows, listing
from portal.ui.components.object_table import table_table
from portal.ui.lake_choice import MOST_TABLES, Choice
from portal.ui.lake_rows import Elsewhere
from portal.ui.wording import count_of, plain

PAGE_SIZE = 100
_LOOK_S = 0.5
_PATTERNS = "`python -m portal lake chain 'sales.*'`"


def catalog(choice: Choice, names: Sequence[str]) -> str:
    """Show the catalogs; return the name of the connection chosen, '' for the default."""
    chosen = st.selectbox(
        "Catalog", names, key=f"{choice.id}.catalog", format_func=lambda name: name or "default", persist_state="session",
        help="A connection of kind catalog: a Hive Metastore, or an Iceberg catalog",
    )  # fmt: skip
    return str(chosen or "")


def show(choice: Choice, connection: str, steps: Sequence[Step], given: Mapping[Step, Mapping[str, Any]]) -> None:
    """Show the tables of a database to tick."""
    databases = _told(lambda: lake_listing.databases(connection))
    if databases is None:
        return
    columns = st.columns([1.2, 2], vertical_alignment="bottom")
    with columns[0]:
        database = _database(choice, connection, databases)
    text = columns[1].text_input("Filter tables", key=f"{choice.id}.filter", type="search", live=True, placeholder="name contains…")
    if database is None:
        boxes.empty("database", "Choose a database", "Its tables are listed here, live from the catalog.")
        return
    found = _told(lambda: lake_listing.names(connection, database))
    if found is None:
        return
    fitting = [name for name in found if (text or "").strip().casefold() in name.table.casefold()]
    _page(choice, connection, database, fitting, len(found), steps, given)


def _database(choice: Choice, connection: str, found: Sequence[str]) -> str | None:
    key = f"{choice.id}.database.{connection}"
    index = 0 if len(found) == 1 else None
    hint = f"{count_of(len(found), 'database')}: choose one"
    chosen = st.selectbox("Database", found, index=index, key=key, placeholder=hint, persist_state="session")
    return str(chosen) if chosen else None


def _told(ask: Any) -> Any:
    try:
        return ask()
    except PortalError as problem:
        boxes.error(problem)
        if st.button("Try again", icon=":material/refresh:"):
            listing.forget()
            st.rerun()
        return None


def _page(
    choice: Choice, connection: str, database: str, fitting: list[TableName], count: int, steps: Sequence[Step],
    given: Mapping[Step, Mapping[str, Any]],
) -> None:  # fmt: skip
    if not fitting:
        boxes.empty("search_off" if count else "table_rows", "No table fits" if count else f"{plain(database)} has no tables", height=180)
        return
    key, basket = f"{choice.id}.page", choice.basket(connection)
    pages = -(-len(fitting) // PAGE_SIZE)
    page = min(st.session_state.get(key, 1), pages)
    shown = fitting[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    listed = _told(lambda: lake_listing.described(connection, shown))
    if listed is None:
        return
    looking = lake_listing.elsewhere(connection, listed, {step: given[step] for step in steps if step in given})
    elsewhere = looking.result() if looking.done() else Elsewhere()
    takes_iceberg = not steps or steps[0] is not Step.INGEST
    free = [str(item.name) for item in listed if lake_rows.takes(item, takes_iceberg)]
    of = f" of {count:,}" if len(fitting) != count else ""
    st.caption(count_of(len(fitting), "table") + of + (_why_locked(len(listed) - len(free), takes_iceberg) if steps else ""))
    table_table(
        lake_rows.rows(listed, basket, elsewhere, takes_iceberg=takes_iceberg), selectable=bool(steps), place=f"{connection}.{database}.{page}",
        key=f"{choice.id}.tables", on_tick=partial(_ticked, basket, set(free)),
    )  # fmt: skip
    if not looking.done():
        _await(looking)
    for line in elsewhere.told:
        st.caption(f":material/help: {plain(line)}")
    _foot(key, basket, free if pages == 1 else [str(name) for name in fitting], page, pages)
    if len(basket) >= MOST_TABLES:
        st.caption(f":material/production_quantity_limits: The basket is full: it takes {MOST_TABLES:,} tables. More go by a pattern: {_PATTERNS}.")


def _await(looking: Future[Elsewhere]) -> None:
    """Show the page anew when it is known where else the tables are."""

    @st.fragment(run_every=_LOOK_S)
    def body() -> None:
        st.caption(":material/travel_explore: Looking where else they are…")
        if looking.done():
            st.rerun()

    body()


def _why_locked(count: int, takes_iceberg: bool) -> str:
    if not count:
        return ""
    return f" · {count:,} cannot be ticked: " + ("they are no Iceberg tables" if takes_iceberg else "they are no tables of Hive on files")


def _ticked(basket: dict[str, None], free: set[str], added: tuple[str, ...], dropped: tuple[str, ...]) -> None:
    basket.update(dict.fromkeys([name for name in added if name in free][: max(0, MOST_TABLES - len(basket))]))
    for name in dropped:
        basket.pop(name, None)


def _foot(key: str, basket: dict[str, None], names: list[str], page: int, pages: int) -> None:
    """`names`: what can be ticked. What of other pages can be is not known: they are not looked at."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Select all {len(names):,}", key=f"{key}.all", on_click=_all, args=(basket, names), disabled=not names,
            help="Every table that fits the filter, on all pages; what cannot be done is told of each" if pages > 1 else None,
        )  # fmt: skip
        st.button("Refresh", key=f"{key}.refresh", type="tertiary", icon=":material/refresh:", on_click=listing.forget)
        st.space("stretch")
        if pages > 1:
            st.button("Previous", key=f"{key}.back", icon=":material/chevron_left:", disabled=page == 1, on_click=_turn, args=(key, page - 1))
            st.markdown(f"Page {page} of {pages}", width="content")
            st.button(
                "Next", key=f"{key}.on", icon=":material/chevron_right:", icon_position="right", disabled=page == pages, on_click=_turn,
                args=(key, page + 1),
            )  # fmt: skip


def _all(basket: dict[str, None], names: list[str]) -> None:
    basket.update(dict.fromkeys([name for name in names if name not in basket][: max(0, MOST_TABLES - len(basket))]))


def _turn(key: str, page: int) -> None:
    st.session_state[key] = page
