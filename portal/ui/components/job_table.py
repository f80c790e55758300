"""The live table of jobs: rows are updated in place and known by job id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

_HERE = Path(__file__).parent


class Click(NamedTuple):
    """What was clicked: open, cancel, retry or priority, of which job; `value` is the priority that was chosen."""

    verb: str
    job_id: str
    value: int | None = None


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css = (_HERE / "shared.css").read_text("utf-8") + (_HERE / "job_table.css").read_text("utf-8")
    js = (_HERE / "live_table.js").read_text("utf-8") + (_HERE / "job_table.js").read_text("utf-8")
    return st.components.v2.component("portal.job_table", html='<div id="root" class="frame"></div>', css=css, js=js)


def job_table(rows: Sequence[Mapping[str, Any]], key: str) -> Click | None:
    """Show jobs (see `portal.ui.job_rows.row`); return what was just clicked."""
    result = _component()(data={"rows": list(rows)}, key=key, on_action_change=lambda: None)
    clicked = result.action
    return Click(str(clicked["verb"]), str(clicked["id"]), clicked.get("value")) if clicked else None
