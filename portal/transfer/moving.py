"""Moving the entries of a plan, one at a time and many at once: copy or convert, try again what may go through, write it down."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from portal import clock
from portal.errors import AccessDenied, AlreadyExists, Cancelled, PortalError, SourceChanged, explain
from portal.stores.base import ObjectInfo, Store
from portal.tabular.outcome import Converted
from portal.transfer.copying import copy_object
from portal.transfer.journal import Journal
from portal.transfer.ledger import SCHEMA, Outcome
from portal.transfer.plan import Entry
from portal.transfer.preflight import Overwrite
from portal.transfer.proof import Verify

MAX_TRIES = 3
REFUSALS_BEFORE_GIVING_UP = 20
_BACKOFF_S = 0.5

log = logging.getLogger("portal.transfer")


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one object. Sizes in bytes, times in milliseconds since 1970 (UTC); None where there is nothing to say."""

    source_url: str
    source_key: str
    source_size: int
    outcome: Outcome
    source_etag: str = ""
    source_version: str | None = None
    target_url: str | None = None
    target_key: str | None = None
    target_size: int | None = None
    target_etag: str | None = None
    crc64nvme: str | None = None
    md5: str | None = None
    source_checksum: str | None = None
    proof: str = "none"
    reason: str = ""
    attempts: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    duration_s: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    rows_rejected: int | None = None

    def asdict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SCHEMA.names if hasattr(self, name)}


class Convert(Protocol):
    """Converts one object; see `portal.tabular.converting.convert_object`."""

    def __call__(self, entry: Entry, info: ObjectInfo, *, overwrite: bool, moved: Callable[[int], None]) -> Converted: ...


@dataclass(frozen=True)
class Route:
    """From where to where, and how."""

    source: Store
    target: Store
    overwrite: Overwrite
    verify: Verify
    convert: Convert | None = None


class Mover:
    """Moves entries; safe for many threads. `moved` is told the bytes of each block and may raise Cancelled."""

    def __init__(self, route: Route, journal: Journal, existing: bytearray, moved: Callable[[int], None]) -> None:
        self._route, self._journal, self._existing, self._moved = route, journal, existing, moved
        self._refusals = 0
        self._lock = threading.Lock()
        self.retryable = False
        """True when an object failed for a reason that may pass."""

    def __call__(self, entry: Entry) -> Entry:
        """Bring one entry to an end and journal it. Raises Cancelled."""
        if self._journal.state.ended(entry.n):
            return entry
        ours = entry.ours or self._journal.state.begun(entry.n)
        self._journal.end({"n": [entry.n], **{name: [value] for name, value in self._row(entry, ours).asdict().items()}})
        return entry

    def _row(self, entry: Entry, ours: bool) -> Row:
        if entry.action == "exclude":
            return self._told(entry, "excluded", entry.reason)
        if entry.action == "fail":
            return self._told(entry, "failed", entry.reason)
        if self._existing[entry.n] and self._route.overwrite == "skip":
            return self._told(entry, "skipped", "the target exists already")
        if self._refusals >= REFUSALS_BEFORE_GIVING_UP:
            return self._told(entry, "failed", f"not tried: the {REFUSALS_BEFORE_GIVING_UP} objects before it were refused access")
        self._journal.begin([entry.n])
        return self._tried(entry, ours)

    def _tried(self, entry: Entry, ours: bool) -> Row:
        began, began_ms = time.monotonic(), clock.now_ms()
        row: Row | None = None
        attempt = 0
        while row is None:
            attempt += 1
            try:
                row = self._moved_row(entry, overwrite=ours or self._route.overwrite == "replace")
                self._refusals = 0
            except Cancelled:
                raise
            except AlreadyExists as error:
                appeared = not ours and self._route.overwrite == "skip"
                row = self._told(entry, "skipped", "the target exists already") if appeared else self._failed(entry, error)
            except PortalError as error:
                if not (error.retryable and attempt < MAX_TRIES):
                    row = self._failed(entry, error)
                else:
                    self._pause(attempt)
            except Exception as error:
                log.exception("%s failed in a way nobody knows", entry.key)
                row = self._told(entry, "failed", f"{type(error).__name__}: {error}")
        times = {"started_at": began_ms, "finished_at": clock.now_ms(), "duration_s": round(time.monotonic() - began, 4)}
        return Row(**{**row.asdict(), "attempts": attempt, **times})

    def _moved_row(self, entry: Entry, *, overwrite: bool) -> Row:
        return self._converted(entry, overwrite) if entry.action == "convert" else self._copied(entry, overwrite)

    def _copied(self, entry: Entry, overwrite: bool) -> Row:
        route = self._route
        done = copy_object(route.source, entry.pin, route.target, entry.target_key, overwrite=overwrite, verify=route.verify, moved=self._moved)
        return Row(
            **self._names(entry), outcome="copied", source_version=done.source.version_id, target_size=done.target.size_bytes,
            target_etag=done.target.etag, crc64nvme=done.crc64nvme, md5=done.md5 or None, source_checksum=done.source_checksum or None,
            proof=done.proof, reason=done.note,
        )  # fmt: skip

    def _converted(self, entry: Entry, overwrite: bool) -> Row:
        route = self._route
        if route.convert is None:
            raise PortalError("The plan converts, but nothing to convert with was given.")
        info = route.source.stat(entry.key)
        if entry.etag and info.etag != entry.etag:
            raise SourceChanged(f"{route.source.url.at(entry.key)} was replaced after it was listed.", hint="Run the job again.")
        done = route.convert(entry, info, overwrite=overwrite, moved=self._moved)
        return Row(
            **self._names(entry), outcome="converted", source_version=info.version_id, target_size=done.target.size_bytes,
            target_etag=done.target.etag, crc64nvme=done.target_crc64, source_checksum=done.source_checksum or None,
            proof="converted" if done.read_back else "none", reason=" ".join(done.warnings),
            rows_in=done.rows_in, rows_out=done.rows_out, rows_rejected=done.rows_rejected,
        )  # fmt: skip

    def _failed(self, entry: Entry, error: PortalError) -> Row:
        if isinstance(error, AccessDenied):
            with self._lock:
                self._refusals += 1
        self.retryable = self.retryable or error.retryable
        log.error("%s failed: %s", entry.key, explain(error))
        return self._told(entry, "failed", explain(error))

    def _told(self, entry: Entry, outcome: str, reason: str) -> Row:
        return Row(**self._names(entry), outcome=outcome, reason=reason)  # type: ignore[arg-type]

    def _names(self, entry: Entry) -> dict[str, Any]:
        target = str(self._route.target.url.at(entry.target_key)) if entry.target_key else None
        return {
            "source_url": str(self._route.source.url.at(entry.key)), "source_key": entry.key, "source_size": entry.size_bytes,
            "source_etag": entry.etag, "target_url": target, "target_key": entry.target_key or None,
        }  # fmt: skip

    def _pause(self, attempt: int) -> None:
        """Wait before the next try, longer each time, and not all threads alike; a cancel ends the wait."""
        until = time.monotonic() + _BACKOFF_S * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311
        while time.monotonic() < until:
            self._moved(0)
            time.sleep(0.05)
