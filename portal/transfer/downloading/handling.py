"""One message: read, its objects fetched, and what is to become of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from portal.errors import AccessDenied, Cancelled, DiskNearlyFull, PortalError, SettingError, StoreFull, Unreachable, explain
from portal.movers.messages import cause_of
from portal.notices import message
from portal.notices.message import BadNotice, Notice
from portal.notices.sqs import Received
from portal.stores.url import StoreURL
from portal.transfer.downloading import naming
from portal.transfer.downloading.dead_letters import DeadLetters
from portal.transfer.downloading.fetching import Fetched, Fetcher
from portal.transfer.downloading.target import RefusedHere

log = logging.getLogger("portal.transfer")

_NO_ROOM = (StoreFull, DiskNearlyFull)
_CIRCUMSTANCES = (Unreachable, *_NO_ROOM)
"""Not the message's fault: it waits until they are over."""
_UNLESS_OTHERS_CAME = (AccessDenied, SettingError)
"""The same, until an object could be read: then it is this one that is refused."""
_FAR_TOO_OFTEN = 5
"""Times max_tries: a message that came more often while others could be read is what is wrong itself, whatever it meets."""


class NotMeant(BadNotice):
    """The object is none that may be fetched."""


class Fate(Enum):
    DELETE = "delete"
    """All of it is done with."""
    AGAIN = "again"
    """It is given back, and comes again after a pause."""
    BACK = "back"
    """It is given back at once: nothing was tried."""


class Ended(NamedTuple):
    """What became of a message."""

    message: Received
    fate: Fate
    rows: Mapping[int, Mapping[str, Any]] = {}
    """Columns of the ledger by number of the record in the message; `dead` of those that went to the dead letters."""
    trouble: PortalError | None = None
    """What kept it from being tried that is not its fault."""


@dataclass
class Handler:
    """Handles messages; may be used by several threads."""

    fetcher: Fetcher
    dead: DeadLetters
    sources: tuple[StoreURL, ...]
    max_tries: int
    has_read: bool = field(default=False)
    """Whether any object could be read: if none could, it is the credentials that are refused, and no message's fault."""

    def handle(self, received: Received, settled: Collection[int] = (), failed: int = 0) -> Ended:
        """Never raises.

        Args:
            settled: records of it that an earlier try is done with
            failed: how often it was tried and failed before
        """
        try:
            return self._handled(received, settled, failed)
        except Cancelled:
            return Ended(received, Fate.BACK)

    def _handled(self, received: Received, settled: Collection[int], failed: int) -> Ended:
        began = time.time_ns() // 1_000_000
        try:
            found = message.read(received.body)
        except BadNotice as error:
            return self._failed(received, {0: _row(_failure(error), received, began)}, [error], failed)
        rows: dict[int, dict[str, Any]] = {}
        errors: list[PortalError] = []
        for n, notice in enumerate(found.notices):
            if n not in settled:
                began = time.time_ns() // 1_000_000
                told = self._tried(notice, errors)
                rows[n] = _row({**_source(notice), **told}, received, began)
        for n, reason in enumerate(found.ignored, len(found.notices)):
            if n not in settled:
                rows[n] = _row({"outcome": "excluded", "reason": reason}, received, began)
        return self._failed(received, rows, errors, failed) if errors else Ended(received, Fate.DELETE, rows)

    def _tried(self, notice: Notice, errors: list[PortalError]) -> dict[str, Any]:
        """Return the columns of an object's row; what failed is added to `errors`. Raises Cancelled."""
        try:
            if not naming.allowed(notice.url, self.sources):
                meant = ", ".join(map(str, self.sources)) or "objects in S3"
                raise NotMeant(f"{notice.url} may not be fetched.", hint=f"sources allows {meant}.")
            fetched = self.fetcher.fetch(notice)
        except Cancelled:
            raise
        except PortalError as error:
            errors.append(error)
            return _failure(error)
        except Exception as error:
            log.exception("%s failed in a way that is not known", notice.url)
            errors.append(PortalError(f"{type(error).__name__}: {error}"))
            return _failure(errors[-1])
        self.has_read = self.has_read or fetched.outcome == "copied"
        return _told(fetched)

    def _failed(self, received: Received, rows: dict[int, dict[str, Any]], errors: list[PortalError], before: int) -> Ended:
        trouble = next((error for error in errors if self._is_circumstance(error)), None)
        if trouble and not self._is_hopeless(received, trouble):
            return Ended(received, Fate.AGAIN, rows, trouble)
        if not trouble and before + 1 < self.max_tries and not all(isinstance(error, BadNotice) for error in errors):
            return Ended(received, Fate.AGAIN, rows)
        count = f"Received {received.times} times while others could be read" if trouble else f"Try {before + 1} of {self.max_tries}"
        why = f"{count}: {explain(trouble or errors[0])}"
        try:
            self.dead.put(received, why)
        except PortalError as error:
            return Ended(received, Fate.AGAIN, rows, error)
        for row in rows.values():
            if row["outcome"] == "failed":
                row.update(reason=f"dead-lettered to {self.dead.where}: {row['reason']}", dead=True)
        return Ended(received, Fate.DELETE, rows)

    def _is_circumstance(self, error: PortalError) -> bool:
        if isinstance(error, _CIRCUMSTANCES):
            return True
        return isinstance(error, _UNLESS_OTHERS_CAME) and not isinstance(error, RefusedHere) and not self.has_read

    def _is_hopeless(self, received: Received, trouble: PortalError) -> bool:
        return self.has_read and received.times > _FAR_TOO_OFTEN * self.max_tries and not isinstance(trouble, _NO_ROOM)


def _failure(error: PortalError) -> dict[str, Any]:
    return {"outcome": "failed", "reason": explain(error), "cause": cause_of(error)}


def _source(notice: Notice) -> dict[str, Any]:
    return {
        "source_url": str(notice.url), "source_key": notice.key, "source_size": notice.size_bytes, "source_etag": notice.etag,
        "source_version": notice.version_id or None,
    }  # fmt: skip


def _told(fetched: Fetched) -> dict[str, Any]:
    copied = fetched.outcome == "copied"
    known = {
        "source_size": fetched.size_bytes, "source_etag": fetched.etag, "source_version": fetched.version, "source_modified": fetched.modified,
        "crc64nvme": fetched.crc64nvme, "source_checksum": fetched.source_checksum,
    }  # fmt: skip
    return {
        "outcome": fetched.outcome, "reason": fetched.reason, "target_url": fetched.target or None,
        "target_key": fetched.target.removeprefix("file:///") or None, "target_size": fetched.size_bytes if copied else None,
        "proof": "read-back" if copied else "none", "mode": "stream" if copied else "", "bytes_through": fetched.bytes_through,
        **{name: value for name, value in known.items() if value not in (None, "")},
    }  # fmt: skip


def _row(told: Mapping[str, Any], received: Received, began_ms: int) -> dict[str, Any]:
    ended_ms = time.time_ns() // 1_000_000
    times = {"attempts": received.times, "started_at": began_ms, "finished_at": ended_ms, "duration_s": max(0, ended_ms - began_ms) / 1000}
    return {"source_key": "", **told, **times}
