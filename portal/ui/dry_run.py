"""What a dry run found: what would be done, what is in the way, how long it would take and what it would cost; and the button that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from portal.jobs import Job, Status
from portal.submission import TYPED_LABEL
from portal.ui import access, actions, boxes, conversion_view, mirror, state, wording
from portal.ui.accounts import Role
from portal.ui.actions import Order
from portal.ui.wording import count_of, plain

_WORDS = {
    "copy": ("Copy", "content_copy"), "convert": ("Convert", "transform"), "replace": ("Replace", "published_with_changes"),
    "unchanged": ("Unchanged", "check"), "skip": ("Skip: exists", "skip_next"), "exclude": ("Leave out", "filter_alt_off"),
    "fail": ("Cannot be copied", "block"), "extra": ("Only at the target", "question_mark"), "delete": ("Delete at the target", "delete"),
}  # fmt: skip


def show(job: Job, found: Mapping[str, Any]) -> None:
    """Show the plan of a dry run, and a button that submits the same job for good."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("What it would do", width="content")
        st.space("stretch")
        _run_it(job)
    _actions(found.get("actions") or {})
    _in_the_way(found)
    _deletions(found.get("deletions") or {})
    conversion_view.previews(found.get("previews") or ())
    _estimate(found)
    _table("Renamed, because the target cannot hold the name", found.get("renames"))
    _table("The first objects", [{name: row[name] for name in ("source", "target", "bytes") if name in row} for row in found.get("sample") or ()])


def _actions(sums: Mapping[str, Mapping[str, int]]) -> None:
    with st.container(horizontal=True):
        for name in dict.fromkeys((*_WORDS, *sums)):
            sum_ = sums.get(name) or {}
            if not sum_.get("objects") and (name != "copy" or "convert" in sums):
                continue
            word, icon = _WORDS.get(name, (name.replace("_", " ").capitalize(), "chevron_right"))
            size = wording.size(sum_["bytes"]) if sum_.get("bytes") else None
            st.metric(word, f"{sum_.get('objects', 0):,}", size, border=True, icon=f":material/{icon}:", delta_color="off", delta_arrow="off",
                      height="stretch")  # fmt: skip


def _in_the_way(found: Mapping[str, Any]) -> None:
    """What would stop the job before the first byte."""
    lines = [*(found.get("conflicts") or ()), *(f"{url} exists already" for url in found.get("occupied") or ())]
    if lines:
        shown = "\n".join(f"- {plain(' '.join(str(line).split()))}" for line in lines[:20])
        st.warning(shown, title=f"{count_of(len(lines), 'thing')} in the way", icon=":material/front_hand:")


def _deletions(found: Mapping[str, Any]) -> None:
    if not found.get("objects"):
        return
    st.warning(
        "\n".join(f"- {plain(key)}" for key in (found.get("sample") or ())[:20]) or "The plan names each.",
        title=f"It would delete {count_of(found['objects'], 'object')} at the target", icon=":material/delete_forever:",
    )  # fmt: skip


def _estimate(found: Mapping[str, Any]) -> None:
    cost: Mapping[str, Any] = found.get("cost") or {}
    if "time_s" not in found and not cost:
        return
    st.subheader("Time and cost")
    with st.container(horizontal=True):
        if "time_s" in found:
            st.metric("About", wording.duration(found["time_s"]) if found["time_s"] >= 1 else "under 1 s", border=True, width=200)
        if "total" in cost:
            total = f"{cost['total']:,.2f}" if cost["total"] >= 0.01 else "under 0.01"
            st.metric("Cost", f"{total} {cost.get('currency', '')}", border=True, width=200)
    _table("", cost.get("lines"))
    for line in found.get("assumptions") or ():
        st.caption(f":material/info: {plain(line)}")


def _table(title: str, rows: Any) -> None:
    if not isinstance(rows, Sequence) or not rows:
        return
    if title:
        st.markdown(f"**{title}**")
    titles: dict[str, Any] = {str(name): str(name).replace("_", " ").capitalize() for row in rows for name in row}
    titles |= {"bytes": st.column_config.NumberColumn("Size", format="bytes"), "cost": st.column_config.NumberColumn("Cost", format="%.6f")}
    height = min(400, 42 + 30 * len(rows))
    st.dataframe(list(rows), hide_index=True, row_height=30, height=height, alt=title or "Cost", placeholder="", column_config=titles)


def _run_it(job: Job) -> None:
    may_act = access.may(state.config(), Role.OPERATOR)
    in_the_way = job.status is not Status.SUCCEEDED
    told = "It would stop before the first byte: see what is in the way" if in_the_way else "The same job, and not as a dry run"
    if not st.button("Run it now", type="primary", icon=":material/rocket_launch:", disabled=in_the_way or not may_act, help=told):
        return
    if job.labels.get(TYPED_LABEL):
        state.go("new", **{"from": job.id})  # the credentials that were typed in are kept nowhere: the form asks for them again
    order = for_good(job)
    if mirror.deletes(order):
        _confirm(order)
    else:
        _submit(order)


def for_good(job: Job) -> Order:
    """The order that does what a dry run planned; however often it is submitted it is one job."""
    params = {name: value for name, value in job.params.items() if name != mirror.CONFIRM}  # a dry run was confirmed by nobody
    return Order(
        job.engine, params, key=f"dry-run-{job.id}", name=job.labels.get("name", ""), priority=job.priority, then=job.then, parent=job.id,
        max_attempts=job.max_attempts, timeout_s=job.timeout_s,
    )  # fmt: skip


def _submit(order: Order) -> None:
    with boxes.told():
        done = actions.submit(order)
        state.go("job", id=done.id)


@st.dialog("Run it now?", width="large", icon=":material/rocket_launch:")
def _confirm(order: Order) -> None:
    typed = mirror.confirmed(order, f"{order.key}.confirm")
    if st.button(mirror.submit_label(order), type="primary", width="stretch", disabled=typed is None, key=f"{order.key}.submit") and typed:
        _submit(typed)
