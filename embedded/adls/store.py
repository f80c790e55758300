"""Namespace and content together: what a request handler works on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from embedded.adls.content import Content
from embedded.adls.namespace import Namespace
from embedded.adls.schema import connect


class Store:
    """All accounts on one folder.

    Args:
        root: made if missing; holds namespace.sqlite and content/.
        accounts: account name to key bytes.
        page: most items in a page of a listing.
    """

    def __init__(self, root: Path, accounts: Mapping[str, bytes], page: int = 5000) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.page = page
        self.accounts = dict(accounts)
        self.content = Content(root)
        self._database = connect(root)
        self._namespace = Namespace(self._database)
        self._lock = threading.RLock()
        self.content.sweep(self._namespace.files())

    @contextmanager
    def transaction(self) -> Iterator[Namespace]:
        """The namespace, alone; everything done inside happens, or nothing of it. Files that lost their last reference go afterwards."""
        with self._lock:
            self._database.execute("BEGIN")
            try:
                yield self._namespace
            except BaseException:
                self._database.execute("ROLLBACK")
                self._namespace.doomed.clear()
                raise
            self._database.execute("COMMIT")
            doomed, self._namespace.doomed = self._namespace.doomed, set()
        if doomed:
            self.content.discard(doomed)

    def close(self) -> None:
        with self._lock:
            self._database.close()
