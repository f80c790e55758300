"""Which objects of a ledger are shown: chosen with widgets, kept in the address, set by a click on a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from portal.ledger.kinds import Chosen, Sums
from portal.ledger.remedies import remedy
from portal.ledger.view import View
from portal.ui import proofs

_TAB, _TEXT, _NAMES = "tab", "object", ("outcome", "proof", "mode", "cause")
_TITLES = {"outcome": "Outcome", "proof": "Proof", "mode": "How", "cause": "Cause"}
_WORDS: Mapping[str, Callable[[str], str]] = {
    "outcome": str.capitalize, "proof": lambda name: proofs.level(name).word, "mode": lambda name: proofs.mode(name).word,
    "cause": lambda name: remedy(name).title,
}  # fmt: skip


def show(view: View) -> Chosen:
    """Show the filters, each value with its number of objects; return what is chosen."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Find", type="search", key=_TEXT, bind="query-params", placeholder="part of a name or a reason…", width=260)
        chosen = {name: _one_of(name, view.counts(name)) for name in _NAMES}
        st.button("Clear", type="tertiary", on_click=clear, disabled=not (text or any(chosen.values())))
    return Chosen(**{name: (value,) if value else () for name, value in chosen.items()}, text=(text or "").strip())


def _one_of(name: str, counts: Mapping[str, Sums]) -> str:
    """A choice among the values there are; nothing to choose where all objects have the same."""
    given = str(st.query_params.get(name, ""))
    options = list(dict.fromkeys(["", *counts, given]))  # what an address names and nothing has is kept, so that nothing fits
    if len(counts) < 2 and not given:
        return ""

    def told(value: str) -> str:
        return f"{_WORDS[name](value)} ({counts[value].objects if value in counts else 0:,})" if value else "All"

    # The address holds the value, and not what is shown of it as a bound widget would have it.
    value = st.selectbox(_TITLES[name], options, options.index(given), key=f"ledger.{name}.{given}", format_func=told, width=200) or ""
    if value != given:
        _put(name, value)
        st.rerun()
    return given


def _put(name: str, value: str) -> None:
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)


def clear() -> None:
    """Show everything again."""
    only()


def only(**values: str) -> None:
    """Show only objects with these values (outcome=, cause=, …), in the Objects tab."""
    for name in _NAMES:
        _put(name, values.get(name, ""))
    st.session_state[_TEXT], st.session_state[_TAB] = "", "Objects"
