"""Converting objects in threads of this process, beside those that move: through the stores' own clients, with temporary files."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from portal.errors import AlreadyExists, Cancelled, NotFound, PortalError, SourceChanged
from portal.movers.messages import failure_of
from portal.planning.plan import Entry
from portal.stores.base import ObjectInfo, Store
from portal.tabular.outcome import Converted
from portal.transfer.carry import is_marked_as, mark_of

MAX_TRIES = 3
_BACKOFF_S = 0.5

log = logging.getLogger("portal.transfer")

Row = dict[str, Any]
"""Columns of the ledger of one object."""


class Convert(Protocol):
    """Converts one object a call; see `portal.transfer.converter`."""

    def __call__(self, entry: Entry, info: ObjectInfo, *, overwrite: bool, moved: Callable[[int], None]) -> Converted: ...

    def previews(self, sample: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]: ...


class Conversions:
    """Converts entries; `moved` is told the bytes of each block, from any thread, and may raise Cancelled."""

    def __init__(
        self, source: Store, target: Store, job_id: str, convert: Convert | None, threads: int, moved: Callable[[int], None]
    ) -> None:  # fmt: skip
        self._source, self._target, self._job_id = source, target, job_id
        self._convert, self._threads, self._moved = convert, threads, moved
        self._executor: ThreadPoolExecutor | None = None
        self._running: set[Future[Row]] = set()
        self._lock = threading.Lock()

    @property
    def room(self) -> bool:
        return len(self._running) < self._threads * 2

    @property
    def idle(self) -> bool:
        return not self._running

    def put(self, entry: Entry, *, overwrite: bool, skips: bool) -> None:
        """`overwrite`: what is at the target may be replaced, else only what this job, or one that it retries, left there of this entry;
        `skips`: what appears there meanwhile is left as it is, and that is no failure."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="convert")
        self._running.add(self._executor.submit(self._brought_to_end, entry, overwrite, skips))

    def ended(self) -> list[Row]:
        """Return the rows of those that have ended since the last call; those that a cancel cut off have none."""
        done = {future for future in self._running if future.done()}
        self._running -= done
        return [future.result() for future in done if not isinstance(future.exception(), Cancelled)]

    def close(self) -> None:
        """Wait for those that run; they end soon where `moved` raises Cancelled."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def _brought_to_end(self, entry: Entry, overwrite: bool, skips: bool) -> Row:
        began, began_s = time.time_ns() // 1_000_000, time.monotonic()
        attempt = 0
        row: Row | None = None
        while row is None:
            attempt += 1
            try:
                row = self._converted(entry, overwrite)
            except Cancelled:
                raise
            except Exception as error:
                row = self._after(error, entry, attempt, skips)
        times = {"started_at": began, "finished_at": time.time_ns() // 1_000_000, "duration_s": round(time.monotonic() - began_s, 4)}
        return {"n": entry.n, **row, "attempts": attempt, **times}

    def _after(self, error: Exception, entry: Entry, attempt: int, skips: bool) -> Row | None:
        """Return the row of an object that failed; None when it is to be tried again."""
        if isinstance(error, AlreadyExists) and skips:
            return {"outcome": "skipped", "reason": "the target exists already"}
        failure = failure_of(error)
        if failure.retryable and attempt < MAX_TRIES:
            self._pause(attempt)
            return None
        if not isinstance(error, PortalError):
            log.exception("%s failed in a way nobody knows", entry.key)
        return {"outcome": "failed", "reason": failure.reason, "cause": failure.cause, "retryable": failure.retryable}

    def _converted(self, entry: Entry, overwrite: bool) -> Row:
        if self._convert is None:
            raise PortalError("The plan converts, but nothing to convert with was given.")
        info = self._source.stat(entry.key)
        if entry.etag and info.etag != entry.etag:
            raise SourceChanged(f"{self._source.url.at(entry.key)} was replaced after it was listed.", hint="Run the job again.")
        done = self._convert(entry, info, overwrite=overwrite or self._is_ours(entry), moved=self._moved)
        return {
            "outcome": "converted", "source_version": info.version_id or None, "target_size": done.target.size_bytes,
            "target_etag": done.target.etag, "crc64nvme": done.target_crc64 or None, "source_checksum": done.source_checksum or None,
            "proof": "converted" if done.read_back else "none", "reason": " ".join(done.warnings), "rows_in": done.rows_in,
            "rows_out": done.rows_out, "rows_rejected": done.rows_rejected, "rows_filtered": done.rows_filtered, "mode": "convert",
            "bytes_through": done.source_bytes,
        }  # fmt: skip

    def _is_ours(self, entry: Entry) -> bool:
        """Whether an attempt that was cut off, or failed on the way, left what stands at the target: its mark says so, and files have none."""
        try:
            metadata = self._target.stat(entry.target_key).metadata
        except NotFound:
            return False
        return is_marked_as(metadata, [mark_of(self._job_id, entry.n), *entry.ours.split()], str(self._source.url.root), entry.key)

    def _pause(self, attempt: int) -> None:
        """Wait before the next try, longer each time, and not all threads alike; a cancel ends the wait."""
        until = time.monotonic() + _BACKOFF_S * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311
        while time.monotonic() < until:
            self._moved(0)
            time.sleep(0.05)
