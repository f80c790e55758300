"""The look beyond .streamlit/config.toml: density, and the little CSS that Streamlit's own settings cannot say."""

from __future__ import annotations

import streamlit as st

_CSS = """<style>
[data-testid=stMainBlockContainer]{padding:2.6rem 2rem 3rem;max-width:1680px}
[data-testid=stHeader]{height:2.2rem;background:transparent}
[data-testid=stHeader],[data-testid=stHeader] div{pointer-events:none}
[data-testid=stHeader] button,[data-testid=stHeader] button *{pointer-events:auto}
[data-testid=stSidebarHeader]{height:3.2rem;padding-top:.6rem}
[data-testid=stMainBlockContainer] h1{padding:0 0 .1rem}
[data-testid=stMainBlockContainer] h3{padding:.15rem 0}
[data-testid=stMetric] [data-testid=stMetricLabel] p{font-size:12.5px}
[data-testid=stCaptionContainer] p{font-size:12.5px}
[data-testid=stExpander] summary{min-height:2.1rem;padding-block:.3rem}
[data-testid=stMain] [data-testid=stPageLink] a{background:transparent}
[data-testid=stMain] [data-testid=stPageLink] a p{font-weight:400}
.signout{font-size:12.5px;color:inherit;opacity:.75;text-decoration:none}.signout:hover{text-decoration:underline}
[data-testid=stTabs] [data-testid=stTab]{padding-block:.35rem}
[data-testid=stSidebarNav] ul{gap:1px}
</style>"""

CHART_COLOURS = {
    "succeeded": "#0E9F6E", "partial": "#D97706", "failed": "#DC2626", "rejected": "#9F1239", "cancelled": "#94A3B8",
}  # fmt: skip
"""Mid-tones that hold on a light and on a dark ground."""


def apply() -> None:
    """Add the styles to the page; nothing in them comes from data."""
    st.html(_CSS)
