"""Opens the store or account that a URL and a connection name."""

from __future__ import annotations

from typing import Any

from portal.stores.base import Account, Store
from portal.stores.url import StoreURL


def open_store(url: StoreURL, connection: Any) -> Store:
    """Open one container. Raises SettingError, AccessDenied, Unreachable; a missing container shows at the first call."""
    raise NotImplementedError


def open_account(connection: Any) -> Account:
    """Open what containers live in."""
    raise NotImplementedError
