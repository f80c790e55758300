"""One thread's way from source to target: its ends, its buffer, its tries."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from portal.errors import AccessDenied, Archived, NotFound, PortalError, SourceChanged, Throttled, Unreachable, UploadGone
from portal.movers.messages import Item
from portal.movers.pace import Gate, pause
from portal.movers.shared import Shared
from portal.transfer.carry import LeftOut, is_marked_as
from portal.transfer.carry_names import MARK
from portal.wire.ends import About, End, Found, Pin
from portal.wire.opening import open_end

MAX_TRIES = 5
MAX_TRIES_THROTTLED = 10
"""A service that asks to slow down will answer later."""
_BACKOFF_MAX_S = 10.0

T = TypeVar("T")


class Mover:
    """Used by one thread. `attempts` and `through` are of the object that is being moved."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.options = shared, shared.options
        self._generation = -1
        self._buffer = memoryview(b"")
        self.attempts = 0
        self.through = 0
        self.doubts = False
        """What stands at the target may not be what was sent."""
        self.disproved = False
        """What was found not to be what was sent may still stand at the target."""
        self.renew()

    def renew(self) -> None:
        """Open the ends anew when the credentials were renewed."""
        if self._generation == self.shared.generation:
            return
        if self._generation >= 0:
            self.close()
        self._generation = self.shared.generation
        self.source: End = open_end(self.shared.source)
        self.target: End = open_end(self.shared.target)
        self.mode = "local" if self.shared.source.kind == self.shared.target.kind == "file" else "stream"

    def close(self) -> None:
        self.source.close()
        self.target.close()

    def buffer(self, size_bytes: int) -> memoryview:
        """The thread's own memory; what was in it is lost. Untouched pages of it cost nothing."""
        if size_bytes > len(self._buffer):
            self._buffer = memoryview(bytearray(max(size_bytes, self.options.block_bytes)))
        return self._buffer[:size_bytes]

    def let_go(self) -> None:
        """Give back the thread's own memory."""
        self._buffer = memoryview(b"")

    def at_source(self, call: Callable[..., T], *args: Any, **options: Any) -> T:
        return self._passing(self.shared.source_gate, call, args, options)

    def at_target(self, call: Callable[..., T], *args: Any, **options: Any) -> T:
        return self._passing(self.shared.target_gate, call, args, options)

    def _passing(self, gate: Gate, call: Callable[..., T], args: tuple[Any, ...], options: dict[str, Any]) -> T:
        try:
            if gate.open:
                return call(*args, **options)
            with gate:
                return call(*args, **options)
        except Throttled as error:
            gate.throttled(error.retry_after_s, self.shared.outbox.threads)
            raise

    def read(self, pin: Pin, view: memoryview, start: int = 0) -> Found:
        """Read from the source into the buffer, under the cap of bandwidth. Raises SourceChanged only where a second look says so too."""
        self.shared.bandwidth.take(len(view))
        try:
            found = self.at_source(self.source.read, pin, view, start=start)
        except SourceChanged as error:
            self.find(pin)
            raise Unreachable(f"{self.options.source_root}{pin.key} was answered with another length than it has.", hint="Try again.") from error
        self.through += len(view)
        return found

    @property
    def wants_md5(self) -> bool:
        return self.options.md5 or self.options.verify == "md5"

    def part_sizes(self, pin: Pin, found: Found) -> list[int]:
        return self.at_source(self.source.part_sizes, pin, found.parts)

    def find(self, pin: Pin) -> Found:
        """Look at the source. Raises SourceChanged when it is not the one that was listed, Archived."""
        place = f"{self.options.source_root}{pin.key}"
        try:
            found = self.at_source(self.source.find, pin.key, version_id=pin.version_id)
        except NotFound as error:
            raise SourceChanged(f"{place} was deleted after it was listed.", hint="Run the job again.") from error
        if found.archived:
            raise Archived(f"{place} is archived and cannot be read.", hint="Restore it first.")
        if found.size_bytes != pin.size_bytes or (pin.etag and found.etag != pin.etag):
            raise SourceChanged(f"{place} was replaced after it was listed.", hint="Run the job again to take what is there now.")
        return found

    def carried(self, n: int, pin: Pin, found: Found) -> tuple[About, Sequence[LeftOut]]:
        carrier = self.shared.carrier
        if not carrier.wants_tags(found):
            return carrier(n, pin, found)
        try:
            return carrier(n, pin, found, self.at_source(self.source.tags, pin))
        except AccessDenied as error:
            return carrier(n, pin, found, tags_refused=error.message)

    def tried(self, work: Callable[[int], T]) -> T:
        """Return what work(attempt) returns, trying again what may go through later. Raises what the last try raised, and Cancelled."""
        attempt = 0
        while True:
            attempt += 1
            self.attempts = max(self.attempts, attempt)
            try:
                return work(attempt)
            except PortalError as error:
                most = MAX_TRIES_THROTTLED if isinstance(error, Throttled) else MAX_TRIES
                if not error.retryable or attempt >= most or isinstance(error, UploadGone):
                    raise
                self.shared.outbox.log(10, f"try {attempt}: {error.message}")
            self.wait(attempt)

    def wait(self, attempt: int) -> None:
        """Wait before the next try: full jitter, so that many do not come back at once (AWS, "Exponential Backoff And Jitter")."""
        pause(random.uniform(0, min(_BACKOFF_MAX_S, self.options.backoff_s * 2**attempt)), self.shared.stopped.is_set)  # noqa: S311
        self.renew()

    def standing(self, item: Item, modified: str, *, begun: bool) -> Found | None:
        """Return what stands at the target if it is this very copy, made by this job; None when it is not, or nothing is there.

        A file has no metadata: of those only one that was begun (`begun`), of the source's size and time, counts, and none where another one
        was to be replaced: that may have had the same size and time."""
        found = self._at_target_now(item)
        if found is None or found.size_bytes != item.size_bytes:
            return None
        if self.shared.target.kind == "file":
            counts = begun and modified and not item.replace
            return found if counts and _same_moment(found.about.modified, modified) else None
        same = self.is_marked(item, found) and found.about.metadata.get("source_etag", "") == item.etag
        return found if same else None

    def is_ours(self, item: Item) -> bool:
        """Whether what stands at the target was written by this job for this entry, or for it by a job that this one retries."""
        found = self._at_target_now(item)
        if found is None or self.shared.target.kind == "file":
            return False
        return is_marked_as(found.about.metadata, [self.shared.carrier.mark(item.n), *item.ours.split()], self.options.source_root, item.key)

    def is_marked(self, item: Item, found: Found) -> bool:
        return found.about.metadata.get(MARK) == self.shared.carrier.mark(item.n)

    def _at_target_now(self, item: Item) -> Found | None:
        try:
            return self.at_target(self.target.find, item.target_key)
        except NotFound:
            return None


def _same_moment(one: str, other: str) -> bool:
    """RFC 3339 texts of one moment."""
    return datetime.fromisoformat(one) == datetime.fromisoformat(other)
