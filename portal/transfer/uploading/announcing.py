"""Telling a queue of what has arrived. What was told stands in `notices.ndjson` of the job, a line each, so that nobody tells it again: not the next
attempt, and not the job that retries this one.

A notice is written down after it was sent: who dies in between sends it twice, and never not at all.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from portal import clock
from portal.durable import sync_folder
from portal.errors import NotFound
from portal.notices import message
from portal.notices.message import BadNotice, Notice
from portal.stores.base import Store
from portal.stores.url import StoreURL
from portal.transfer.uploading import lines
from portal.transfer.uploading.arrived import Arrived
from portal.transfer.uploading.lines import LinesFile

NOTICES_FILE = "notices.ndjson"
_LINES_AT_ONCE = 1_000


class Queue(Protocol):
    """See `portal.notices.sqs.NoticeQueue`."""

    def send(self, bodies: Sequence[str]) -> list[tuple[int, str]]: ...


class Sent:
    """What was told already: objects by URL and ETag. Memory stays flat. Safe for many threads."""

    def __init__(self, folder: Path, earlier: Path | None) -> None:
        """`earlier`: folder of the job that this one retries, whose notices count."""
        self._path = folder / NOTICES_FILE
        if earlier and not self._path.exists():
            _take_over(self._path, earlier / NOTICES_FILE)
        self._base = sqlite3.connect("", check_same_thread=False)  # in a temporary file of its own, which goes with the connection
        self._base.execute("CREATE TABLE sent (url TEXT, etag TEXT, PRIMARY KEY (url, etag)) WITHOUT ROWID")
        self._lock = threading.Lock()
        self.count = 0
        """Notices that this job sent, in all its attempts."""
        found = lines.read(self._path)
        while batch := list(islice(found, _LINES_AT_ONCE)):
            self._add((str(line.get("url")), str(line.get("etag"))) for line in batch)
            self.count += sum("job" not in line for line in batch)
        self._file = LinesFile(self._path)

    def _add(self, found: Iterable[tuple[str, str]]) -> None:
        self._base.executemany("INSERT OR IGNORE INTO sent VALUES (?, ?)", found)

    def has(self, url: str, etag: str) -> bool:
        with self._lock:
            return self._base.execute("SELECT 1 FROM sent WHERE url = ? AND etag = ?", (url, etag)).fetchone() is not None

    def note(self, notices: Sequence[Notice]) -> None:
        """Write down what was sent."""
        at = clock.iso(clock.now_ms())
        with self._lock:
            self._file.add({"url": str(one.url), "etag": one.etag, "source": one.source, "at": at} for one in notices)
            self._add((str(one.url), one.etag) for one in notices)
            self.count += len(notices)

    def close(self) -> None:
        with self._lock:
            self._file.close()
            self._base.close()


def _take_over(path: Path, earlier: Path) -> None:
    """Begin the file with what the job that is retried has told, so that a retry of this one finds that too."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.unlink(missing_ok=True)
    taken = LinesFile(fresh)
    taken.add({**line, "job": line.get("job") or earlier.parent.name} for line in lines.read(earlier))
    taken.close()
    fresh.replace(path)
    sync_folder(path.parent)


@dataclass(frozen=True)
class About:
    """What every notice of a job tells besides its object."""

    target: StoreURL
    source: StoreURL
    job: str
    trigger: str = ""
    region: str = ""


@dataclass(frozen=True)
class Announcing:
    """Sends notices; may be called by many threads."""

    queue: Queue
    sent: Sent
    about: About
    store: Store
    """The target: is asked for what was there before the job."""

    def __call__(self, batch: Sequence[Arrived]) -> dict[int, str]:
        """Tell of what was not told of before; returns why some could not be told, by their `n`.

        Raises what queues and stores raise: nothing is known then of any."""
        failed: dict[int, str] = {}
        bodies: list[str] = []
        told: list[tuple[int, Notice]] = []
        for one in batch:
            try:
                notice = self._notice(one)
                if not self.sent.has(str(notice.url), notice.etag):
                    bodies.append(message.body(notice))
                    told.append((one.n, notice))
            except (NotFound, BadNotice) as error:
                failed[one.n] = error.message
        refused = dict(self.queue.send(bodies)) if bodies else {}
        self.sent.note([notice for place, (_, notice) in enumerate(told) if place not in refused])
        return failed | {told[place][0]: why for place, why in refused.items()}

    def _notice(self, one: Arrived) -> Notice:
        etag, at_ms, size, crc = one.target_etag, one.at_ms, one.size_bytes, one.crc64nvme
        if not etag:
            found = self.store.stat(one.target_key)
            etag, size, crc = found.etag, found.size_bytes, found.checksums.get("crc64nvme", "")
            at_ms = int(found.modified.timestamp() * 1000) if found.modified else 0
        about = self.about
        return Notice(
            about.target.at(one.target_key), size, etag, crc, clock.iso(at_ms) if at_ms else "", region=about.region, job=about.job,
            trigger=about.trigger, source=str(about.source.at(one.key)),
        )  # fmt: skip
