"""Deleting at the target what the source no longer has: said before it is asked for, and confirmed by typing the target's URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from portal import catalog
from portal.ui.actions import Order
from portal.ui.wording import count_of, plain

CONFIRM = "confirm_delete"


def deletes(order: Order) -> bool:
    """Whether a job deletes at its target what the source no longer has."""
    return bool(order.params.get("delete_extra")) and not order.dry_run


def most(order: Order) -> int:
    """How many objects the job may delete."""
    defaults = {item.name: item.default for item in catalog.engine(order.engine).fields}
    return int(order.params.get("max_deletes", defaults.get("max_deletes") or 0))


def assumed(order: Order) -> Order:
    """Return the order as it is when it has been confirmed, for showing what it would do."""
    return _with(order, str(order.params.get("target", ""))) if order.params.get("delete_extra") else order


def confirmed(order: Order, key: str) -> Order | None:
    """Ask for the target's URL if the job deletes there; return the order with what was typed, None while it does not fit.

    The engine compares again. A dry run deletes nothing, so nothing is asked; the job that follows it is confirmed by itself.
    """
    if not deletes(order):
        return assumed(order)
    target = str(order.params.get("target", ""))
    st.warning(
        f"What is below {plain(target)} and not at the source is deleted, {count_of(most(order), 'object')} at most. "
        "Were there more, nothing would be done at all. What is deleted comes back only where the store keeps versions or soft deletes.",
        title="This job deletes at the target", icon=":material/delete_forever:",
    )  # fmt: skip
    typed = st.text_input("Type the target's URL to confirm", key=key, placeholder=target, autocomplete="off")
    return _with(order, typed.strip()) if (typed or "").strip() == target else None


def _with(order: Order, typed: str) -> Order:
    params: Mapping[str, Any] = {**order.params, CONFIRM: typed}
    return replace(order, params=params)


def submit_label(order: Order) -> str:
    """What the button says."""
    return f"Submit: delete up to {count_of(most(order), 'object')}" if deletes(order) else "Submit"
