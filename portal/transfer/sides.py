"""Opens the sides of a transfer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from portal.connections import KIND_OF_SCHEME
from portal.context import JobContext
from portal.stores.url import StoreURL
from portal.transfer.side import Side
from portal.wire.access import access_of


@contextmanager
def side(
    job: JobContext, url: StoreURL, connection: str, *, endpoint: Literal["blob", "dfs"] = "blob", stall_s: float = 60.0
) -> Iterator[Side]:
    """Open the side that a URL names, with a named connection ('' the default of its scheme). Raises SettingError and what stores raise.

    `stall_s`: seconds without a byte after which a connection counts as stalled."""
    store = job.store(url, connection)
    found = job.connection(KIND_OF_SCHEME[url.scheme], connection)
    try:
        yield Side(url, store, lambda: replace(access_of(url, found, endpoint=endpoint), stall_s=stall_s), found)
    finally:
        store.close()
