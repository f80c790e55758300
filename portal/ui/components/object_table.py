"""Things to choose from, ticked by key: what is ticked stays ticked whatever is filtered or paged. Objects of a store, tables of a catalog."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from portal.stores.base import ObjectInfo
from portal.ui import wording

_HERE = Path(__file__).parent

Ticked = Callable[[tuple[str, ...], tuple[str, ...]], None]
_COLUMNS = (("Object", "name"), ("Size", "num"), ("Modified (UTC)", "num"), ("Storage class", "quiet"))
_TABLE_COLUMNS = (("Table", "name"), ("What it is", "what"), ("Iceberg", ""), ("Azure", ""), ("Behind", "num"), ("Snowflake", ""))


@st.cache_resource(show_spinner=False)
def _component(name: str, label: str) -> Any:
    css = (_HERE / "shared.css").read_text("utf-8") + (_HERE / "object_table.css").read_text("utf-8")
    return st.components.v2.component(
        f"portal.{name}", html=f'<div id="root" class="frame" tabindex="0" role="region" aria-label="{label}"></div>',
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
    data = {
        "title": "Objects", "columns": _COLUMNS,
        "folders": [{"prefix": name, "shown": name.removeprefix(prefix)} for name in folders],
        "objects": [_row(info, prefix, info.key in picked) for info in objects], "selectable": selectable, "place": place,
    }  # fmt: skip
    result = _show(_component("object_table", "Objects of the store"), data, key, on_tick)
    return str(result.open) if result.open is not None else None


def table_table(rows: Sequence[Mapping[str, Any]], *, selectable: bool, place: str, key: str, on_tick: Ticked) -> None:
    """Show tables of a catalog (see `portal.ui.lake_rows`)."""
    data = {"title": "Tables", "columns": _TABLE_COLUMNS, "folders": [], "objects": list(rows), "selectable": selectable, "place": place}
    _show(_component("table_table", "Tables of the catalog"), data, key, on_tick)


def _show(component: Any, data: Mapping[str, Any], key: str, on_tick: Ticked) -> Any:
    seen = f"{key}.ack"

    def tick() -> None:
        change = st.session_state[key].change or {}
        st.session_state[seen] = int(change.get("seq", 0))
        on_tick(tuple(change.get("add", ())), tuple(change.get("drop", ())))

    return component(data={**data, "ack": st.session_state.get(seen, 0)}, key=key, on_change_change=tick, on_open_change=lambda: None)


def _row(info: ObjectInfo, prefix: str, picked: bool) -> dict[str, Any]:
    modified = f"{info.modified:%Y-%m-%d %H:%M}" if info.modified else ""
    return {
        "key": info.key, "shown": info.key.removeprefix(prefix), "picked": picked,
        "cells": [wording.size(info.size_bytes), modified, info.storage_class],
    }  # fmt: skip
