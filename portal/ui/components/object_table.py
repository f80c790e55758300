"""Objects and folders of a store, ticked by key: what is ticked stays ticked whatever is filtered or paged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from portal.stores.base import ObjectInfo
from portal.ui import wording

_HERE = Path(__file__).parent

Ticked = Callable[[tuple[str, ...], tuple[str, ...]], None]


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css = (_HERE / "shared.css").read_text("utf-8") + (_HERE / "object_table.css").read_text("utf-8")
    return st.components.v2.component(
        "portal.object_table", html='<div id="root" class="frame" tabindex="0" role="region" aria-label="Objects of the store"></div>',
        css=css, js=(_HERE / "object_table.js").read_text("utf-8"),
    )  # fmt: skip


def object_table(
    folders: Sequence[str],
    objects: Sequence[ObjectInfo],
    picked: Collection[str],
    *,
    prefix: str,
    selectable: bool,
    place: str,
    key: str,
    on_tick: Ticked,
) -> str | None:
    """Show one page; return the folder that was just opened.

    Args:
        prefix: what is cut off the names shown.
        place: names what is listed, so that only the same place keeps its scroll.
        on_tick: called with the keys ticked and unticked, before the page is made anew, so that it already shows them.
    """
    seen = f"{key}.ack"

    def tick() -> None:
        change = st.session_state[key].change or {}
        st.session_state[seen] = int(change.get("seq", 0))
        on_tick(tuple(change.get("add", ())), tuple(change.get("drop", ())))

    data = {
        "folders": [{"prefix": name, "shown": name.removeprefix(prefix)} for name in folders],
        "objects": [_row(info, prefix, info.key in picked) for info in objects],
        "selectable": selectable, "place": place, "ack": st.session_state.get(seen, 0),
    }  # fmt: skip
    result = _component()(data=data, key=key, on_change_change=tick, on_open_change=lambda: None)
    return str(result.open) if result.open is not None else None


def _row(info: ObjectInfo, prefix: str, picked: bool) -> dict[str, Any]:
    return {
        "key": info.key, "shown": info.key.removeprefix(prefix), "size": wording.size(info.size_bytes), "picked": picked,
        "modified": f"{info.modified:%Y-%m-%d %H:%M}" if info.modified else "", "storage": info.storage_class,
    }  # fmt: skip
