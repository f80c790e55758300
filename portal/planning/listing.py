"""Listing a container page by page, in columns, with patience: what may go through is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from portal.errors import StoreError, Throttled, Unreachable
from portal.planning.ahead import read_ahead
from portal.planning.names import as_folder
from portal.wire.ends import Listed

MAX_TRIES = 8
FIRST_TRIES = 4
"""Of a service that has never answered: more likely nobody is there than that somebody is busy."""
_BACKOFF_S = 0.25
_LONGEST_WAIT_S = 30.0
_LOOK_EVERY_S = 0.2
Told = TypeVar("Told")


class Lists(Protocol):
    """What lists; an end of the thin path does (see `portal.wire.ends.End`)."""

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed: ...

    def close(self) -> None: ...


class ListsPages(Protocol):
    """What gives the pages of a listing: `Lister`, or what takes its place."""

    def pages(self, prefix: str, continuation: str | None = None) -> Iterator[Listed]:
        """See `Lister.pages`."""
        ...


class Lister:
    """Lists a container. `opened` opens an end for one thread, with credentials that are good now; `check` is called often and may raise
    Cancelled."""

    def __init__(self, opened: Callable[[], Lists], check: Callable[[], None]) -> None:
        self._opened, self._check = opened, check
        self._end: Lists | None = None
        self.requests = 0
        self._answered = False

    def pages(self, prefix: str, continuation: str | None = None) -> Iterator[Listed]:
        """Yield the pages of what is below a prefix (taken as a folder) from a continuation on, the next one always on its way. Raises what ends
        do; Unreachable and Throttled only after several tries; StoreError when the service leads back to where it was."""
        return read_ahead(self._pages(prefix, continuation))

    def _pages(self, prefix: str, continuation: str | None) -> Iterator[Listed]:
        folder = as_folder(prefix)
        seen = continuation
        given, looked = 0, 1
        try:
            while True:
                tries = MAX_TRIES if self._answered else FIRST_TRIES
                page = patiently(lambda after=continuation: self._page(folder, after), self.close, self._check, tries)  # type: ignore[misc]
                yield page
                continuation = page.continuation
                if continuation is None:
                    return
                if continuation == seen:
                    raise StoreError(f"The listing of {folder!r} goes round in circles.", hint="The service is broken, or is no store.")
                given += 1
                if given == looked:  # circles of any length are found by remembering one place of each power of two (Brent)
                    seen, looked = continuation, looked * 2
        finally:
            self.close()

    def _page(self, folder: str, continuation: str | None) -> Listed:
        access = getattr(self._end, "access", None)
        if access is not None and time.time() >= access.renew_at:
            self.close()
        if self._end is None:
            self._end = self._opened()
        self.requests += 1
        page = self._end.list_page(folder, continuation=continuation)
        self._answered = True
        return page

    def close(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end.close()


def patiently(work: Callable[[], Told], renew: Callable[[], None], check: Callable[[], None], tries: int = MAX_TRIES) -> Told:
    """Return what `work` returns, tried again with longer and longer pauses while it raises Unreachable or Throttled.

    Args:
        renew: called after each failure, to begin with a new connection
        check: called often, and may raise Cancelled
    """
    for attempt in range(1, tries):
        check()
        try:
            return work()
        except Unreachable as error:
            if not error.retryable:
                raise
            renew()
            asked = error.retry_after_s if isinstance(error, Throttled) else 0.0
            _wait(max(_BACKOFF_S * 2**attempt * random.uniform(0.5, 1.0), asked), check)  # noqa: S311
    check()
    return work()


def _wait(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + min(seconds, _LONGEST_WAIT_S)
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, _LOOK_EVERY_S))
