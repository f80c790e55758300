"""One side of a transfer: a place, opened for looking at it, and the way to reach it for moving bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from portal.stores.base import Store
from portal.stores.url import StoreURL
from portal.wire.ends import Access


@dataclass(frozen=True)
class Side:
    url: StoreURL
    store: Store
    """Opened by the SDK: single looks, conversions."""
    access: Callable[[], Access]
    """How to reach it on the thin path; fresh credentials each time."""
    connection: Any = field(default=None, repr=False)
    """What it was opened with, for who opens it elsewhere; None where nobody does."""

    @property
    def base(self) -> str:
        """URL of the container, ending in '/': a key appended is the key's URL."""
        return str(self.url.root)
