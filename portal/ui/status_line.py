"""The state of one job in words and colour, for a page of its own."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from portal.jobs import Status
from portal.ui.wording import STATUS_WORDS

Colour = Literal["red", "orange", "blue", "green", "gray"]

_LOOK: dict[Status, tuple[Colour, str]] = {
    Status.QUEUED: ("gray", "schedule"), Status.RUNNING: ("blue", "progress_activity"), Status.SUCCEEDED: ("green", "check_circle"),
    Status.PARTIAL: ("orange", "contrast"),
    Status.FAILED: ("red", "error"), Status.CANCELLED: ("gray", "block"), Status.REJECTED: ("red", "do_not_disturb_on"),
}  # fmt: skip


def badge(status: Status, *, cancelling: bool = False) -> None:
    """Show a state: word, colour and shape."""
    colour, icon = _LOOK[status]
    st.badge("Cancel requested" if cancelling else STATUS_WORDS[status], color=colour, icon=f":material/{icon}:")
