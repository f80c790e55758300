"""Ways to the buckets that notices name: one for each thread and bucket, with credentials that are good now."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from portal.wire.ends import Access, End
from portal.wire.opening import open_end

_BUCKETS = 16
"""Kept open, of one thread: a queue that names thousands must not take a connection for each."""

OpenAccess = Callable[[str], Access]
"""Says how to reach a bucket; raises what `portal.wire.access` does."""


class Ends:
    """May be used by any thread; an end that it gives belongs to the thread that asked."""

    def __init__(self, access: OpenAccess) -> None:
        self._open_access = access
        self._lock = threading.Lock()
        self._accesses: OrderedDict[str, Access] = OrderedDict()
        self._all: set[End] = set()
        self._own = threading.local()

    def of(self, bucket: str) -> End:
        mine: OrderedDict[str, End] = self._own.__dict__.setdefault("ends", OrderedDict())
        found = mine.get(bucket)
        if found and time.time() < found.access.renew_at:
            mine.move_to_end(bucket)
            return found
        if found:
            self._drop(mine.pop(bucket))
        made = mine[bucket] = open_end(self._access(bucket))
        with self._lock:
            self._all.add(made)
        if len(mine) > _BUCKETS:
            self._drop(mine.popitem(last=False)[1])
        return made

    def _access(self, bucket: str) -> Access:
        """Asked once for all threads: making one takes a client of the SDK."""
        with self._lock:
            found = self._accesses.get(bucket)
            if found is None or time.time() >= found.renew_at:
                found = self._accesses[bucket] = self._open_access(bucket)
            self._accesses.move_to_end(bucket)
            if len(self._accesses) > _BUCKETS:
                self._accesses.popitem(last=False)
        return found

    def _drop(self, end: End) -> None:
        with self._lock:
            self._all.discard(end)
        end.close()

    def close(self) -> None:
        """When no thread uses one any more."""
        while self._all:
            self._all.pop().close()
