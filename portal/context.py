"""What an engine is given to work with (`JobContext`) and what it gives back (`Result`)."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from portal import clock
from portal.connections import KIND_OF_SCHEME, Connections
from portal.durable import free_reserve, is_full, write_durably
from portal.errors import Cancelled
from portal.progress import Progress
from portal.settings import Settings
from portal.stores.base import Store
from portal.stores.opening import open_store
from portal.stores.url import StoreURL

_PROGRESS_EVERY_S = 0.5
_TOLD_EVERY_S = 5.0
_RATE_WINDOW_S = 30.0

Outcome = Literal["succeeded", "partial", "failed", "rejected"]


@dataclass(frozen=True)
class Result:
    """What an engine did. Counts are of objects or rows as named; timings in seconds."""

    outcome: Outcome = "succeeded"
    counts: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0
    """Bytes that the job moved."""
    timings: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[Mapping[str, Any], ...] = ()
    """What the job made, each with at least a `url`; follow-ups quote these."""
    warnings: tuple[str, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is worth showing: proof levels, per-column figures, query ids."""


class JobContext:
    """What an engine may do besides its work. Made by the frame, one per attempt."""

    def __init__(
        self, job_id: str, folder: Path, config: Settings, *, attempt: int = 1, dry_run: bool = False, retry_of: str | None = None,
        parent: str | None = None, typed_connections: Mapping[str, Mapping[str, Any]] | None = None, labels: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.job_id, self.attempt, self.folder, self.settings, self.dry_run = job_id, attempt, folder, config, dry_run
        self.retry_of, self.parent = retry_of, parent
        self.labels: Mapping[str, str] = labels or {}
        self.so_far: Result | None = None
        """What is recorded beside the error when the engine ends with one: counts and report of the work that was done."""
        self.goes_on = ""
        """What to do to go on after a cancel, for whoever reads that the job was cancelled."""
        self._typed = typed_connections
        self._cancelled = threading.Event()
        self._interruptible = False
        self._progress = Progress(attempt=attempt, started_ms=clock.now_ms())
        self._seen: deque[tuple[float, float, int]] = deque()
        self._written = 0.0
        self.tells = False
        """Tell the progress in the log now and then, for who runs the engine by hand."""
        self._told = time.monotonic()
        self._lock = threading.Lock()
        self.log = logging.getLogger("portal.engine")

    @cached_property
    def connections(self) -> Connections:
        return Connections.load(self.settings, self._typed)

    def connection(self, kind: str, name: str | None = None) -> Any:
        """Return a connection by kind and name ('' or None: the default). Raises SettingError."""
        return self.connections.get(kind, name)

    def store(self, url: StoreURL, connection: str | None = None) -> Store:
        """Open the store a URL names, with a named connection or the default of its scheme. Raises SettingError and StoreErrors."""
        return open_store(url, self.connection(KIND_OF_SCHEME[url.scheme], connection))

    @property
    def earlier_folder(self) -> Path | None:
        """Folder of the finished job that this one retries, with its ledger; None when it retries none or the folder is gone."""
        folder = self.settings.logs_dir / self.retry_of if self.retry_of else None
        return folder if folder and folder.is_dir() else None

    def artefact(self, name: str) -> Path:
        """Return the path of a file of this job; it is listed, with its checksum, in the archive record."""
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"{name!r} is not a plain file name")
        return self.folder / name

    def progress(self, done: float, total: float | None = None, unit: str = "", note: str = "", done_bytes: int = 0) -> None:
        """Tell how far the work is; cheap to call often, from any thread. Raises Cancelled when the job was cancelled."""
        with self._lock:
            now = time.monotonic()
            self._seen.append((now, done, done_bytes))
            while len(self._seen) > 2 and self._seen[0][0] < now - _RATE_WINDOW_S:
                self._seen.popleft()
            before, done_before, bytes_before = self._seen[0]
            span = max(now - before, 1e-3)
            self._progress = Progress(
                done, total, unit, note, done_bytes, max(0.0, (done - done_before) / span), max(0.0, (done_bytes - bytes_before) / span),
                self.attempt, self._progress.started_ms, clock.now_ms(),
            )  # fmt: skip
            if now - self._written >= _PROGRESS_EVERY_S:
                self._written = now
                self._write_progress()
            if self.tells and now - self._told >= _TOLD_EVERY_S:
                self._told = now
                self.log.info("%s", _progress_text(self._progress))
        self.check_cancelled()

    def _write_progress(self) -> None:
        """Tell the progress if the disk takes it: no work fails for want of that."""
        target = self.folder / "progress.json"
        fresh = target.with_name(f".progress.{os.getpid()}")
        try:
            fresh.write_text(self._progress.to_json(), "utf-8")
            fresh.replace(target)
        except OSError as error:
            self.log.debug("the progress cannot be written: %s", error)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return what an earlier attempt of this job saved last, or None."""
        return _checkpoint_in(self.folder)

    def load_earlier_checkpoint(self) -> dict[str, Any] | None:
        """Return what the job that this one retries saved last, or None."""
        return _checkpoint_in(self.earlier_folder) if self.earlier_folder else None

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Keep a small state durably, for the next attempt."""
        write_durably(self.folder / "checkpoint.json", json.dumps(state).encode())

    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def interrupt(self) -> None:
        """Cancel, and raise Cancelled at once where that is safe. For signal handlers, which run in the main thread."""
        self.cancel()
        if self._interruptible:
            self._interruptible = False
            raise Cancelled

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """The main thread may be stopped anywhere inside: waiting for a silent service, within a regular expression. For work that leaves
        nothing behind but what the next attempt can read. Raises Cancelled."""
        self._interruptible = True
        try:
            self.check_cancelled()
            yield
        finally:
            self._interruptible = False
        self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raises Cancelled when the job was asked to stop."""
        if self._cancelled.is_set():
            raise Cancelled

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the last progress and this attempt's result, on a full disk with the room that is kept for it."""
        with self._lock:
            self._write_progress()
        text = json.dumps({"job": self.job_id, "attempt": self.attempt, **result}, ensure_ascii=False, indent=1, default=str)
        data = text.encode("utf-8", "replace")
        path = self.folder / f"result-{self.attempt}.json"
        try:
            write_durably(path, data)
        except OSError as error:
            if not (is_full(error) and free_reserve(self.settings.queue_dir / "reserve")):
                raise
            write_durably(path, data)


def _checkpoint_in(folder: Path) -> dict[str, Any] | None:
    try:
        data: Any = json.loads((folder / "checkpoint.json").read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _progress_text(progress: Progress) -> str:
    total = f" of {progress.total:,.0f}" if progress.total is not None else ""
    speed = f", {progress.rate_bytes / (1 << 20):,.1f} MiB/s" if progress.rate_bytes else ""
    to_go = f", {progress.eta_s:,.0f} s to go" if progress.eta_s else ""
    note = f", {progress.note}" if progress.note else ""
    return f"{progress.done:,.0f}{total} {progress.unit}".rstrip() + speed + to_go + note
