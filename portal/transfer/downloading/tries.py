"""How often messages were tried and failed, over all jobs that fetch from one queue into one folder.

SQS counts how often a message was received, which says less: one that was given back untried, or that met an outage, was received too. So each
failed try is a line in a hidden file of the folder. It is a help and no promise: where it cannot be kept, or is lost, a message is tried more often.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from portal import clock
from portal.stores.partial import partial_name

log = logging.getLogger("portal.transfer")

_KEPT_MS = 14 * 86_400_000
"""No queue keeps a message for longer."""
_MOST_LINES = 1000
"""More of them than twice the messages are written anew."""


class Tries:
    """Told by one thread, asked by any."""

    def __init__(self, folder: Path, queue: str) -> None:
        name = hashlib.sha256(f"tries of messages of {queue}".encode()).hexdigest()[:16]
        self._path = folder / f".portal-{name}.part"
        self._failed: Counter[str] = Counter()
        self._kept = True
        self._load()

    def of(self, message_id: str) -> int:
        """Return how often a message was tried and failed."""
        return self._failed.get(message_id, 0)

    def add(self, message_id: str) -> None:
        self._failed[message_id] += 1
        self._tell(_line(message_id, 1))

    def forget(self, message_id: str) -> None:
        """The message is done with."""
        if self._failed.pop(message_id, 0):
            self._tell(_line(message_id, 0))

    def close(self) -> None:
        """Leave no file behind that says nothing."""
        if not self._failed:
            self._safely(lambda: self._path.unlink(missing_ok=True))

    def _tell(self, line: str) -> None:
        def append() -> None:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)

        self._safely(append)

    def _load(self) -> None:
        try:
            lines = self._path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            self._give_up(error)
            return
        since = clock.now_ms() - _KEPT_MS
        for line in lines:
            self._take(line, since)
        if len(lines) > max(_MOST_LINES, 2 * len(self._failed)):
            self._safely(self._write_anew)

    def _take(self, line: str, since_ms: int) -> None:
        try:
            told = json.loads(line)
            message_id, failed, at_ms = str(told["message"]), int(told["failed"]), int(told["at"])
        except (ValueError, TypeError, KeyError):  # a crash cut it off
            return
        if not failed:
            self._failed.pop(message_id, None)
        elif at_ms >= since_ms:
            self._failed[message_id] += failed

    def _write_anew(self) -> None:
        fresh = self._path.with_name(partial_name())
        fresh.write_text("".join(_line(message_id, failed) for message_id, failed in self._failed.items()))
        fresh.replace(self._path)

    def _safely(self, work: Callable[[], None]) -> None:
        if self._kept:
            try:
                work()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._kept = False
        log.warning("how often messages failed cannot be kept in %s, and counts for this job alone: %s", self._path, error)


def _line(message_id: str, failed: int) -> str:
    return json.dumps({"message": message_id, "failed": failed, "at": clock.now_ms()}) + "\n"
