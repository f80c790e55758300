"""The steps of a chain on the page of the lakehouse: which ones, their parameters, and the one job that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from portal import catalog
from portal.errors import BadParameters, PortalError
from portal.lake.chain import STEPS, WORDS, Chained, Step, chained
from portal.ui import actions, boxes, engine_form, forms, lake_choice, listing, review, state
from portal.ui.actions import Order
from portal.ui.lake_choice import Choice
from portal.ui.wording import count_of, plain

_FROM_THE_CHAIN = ("tables", "catalog")
_ICONS: Mapping[Step, str] = {Step.INGEST: "ac_unit", Step.MIGRATE: "cloud_upload", Step.REGISTER: "database"}
_SHOWN_TABLES = 50


def available() -> list[Step]:
    """The steps whose engines are there."""
    known = catalog.names()
    return [step for step in STEPS if step.value in known]


def choose(choice: Choice) -> list[Step]:
    """Show which steps there are; return those chosen, in order."""
    steps = available()
    chosen = st.pills(
        "Steps", steps, selection_mode="multi", default=steps, format_func=lambda step: f":material/{_ICONS[step]}: {WORDS[step]}",
        key=f"{choice.id}.steps", persist_state="session",
    )  # fmt: skip
    return [step for step in steps if step in (chosen or ())]


def show(choice: Choice, steps: Sequence[Step], connection: str) -> None:
    """Show the chosen tables, the parameters of the steps and the button that starts them. `connection` leads to the tables' catalog."""
    basket = choice.basket(connection)
    _basket(basket, choice)
    for step in steps:
        spec = catalog.engine(step.value)
        fields = [item for item in spec.fields if item.name not in _FROM_THE_CHAIN]
        with st.expander(WORDS[step], expanded=step is Step.MIGRATE, icon=f":material/{_ICONS[step]}:"):
            given: dict[str, Any] = {}
            engine_form.show(choice.draft(step), spec, fields, given, f"{choice.id}.{step}")
            choice.given[step] = given
    name = st.text_input(
        "Name of the chain", key=f"{choice.id}.name", max_chars=60, placeholder="for people: what this chain is", persist_state="session"
    )
    if st.button("Review and start", type="primary", width="stretch", icon=":material/rocket_launch:", disabled=not (basket and steps)):
        try:
            order = ordered(choice, steps, connection, (name or "").strip())
        except PortalError as problem:
            boxes.error(problem)
            return
        dialog(order, list(steps))


def _basket(basket: dict[str, None], choice: Choice) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/shopping_basket: **{count_of(len(basket), 'table')}** chosen", width="content")
        st.space("stretch")
        if basket:
            st.button("Empty the basket", type="tertiary", on_click=basket.clear)
    if basket:
        with st.expander("What is in the basket"):
            shown = list(basket)[:_SHOWN_TABLES]
            st.markdown("  \n".join(map(plain, shown)) + (f"  \nand {len(basket) - len(shown):,} more" if len(basket) > len(shown) else ""))


def parameters(step: Step, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the form of a step holds, as parameters. Raises BadParameters."""
    fields = [item for item in catalog.engine(step.value).fields if item.name not in _FROM_THE_CHAIN]
    return forms.parameters(fields, given)


def ordered(choice: Choice, steps: Sequence[Step], connection: str, name: str) -> Order:
    """Make the chain's one job. Raises BadParameters."""
    basket = list(choice.basket(connection))
    if not basket:
        raise BadParameters("No table is chosen.", hint="Tick the tables on the left.")
    params = {step: parameters(step, choice.given.get(step, {})) for step in steps}
    first = next(step for step in STEPS if step in params)
    params[first] |= {"tables": basket, **({"catalog": connection} if connection else {})}
    made: Chained = chained(params, name=name)
    return Order(made.engine, made.params, key=f"chain-{choice.id}", then=made.then, labels=made.labels)


@st.dialog("Start this chain?", width="large", icon=":material/rocket_launch:")
def dialog(order: Order, steps: list[Step]) -> None:
    """Show the chain and start it on a click; however often it is clicked, it is one chain."""
    try:
        job = actions.prepared(order)
    except PortalError as problem:
        boxes.error(problem)
        return
    st.markdown(f"**{count_of(len(job.params['tables']), 'table')}**: " + " → ".join(plain(WORDS[step]) for step in steps))
    st.caption("Each step begins when the one before has ended, with the tables that arrived in it. A table that fails holds up none of the others.")
    for line in review.summary(job, {}):
        st.markdown(line)
    with st.expander("As JSON", icon=":material/data_object:"):
        st.code(review.as_json(job), language="json", height=320)
    if st.button("Start", type="primary", width="stretch", icon=":material/rocket_launch:", key=f"{order.key}.start"):
        with boxes.told():
            done = actions.submit(order)
            lake_choice.start()
            listing.forget()
            state.go("lakehouse", chain=done.id)
