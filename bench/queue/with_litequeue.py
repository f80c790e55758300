"""litequeue, as a contender."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import litequeue

from bench.queue.contender import Contender

_IDLE_S = 0.005


class LiteQueue(Contender):
    title = "litequeue as it comes (synchronous=NORMAL)"
    kinds = ("processes",)
    pooled = False
    synchronous = "NORMAL"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.queue = litequeue.LiteQueue(str(folder / "lite.db"), timeout=30)
        self.queue.conn.execute(f"PRAGMA synchronous = {self.synchronous}")

    def put(self, work: str) -> None:
        self.queue.put(work)

    def consume(self, kind: str, workers: int) -> None:
        while True:
            try:
                message = self.queue.pop()
            except sqlite3.OperationalError:  # the other worker holds the database
                message = None
            if message is None:
                time.sleep(_IDLE_S)
                continue
            self._run(message.data)
            self.queue.done(message.message_id)

    def left(self) -> str:
        locked = len(list(self.queue.list_locked(0)))
        return f"LOCKED {locked}, until somebody calls list_locked() and retry()" if locked else f"in the queue {self.queue.qsize()}"


class LiteQueueFull(LiteQueue):
    title = "litequeue, set to synchronous=FULL"
    synchronous = "FULL"
