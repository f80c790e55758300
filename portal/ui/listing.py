"""Looks into a store for the page: bounded in time and number, kept for the session alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import streamlit as st

from portal.errors import Unreachable
from portal.stores.base import ObjectInfo
from portal.stores.opening import open_account, open_store
from portal.stores.url import StoreURL

STEP = 5_000
"""Entries that one look brings at most; more on request."""
_PAGE_LIMIT = 1_000
_LOOK_S = 4.0
_WAIT_S = 20.0
_KEEP_S = 120.0
_CACHE = "_listings"
_POOL = ThreadPoolExecutor(max_workers=8, thread_name_prefix="listing")
_BEHIND = ThreadPoolExecutor(max_workers=4, thread_name_prefix="begun")
"""Nobody waits for these, so they must not be in the way of what somebody waits for."""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Listing:
    """What is directly below a prefix (or anywhere below, when recursive), as far as it was read."""

    folders: tuple[str, ...]
    objects: tuple[ObjectInfo, ...]
    continuation: str | None
    """Leads to what was not read; None: this is all."""


def containers(connection: Any, mark: str) -> list[str]:
    """Names of the buckets or containers of an account; `mark` names the connection. Raises StoreError, SettingError."""
    return kept(("containers", mark), lambda: open_account(connection).containers())


def look(url: StoreURL, connection: Any, mark: str, *, recursive: bool, steps: int = 1) -> Listing:
    """List a prefix, up to `steps` times STEP entries. Raises StoreError, SettingError; Unreachable when it takes too long."""
    found = Listing((), (), None)
    for step in range(steps):
        token = found.continuation
        if step and token is None:
            break
        part = kept(("objects", mark, str(url), recursive, token), partial(_list, url, connection, recursive, token))
        found = Listing(tuple(dict.fromkeys((*found.folders, *part.folders))), (*found.objects, *part.objects), part.continuation)
    return found


def _list(url: StoreURL, connection: Any, recursive: bool, continuation: str | None) -> Listing:
    store = open_store(url.root, connection)
    folders: dict[str, None] = {}
    objects: list[ObjectInfo] = []
    stop_at = time.monotonic() + _LOOK_S
    try:
        while True:
            page = store.list_page(url.key, recursive=recursive, continuation=continuation, limit=_PAGE_LIMIT)
            folders.update(dict.fromkeys(page.prefixes))
            objects += [info for info in page.objects if not info.is_folder]
            continuation = page.continuation
            if continuation is None or len(folders) + len(objects) >= STEP or time.monotonic() > stop_at:
                return Listing(tuple(folders), tuple(objects), continuation)
    finally:
        store.close()


def forget() -> None:
    """Look anew next time."""
    st.session_state.pop(_CACHE, None)


def kept(key: tuple[Any, ...], ask: Callable[[], _Answer]) -> _Answer:
    """Return what asking gave a moment ago, else ask, for a bounded time. `ask` runs in another thread. Raises what it raises; Unreachable."""
    cache: dict[tuple[Any, ...], tuple[float, Any]] = st.session_state.setdefault(_CACHE, {})
    now = time.monotonic()
    for old in [name for name, (kept_at, _) in cache.items() if kept_at < now - _KEEP_S]:
        del cache[old]
    if key not in cache:
        cache[key] = (now, _bounded(ask))
    answer: _Answer = cache[key][1]
    return answer


def begun(key: tuple[Any, ...], ask: Callable[[], _Answer]) -> Future[_Answer]:
    """Begin to ask in another thread, or return what was begun a moment ago: for what a page can do without until it is there."""
    begun: Future[_Answer] = kept(("begun", *key), lambda: _BEHIND.submit(ask))
    return begun


def _bounded(ask: Callable[[], _Answer]) -> _Answer:
    waiting: Future[_Answer] = _POOL.submit(ask)
    try:
        return waiting.result(_WAIT_S)
    except TookTooLong:
        waiting.cancel()
        raise Unreachable(
            f"There was no answer within {_WAIT_S:.0f} s.",
            hint="Check the connection on the Connections page; what takes long belongs into a job.",
        ) from None
