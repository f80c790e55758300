"""Who is told of a job, as a part of a form: connections that lead to people, and for each what they are told of."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from portal.connections import Connections
from portal.errors import PortalError
from portal.notifying.wish import EVENTS, MEANINGS, USUAL, Wish
from portal.ui import boxes, state
from portal.ui.wording import plain

_WORDS = {
    "failed": "Failed", "partial": "Partial", "succeeded": "Succeeded", "cancelled": "Cancelled", "slower": "Slower than usual", "ended": "Any end",
}  # fmt: skip
_MEANT = " · ".join(f"{_WORDS[event]}: {MEANINGS[event]}" for event in EVENTS)


def show(wishes: Sequence[Wish], key: str) -> list[Wish]:
    """Show the choice and return what was chosen.

    Args:
        wishes: chosen before; those of connections that there are no more are left out.
        key: that of the form; the widgets' keys begin with it.
    """
    before = {wish.connection: wish.events for wish in wishes}
    with st.expander("Notifications", icon=":material/notifications:", expanded=bool(before)):
        try:
            channels = Connections.load(state.config()).channels()
        except PortalError as problem:
            boxes.error(problem)
            return list(wishes)
        if not channels:
            st.caption("Nobody can be told yet: it takes a connection of kind `webhook` or `smtp` in `connections.toml`.")
            return []
        chosen = st.multiselect(
            "Tell", channels, [name for name in before if name in channels], key=f"{key}.tell", placeholder="nobody", persist_state="session",
            help="Connections of kind webhook or smtp",
        )  # fmt: skip
        return [wish for name in chosen if (wish := _events(name, before.get(name, USUAL), key))]


def _events(name: str, before: Sequence[str], key: str) -> Wish | None:
    given = st.pills(
        f"{plain(name)} is told of these", list(EVENTS), selection_mode="multi", default=list(before), key=f"{key}.tell.{name}",
        format_func=lambda event: _WORDS[event], help=_MEANT, persist_state="session",
    )  # fmt: skip
    return Wish.of(name, given) if given else None


def channel(label: str, value: str, key: str, help_text: str) -> str:
    """Show the connections that lead to people and return the name chosen, '' while none is."""
    names = Connections.load(state.config()).channels()
    place = names.index(value) if value in names else None
    return st.selectbox(label, names, place, key=key, placeholder="none chosen", help=help_text, persist_state="session") or ""


def line(wish: Wish) -> str:
    """Return a wish as a line of Markdown."""
    return f":material/notifications: Tells **{plain(wish.connection)}** when {', or '.join(MEANINGS[event] for event in wish.events)}"
