"""Looking through a store and filling the basket. Objects are chosen by key, so that filters and pages change nothing chosen."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import streamlit as st

from portal.errors import PortalError
from portal.stores.base import ObjectInfo
from portal.stores.url import StoreURL
from portal.ui import boxes, listing, wording
from portal.ui.components.object_table import object_table
from portal.ui.drafts import Draft
from portal.ui.places import Place, prefix_of
from portal.ui.wording import count_of, plain

PAGE_SIZE = 250
MOST_CHOSEN = 20_000
"""More than that belongs into a prefix and a pattern, not into a list of names inside a job file."""
_FORMATS = {"csv": (".csv", ".tsv"), "json": (".json", ".ndjson", ".jsonl"), "parquet": (".parquet",)}
_PACKED = (".gz", ".zst", ".bz2")


def panel(draft: Draft, place: Place, base: StoreURL, field: str, *, selectable: bool) -> StoreURL:
    """Show what is below the chosen prefix of a place's base; return the prefix as a URL."""
    key = f"{draft.id}.{field}.prefix.{base}"
    if key not in st.session_state:
        st.session_state[key] = prefix_of(base, draft.values.get(field)).rpartition("/")[0]
        st.session_state[key] += "/" if st.session_state[key] else ""
    prefix = str(st.session_state[key])
    _path(base, prefix, key)
    text, kind, recursive = _filters(draft, field)
    try:
        found = listing.look(
            base.at(base.key + prefix), place.connection, place.mark, recursive=recursive, steps=st.session_state.get(f"{key}.steps", 1)
        )
    except PortalError as problem:
        boxes.error(problem)
        if st.button("Try again", icon=":material/refresh:"):
            listing.forget()
            st.rerun()
        return base.at(base.key + prefix)
    _page(draft, base, prefix, found, _fitting(found.objects, base.key + prefix, text, kind), text, key, selectable)
    return base.at(base.key + prefix)


def _path(base: StoreURL, prefix: str, key: str) -> None:
    """The way down to here, each step a button."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.button(
            base.container or f"/{base.key.rstrip('/')}",
            key=f"{key}.root",
            type="tertiary",
            icon=":material/folder_open:",
            on_click=_move,
            args=(key, ""),
        )
        steps = prefix.rstrip("/").split("/") if prefix else []
        for place, step in enumerate(steps):
            st.markdown("/", width="content")
            st.button(
                plain(step) or "(no name)", key=f"{key}.{place}", type="tertiary", on_click=_move, args=(key, "/".join(steps[: place + 1]) + "/")
            )
        st.space("stretch")
        st.button("Refresh", key=f"{key}.refresh", type="tertiary", icon=":material/refresh:", on_click=listing.forget)


def _move(key: str, prefix: str) -> None:
    st.session_state[key] = prefix
    st.session_state[f"{key}.page"] = st.session_state[f"{key}.steps"] = 1


def _filters(draft: Draft, field: str) -> tuple[str, str, bool]:
    columns = st.columns([2.6, 1.1, 1.1], vertical_alignment="bottom")
    text = columns[0].text_input("Filter objects", key=f"{draft.id}.{field}.filter", type="search", live=True, placeholder="name contains…")
    kind = columns[1].selectbox("Format", ["", *_FORMATS], key=f"{draft.id}.{field}.format", format_func=lambda name: name or "All")
    recursive = columns[2].toggle("With subfolders", key=f"{draft.id}.{field}.deep", help="List everything below this prefix, not only this level")
    return (text or "").strip(), kind or "", recursive


def _fitting(objects: Iterable[ObjectInfo], prefix: str, text: str, kind: str) -> list[ObjectInfo]:
    wanted, endings = text.casefold(), _FORMATS.get(kind, ())
    return [info for info in objects if wanted in info.key[len(prefix) :].casefold() and (not endings or _bare(info.key).endswith(endings))]


def _bare(key: str) -> str:
    name = key.casefold()
    return next((name.removesuffix(ending) for ending in _PACKED if name.endswith(ending)), name)


def _page(
    draft: Draft, base: StoreURL, prefix: str, found: listing.Listing, fitting: list[ObjectInfo], text: str, key: str, selectable: bool
) -> None:
    basket = draft.baskets.setdefault(str(base), {})
    folders = [name for name in found.folders if text.casefold() in name[len(base.key + prefix) :].casefold()]
    entries: list[str | ObjectInfo] = [*folders, *fitting]
    pages = max(1, -(-len(entries) // PAGE_SIZE))
    page = min(st.session_state.get(f"{key}.page", 1), pages)
    shown = entries[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    _told(found, fitting, folders)
    if not shown:
        boxes.empty(
            "search_off" if found.objects or found.folders else "folder_off",
            "Nothing here fits" if found.objects or found.folders else "Nothing is stored here",
            height=180,
        )
    else:
        folder = object_table(
            [item for item in shown if isinstance(item, str)], [item for item in shown if isinstance(item, ObjectInfo)], basket,
            prefix=base.key + prefix, selectable=selectable, place=f"{base}{prefix}{page}{text}", key=f"{key}.table",
            on_tick=partial(_ticked, basket, {info.key: info.size_bytes for info in fitting}),
        )  # fmt: skip
        if folder is not None:
            _move(key, folder.removeprefix(base.key))
            st.rerun()
    _foot(basket, found, fitting, page, pages, key, selectable)


def _told(found: listing.Listing, fitting: list[ObjectInfo], folders: list[str]) -> None:
    total = len(found.objects)
    parts = [
        f"{len(fitting):,} of {count_of(total, 'object')}" if len(fitting) != total else count_of(total, "object"),
        wording.size(sum(info.size_bytes for info in fitting)),
    ]
    if folders:
        parts.insert(0, count_of(len(folders), "folder"))
    st.caption(" · ".join(parts) + (" · **there is more**: only what was read is filtered" if found.continuation else ""))


def _ticked(basket: dict[str, int], sizes: dict[str, int], added: tuple[str, ...], dropped: tuple[str, ...]) -> None:
    add(basket, {name: sizes[name] for name in added if name in sizes})
    for name in dropped:
        basket.pop(name, None)


def add(basket: dict[str, int], chosen: dict[str, int]) -> None:
    """Put objects into the basket, up to its limit."""
    room = MOST_CHOSEN - len(basket)
    fresh = [(name, size) for name, size in chosen.items() if name not in basket]
    basket.update(fresh[:room])
    if len(fresh) > room:
        st.warning(f"A job takes {MOST_CHOSEN:,} chosen objects. Use the prefix and a name pattern for more.", icon=":material/shopping_basket:")


def _foot(basket: dict[str, int], found: listing.Listing, fitting: list[ObjectInfo], page: int, pages: int, key: str, selectable: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if selectable and fitting:
            chosen = {info.key: info.size_bytes for info in fitting}
            st.button(
                f"Select all {len(fitting):,}",
                key=f"{key}.all",
                on_click=add,
                args=(basket, chosen),
                help="Every object that fits the filters, on all pages",
            )
        if found.continuation:
            st.button(f"Read {listing.STEP:,} more", key=f"{key}.more", icon=":material/expand_more:", on_click=_step, args=(f"{key}.steps", 1))
        st.space("stretch")
        if pages > 1:
            st.button("Previous", key=f"{key}.back", icon=":material/chevron_left:", disabled=page == 1, on_click=_step, args=(f"{key}.page", -1))
            st.markdown(f"Page {page} of {pages}", width="content")
            st.button(
                "Next",
                key=f"{key}.on",
                icon=":material/chevron_right:",
                icon_position="right",
                disabled=page == pages,
                on_click=_step,
                args=(f"{key}.page", 1),
            )


def _step(key: str, by: int) -> None:
    st.session_state[key] = max(1, st.session_state.get(key, 1) + by)
