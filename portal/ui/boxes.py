"""Boxes that tell: errors without tracebacks, empty places, what needs attention."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from portal.errors import PortalError, explain
from portal.ui.wording import plain

_LOG = logging.getLogger("portal.ui")


def error(problem: BaseException) -> None:
    """Show an error: what happened, why, what to do."""
    title, *rest = explain(problem).splitlines()
    told = "\n".join(line.strip() for line in rest)
    st.error(plain(told) or "Nothing was changed.", title=plain(title), icon=":material/error:")


@contextmanager
def told() -> Iterator[None]:
    """Show what the block raises as an error box instead of failing the page; only the log gets a traceback."""
    try:
        yield
    except PortalError as problem:
        error(problem)
    except Exception as problem:
        _LOG.exception("unexpected error on a page")
        error(unexpected(problem))


def unexpected(problem: Exception) -> PortalError:
    """The error that stands for one nobody foresaw: its kind and first line, no more."""
    said = f"{type(problem).__name__}: {problem}".partition("\n")[0][:200]
    return PortalError(
        f"This page failed in a way it does not know. {said}", hint="Reload it. The launcher's own log has the details; please report it."
    )


def empty(icon: str, title: str, text: str = "", *, height: int = 220, button: str = "", on_click: Callable[[], None] | None = None) -> None:
    """Show why there is nothing here, and what to do about it. `icon` is a Material symbol's name; the texts are ours."""
    with st.container(border=True, height=height, horizontal_alignment="center", vertical_alignment="center", gap="xsmall"):
        st.markdown(f"### :material/{icon}:", text_alignment="center")
        st.markdown(f"**{title}**", text_alignment="center")
        if text:
            st.caption(text, text_alignment="center")
        if button:
            st.button(button, on_click=on_click)
