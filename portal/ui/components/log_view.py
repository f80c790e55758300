"""The end of a job's log, following while the job runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent
_HTML = """<div class="lines" role="log" aria-label="Job log" tabindex="0"></div>
<div class="foot"><span class="told"></span><span class="about"></span></div>"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css = (_HERE / "shared.css").read_text("utf-8") + (_HERE / "log_view.css").read_text("utf-8")
    return st.components.v2.component("portal.log_view", html=_HTML, css=css, js=(_HERE / "log_view.js").read_text("utf-8"))


def log_view(lines: Sequence[Mapping[str, Any]], *, live: bool, about: str, empty: str, key: str) -> None:
    """Show lines, each with `at` (its byte place in the file), `time`, `level` and `text`."""
    _component()(data={"lines": list(lines), "live": live, "about": about, "empty": empty}, key=key)
