"""New job: choose an engine, look through the source, fill the basket, set the parameters, review, submit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from portal import catalog
from portal.catalog import EngineSpec, FieldSpec
from portal.errors import BadParameters, PortalError
from portal.jobs import ID_PATTERN, Followup
from portal.notifying import wish
from portal.submission import TYPED_LABEL
from portal.ui import (
    access,
    boxes,
    browse,
    conversion_preview,
    credentials,
    drafts,
    engine_form,
    forms,
    health,
    listing,
    mirror,
    notify_option,
    places,
    review,
    state,
    wording,
)
from portal.ui.accounts import Role
from portal.ui.actions import Order
from portal.ui.drafts import Draft
from portal.ui.places import Place
from portal.ui.wording import count_of, plain

_FIRST = ("migrate", "verify", "convert", "list", "audit_export", "generate")
_PRIORITIES = {0: "0, most urgent", 5: "5, normal", 9: "9, least urgent"}
_EXPORT = "audit_export"


def show() -> None:
    config = state.config()
    _take_over()
    draft = drafts.current()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("New job", width="content")
        st.space("stretch")
        st.button("Start over", type="tertiary", icon=":material/restart_alt:", on_click=_start_over)
    if not access.may(config, Role.OPERATOR):
        boxes.empty("lock", "You can look, but not submit", "Submitting jobs takes the role operator. Ask an admin for it.")
        return
    health.warn(health.look(config, state.spool()))
    spec = _engine(draft)
    if spec is None:
        return
    if draft.parent:
        st.info(f"Filled in from job `{draft.parent}`. It will be a new job.", icon=":material/content_copy:")
    if any(item.name == "source" and item.kind == "url" for item in spec.fields):
        left, right = st.columns([2, 1.15], gap="large")
        with left:
            given = _source(draft, spec)
    else:
        right, given = st.columns([1.6, 1])[0], {}
    with right, st.container(border=True):
        _parameters(draft, spec, given)


def _start_over() -> None:
    drafts.start()
    listing.forget()


def _take_over() -> None:
    """Fill the form from the job that the address names, once."""
    wanted = str(st.query_params.get("from", ""))
    if not wanted or st.session_state.get("_taken") == wanted:
        return
    job = state.spool().find(wanted) if ID_PATTERN.fullmatch(wanted) else None
    if job is None:
        st.warning("The job to copy is not there.", icon=":material/search_off:")
        return
    st.session_state["_taken"] = wanted
    drafts.from_job(job, job.labels.get(TYPED_LABEL, ""))
    del st.query_params["from"]


def _engine(draft: Draft) -> EngineSpec | None:
    offered = [name for name in catalog.names() if name != wish.ENGINE or draft.engine == name]  # it follows others, as their form offers
    names = sorted(offered, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    wanted = draft.engine or str(st.query_params.get("engine", "")) or names[0]
    chosen = st.segmented_control(
        "Engine", names, default=wanted if wanted in names else names[0], required=True, key=f"{draft.id}.engine", label_visibility="collapsed",
        format_func=lambda name: name.replace("_", " ").capitalize(), persist_state="session",
    )  # fmt: skip
    try:
        spec = catalog.engine(chosen or names[0])
    except PortalError as problem:
        boxes.error(problem)
        return None
    st.caption(plain(spec.summary))
    return spec


def _source(draft: Draft, spec: EngineSpec) -> dict[str, Any]:
    """Show the source; return the parameters it gives: source, its connection, and the chosen keys."""
    item = _field(spec, "source")
    connection_field = "source_connection"
    place = places.choose(draft, item, connection_field, places.kinds(spec.name, item.name))
    if place is None or place.base is None:
        boxes.empty("cloud", "Choose where the data is", "The store, the connection and the bucket, container or folder.", height=320)
        return {"source": None}
    url = browse.panel(draft, place, place.base, item.name, selectable=_takes_keys(spec))
    given: dict[str, Any] = {"source": str(url), connection_field: place.connection_name}
    if _takes_keys(spec):
        basket = _basket(draft, place)
        if basket:
            inside = all(key.startswith(url.key) for key in basket)
            given |= {"keys": list(basket), "source": str(url if inside else place.base)}
    return given


def _takes_keys(spec: EngineSpec) -> bool:
    return any(item.name == "keys" and item.kind == "list" for item in spec.fields)


def _basket(draft: Draft, place: Place) -> dict[str, int]:
    basket = draft.baskets.setdefault(str(place.base), {})
    if not basket and not draft.baskets.get("taken") and draft.values.get("keys"):
        basket.update(dict.fromkeys(map(str, draft.values["keys"]), 0))
        draft.baskets["taken"] = {"": 1}
    return basket


def _parameters(draft: Draft, spec: EngineSpec, given: dict[str, Any]) -> None:
    _chosen(draft, spec, given)
    specs = [item for item in spec.fields if item.name not in ("source", "source_connection", "keys", mirror.CONFIRM)]
    prefix = f"{draft.id}.{spec.name}"
    engine_form.show(draft, spec, specs, given, prefix)
    given |= {mirror.CONFIRM: None}  # what confirmed an earlier job confirms no other: it is asked for before this one is submitted
    _options(draft, spec, given, prefix)


def _chosen(draft: Draft, spec: EngineSpec, given: dict[str, Any]) -> None:
    st.subheader("What to do")
    if "source" not in given or given["source"] is None:
        return
    keys = given.get("keys")
    if keys:
        basket = next((items for items in draft.baskets.values() if keys[0] in items), {})
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/shopping_basket: **{count_of(len(keys), 'object')}** · {wording.size(sum(basket.values()))}", width="content")
            st.space("stretch")
            st.button("Empty the basket", type="tertiary", on_click=basket.clear)
        with st.expander("What is in the basket"):
            st.dataframe({"Object": list(basket), "Size": list(basket.values())}, hide_index=True, row_height=28, height=220, alt="Basket",
                         column_config={"Size": st.column_config.NumberColumn(format="bytes", width="small")})  # fmt: skip
    elif _takes_keys(spec):
        st.caption(f"Nothing is chosen, so it takes everything below {plain(given['source'])} that the parameters let through.")
    else:
        st.caption(f"It takes what is below {plain(given['source'])}.")


def _options(draft: Draft, spec: EngineSpec, given: dict[str, Any], prefix: str) -> None:
    with st.expander("Name, priority, dry run", icon=":material/settings:"):
        name = st.text_input(
            "Job name", draft.name, key=f"{prefix}.name", placeholder="for people: what this job is", max_chars=80, persist_state="session"
        )
        priority = st.select_slider(
            "Priority", list(range(10)), 5, key=f"{prefix}.priority", format_func=lambda n: _PRIORITIES.get(n, str(n)), persist_state="session"
        )
        dry_run = st.toggle("Dry run: make the plan, change nothing", key=f"{prefix}.dry", persist_state="session")
    wishes, others = wish.parted(draft.then)
    told = notify_option.show(wishes, prefix) if spec.name != wish.ENGINE else []
    then = (*_followups(others, spec, prefix), *(item for one in told for item in one.followups()))
    wants_preview = conversion_preview.is_for(spec, given) and st.button(
        "Preview", width="stretch", key=f"{prefix}.preview", icon=":material/preview:",
        help="Types and why, first rows, warnings, and what would not fit: by samples, before anything is written",
    )  # fmt: skip
    wants_review = st.button("Review and submit", type="primary", width="stretch", key=f"{prefix}.review", icon=":material/rocket_launch:")
    if not (wants_preview or wants_review):
        return
    try:
        params = forms.parameters(spec.fields, {**_hidden(draft, spec, given), **given})
    except BadParameters as problem:
        boxes.error(problem)
        return
    if wants_preview:
        conversion_preview.dialog(draft, spec, params)
        return
    typed = credentials.used(draft, params)
    order = Order(
        spec.name, params, key=f"form-{draft.id}", name=(name or "").strip(), priority=priority, then=then, typed=typed, parent=draft.parent,
        retry_of=draft.retry_of, dry_run=dry_run,
    )  # fmt: skip
    review.dialog(order)


def _hidden(draft: Draft, spec: EngineSpec, given: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the earlier job that this form shows nowhere."""
    return {
        item.name: draft.values[item.name] for item in spec.fields if item.name in draft.values and item.name not in given and item.name != "keys"
    }


def _followups(before: Sequence[Followup], spec: EngineSpec, prefix: str) -> Sequence[Followup]:
    if before:
        names = ", ".join(item.engine for item in before)
        return before if st.checkbox(f"Then, as before: {plain(names)}", True, key=f"{prefix}.then", persist_state="session") else ()
    if spec.name == _EXPORT or _EXPORT not in catalog.names():
        return ()
    wanted = st.checkbox(
        "Then export the audit rows to Snowflake", key=f"{prefix}.then", help="A second job, when this one has succeeded", persist_state="session"
    )
    return (Followup(_EXPORT),) if wanted else ()


def _field(spec: EngineSpec, name: str) -> FieldSpec:
    return next(item for item in spec.fields if item.name == name)
