"""The live matrix of a chain: a row for each table, a column for each step; rows are known by the table's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css = (_HERE / "shared.css").read_text("utf-8") + (_HERE / "chain_table.css").read_text("utf-8")
    js = (_HERE / "live_table.js").read_text("utf-8") + (_HERE / "chain_table.js").read_text("utf-8")
    html = '<div id="root" class="frame" tabindex="0" role="region" aria-label="Tables by steps"></div>'
    return st.components.v2.component("portal.chain_table", html=html, css=css, js=js)


def chain_table(steps: Sequence[str], rows: Sequence[Mapping[str, Any]], key: str) -> str | None:
    """Show a chain (see `portal.ui.lake_rows.matrix`); return the id of the job whose cell was just clicked."""
    result = _component()(data={"steps": list(steps), "rows": list(rows)}, key=key, on_action_change=lambda: None)
    return str(result.action["id"]) if result.action else None
