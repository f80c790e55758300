"""The preview in the form of a job that converts: what would become of a file, by samples of it, before anything is written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from typing import Any

import streamlit as st

from portal import catalog
from portal.catalog import EngineSpec
from portal.connections import KIND_OF_SCHEME, Connections
from portal.errors import BadParameters, Cancelled, Unreachable
from portal.stores.base import Store
from portal.stores.opening import open_store
from portal.stores.url import StoreURL
from portal.tabular.options import suits
from portal.tabular.params import ConversionParams
from portal.transfer.converter import preview, settled
from portal.ui import access, boxes, conversion_view, credentials, listing, state
from portal.ui.accounts import Role
from portal.ui.drafts import Draft
from portal.ui.wording import plain
from portal.wire.ends import Listed

MOST_OFFERED = 50
_WAIT_S = 30.0
_POOL = ThreadPoolExecutor(max_workers=4, thread_name_prefix="preview")
_KEPT = "_previews"


def is_for(spec: EngineSpec, given: Mapping[str, Any]) -> bool:
    """Whether a job of these values converts anything."""
    return issubclass(spec.params, ConversionParams) and given.get("convert", "") != "none" and bool(given.get("source"))


@st.dialog("Preview", width="large", icon=":material/preview:")
def dialog(draft: Draft, spec: EngineSpec, params: Mapping[str, Any]) -> None:
    """Show what would become of one of the files that the job takes; nothing is written."""
    with boxes.told():
        access.require(state.config(), Role.OPERATOR, "preview files")
        read = catalog.read_params(spec.params, params)
        connections = credentials.known(draft)
        keys = _keys(read, connections)
        if not keys:
            boxes.empty("search_off", "No file to convert here", "The filters let none through that can be converted by its name.", height=180)
            return
        key = _chosen(keys, read.source.key, f"{draft.id}.preview")
        st.caption(
            "By samples from head, middle and tail; the job itself looks at every value (full scan)." if read.full_scan
            else "By samples from head, middle and tail. Nothing is written."
        )  # fmt: skip
        conversion_view.preview({"source": str(read.source.at(str(key))), **_kept(read, str(key), connections)})


def _chosen(keys: list[str], prefix: str, key: str) -> str:
    """One of the files, by its name below the source."""
    names = [name.removeprefix(prefix) or name for name in keys]
    if len(names) == 1:
        st.markdown(f"**{plain(names[0])}**")
        return keys[0]
    told = f"The first {len(keys):,} that fit" if len(keys) == MOST_OFFERED else None
    chosen = st.selectbox("File", names, key=f"{key}.{hash(tuple(keys))}", help=told)
    return keys[names.index(str(chosen))]


def _keys(params: Any, connections: Connections) -> list[str]:
    """Names of files that would be converted, the first ones."""
    if params.keys:
        return list(params.keys[:MOST_OFFERED])
    connection = connections.get(KIND_OF_SCHEME[params.source.scheme], params.source_connection or None)
    found = listing.look(params.source, connection, f"preview:{params.source_connection}", recursive=True)
    keys = [info.key for info in found.objects]
    below = [key[len(params.source.key) :] or key for key in keys]
    refusals = params.filters.by_name_alone().refusals(below, Listed(keys, [], [], [], [], [], [], []))
    converts = suits if hasattr(params, "convert") else bool  # migrate copies what its name does not tell; convert takes all that is let through
    return [key for key, refusal in zip(keys, refusals, strict=True) if not refusal and converts(key)][:MOST_OFFERED]


def _kept(params: Any, key: str, connections: Connections) -> dict[str, Any]:
    """The preview of a file, made once for the same parameters while the session lasts."""
    mark = json.dumps([key, params.model_dump(mode="json")], sort_keys=True)
    kept: dict[str, dict[str, Any]] = st.session_state.get(_KEPT) or {}
    if mark not in kept:
        with st.spinner("Looking at samples…"):
            kept = {**dict(list(kept.items())[-7:]), mark: _bounded(lambda check: _made(params, key, connections, check))}
        st.session_state[_KEPT] = kept
    return kept[mark]


def _bounded(ask: Callable[[Callable[[], None]], dict[str, Any]]) -> dict[str, Any]:
    until = time.monotonic() + _WAIT_S

    def check() -> None:
        if time.monotonic() > until:
            raise Cancelled

    try:
        return _POOL.submit(ask, check).result(_WAIT_S + 1)
    except (TookTooLong, Cancelled):
        told = f"The preview took more than {_WAIT_S:.0f} s."
        raise Unreachable(told, hint="Submit a dry run instead: it shows the same when it is done.") from None


def _made(params: ConversionParams, key: str, connections: Connections, check: Callable[[], None]) -> dict[str, Any]:
    opened: list[Store] = []

    def store(url: StoreURL, name: str = "") -> Store:
        opened.append(open_store(url.root, connections.get(KIND_OF_SCHEME[url.scheme], name or None)))
        return opened[-1]

    try:
        source = store(params.source, params.source_connection)  # type: ignore[attr-defined]
        options = settled(params, store, [source]).model_copy(update={"full_scan": False})
        return preview(source, key, options, check=check)
    except BadParameters as problem:
        return {"error": problem.message, "hint": problem.hint}
    finally:
        for one in opened:
            one.close()
