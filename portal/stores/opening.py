"""Opens the store or account that a URL and a connection name. A store's own libraries are imported only when one is opened."""

from __future__ import annotations

import importlib
from typing import Any

from portal.connections import KIND_OF_SCHEME
from portal.errors import SettingError
from portal.stores.base import Account, Store
from portal.stores.url import StoreURL

_MODULES = {"s3": "portal.stores.s3", "adls": "portal.stores.adls", "local": "portal.stores.local"}
"""By kind of connection; each module has `open_store(url, connection)` and `open_account(connection)`."""


def open_store(url: StoreURL, connection: Any) -> Store:
    """Open one container. Raises SettingError, AccessDenied, Unreachable; a missing container shows at the first call."""
    kind = KIND_OF_SCHEME[url.scheme]
    if connection.kind != kind:
        raise SettingError(f"{url} cannot be reached through a connection of kind {connection.kind}.", hint=f"Name a connection of kind {kind}.")
    store: Store = _module(kind).open_store(url, connection)
    return store


def open_account(connection: Any) -> Account:
    """Open what containers live in. Raises SettingError, AccessDenied."""
    if connection.kind not in _MODULES:
        raise SettingError(f"A connection of kind {connection.kind} leads to no store.", hint=f"Stores are of kind {', '.join(_MODULES)}.")
    account: Account = _module(connection.kind).open_account(connection)
    return account


def _module(kind: str) -> Any:
    return importlib.import_module(_MODULES[kind])
