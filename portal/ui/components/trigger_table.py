"""The live table of triggers: rows are updated in place and known by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

_HERE = Path(__file__).parent


class Click(NamedTuple):
    """What was clicked: open, run, pause or resume of a trigger, or job: the last job of one, by its id."""

    verb: str
    name: str


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css = (_HERE / "shared.css").read_text("utf-8") + (_HERE / "trigger_table.css").read_text("utf-8")
    js = (_HERE / "live_table.js").read_text("utf-8") + (_HERE / "trigger_table.js").read_text("utf-8")
    return st.components.v2.component("portal.trigger_table", html='<div id="root" class="frame"></div>', css=css, js=js)


def trigger_table(rows: Sequence[Mapping[str, Any]], key: str) -> Click | None:
    """Show triggers (see `portal.ui.trigger_rows`); return what was just clicked."""
    result = _component()(data={"rows": list(rows)}, key=key, on_action_change=lambda: None)
    clicked = result.action
    return Click(str(clicked["verb"]), str(clicked["name"])) if clicked else None
