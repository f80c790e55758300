"""What every page works with: the settings, the queue, and the way from page to page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import streamlit as st

from portal import settings
from portal.settings import Settings
from portal.spool import Spool

_PAGES = "_pages"


def config() -> Settings:
    """The settings, read anew: what is in .env counts at once. Raises SettingError."""
    return settings.load()


def spool() -> Spool:
    """The queue of the home folder, opened once a process. Raises SettingError."""
    return _opened(config().home)


@st.cache_resource(show_spinner=False)
def _opened(home: Path) -> Spool:
    return Spool(settings.load(home))


def register(pages: dict[str, Any]) -> None:
    """Keep the pages of this session by their URL path, for `go`."""
    st.session_state[_PAGES] = pages


def page(path: str) -> Any:
    return st.session_state[_PAGES][path]


def go(path: str, **query: str) -> NoReturn:
    """Open another page."""
    st.switch_page(page(path), query_params=query)


def link(path: str, label: str, icon: str | None = None, **query: str) -> None:
    """A link to another page that keeps the session; the label is ours or made plain."""
    st.page_link(page(path), label=label, icon=icon, query_params=query or None)
