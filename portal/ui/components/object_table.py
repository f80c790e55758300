"""Objects and folders of a store, ticked by key: what is ticked stays ticked whatever is filtered or paged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from portal.stores.base import ObjectInfo
from portal.ui import wording

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Clicks:
    """What was clicked since the last run."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    open: str | None = None


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css = (_HERE / "shared.css").read_text("utf-8") + (_HERE / "object_table.css").read_text("utf-8")
    return st.components.v2.component(
        "portal.object_table", html='<div id="root" class="frame" tabindex="0" role="region" aria-label="Objects of the store"></div>',
        css=css, js=(_HERE / "object_table.js").read_text("utf-8"),
    )  # fmt: skip


def object_table(
    folders: Sequence[str], objects: Sequence[ObjectInfo], picked: Collection[str], *, prefix: str, selectable: bool, place: str, key: str
) -> Clicks:
    """Show one page. `prefix` is cut off the names shown; `place` names what is listed, so that only the same place keeps its scroll."""
    data = {
        "folders": [{"prefix": name, "shown": name.removeprefix(prefix)} for name in folders],
        "objects": [_row(info, prefix, info.key in picked) for info in objects],
        "selectable": selectable, "place": place,
    }  # fmt: skip
    result = _component()(data=data, key=key, on_change_change=lambda: None, on_open_change=lambda: None)
    change = result.change or {}
    return Clicks(tuple(change.get("add", ())), tuple(change.get("drop", ())), result.open)


def _row(info: ObjectInfo, prefix: str, picked: bool) -> dict[str, Any]:
    return {
        "key": info.key, "shown": info.key.removeprefix(prefix), "size": wording.size(info.size_bytes), "picked": picked,
        "modified": f"{info.modified:%Y-%m-%d %H:%M}" if info.modified else "", "storage": info.storage_class,
    }  # fmt: skip
