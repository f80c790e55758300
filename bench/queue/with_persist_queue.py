"""persist-queue, as a contender: only the threads of one process can share one of its queues."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import persistqueue

from bench.queue.contender import Contender


class PersistFile(Contender):
    title = "persist-queue Queue (files)"
    kinds = ("threads",)
    apart = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.queue = persistqueue.Queue(str(folder / "queue"), tempdir=str(folder))

    def put(self, work: str) -> None:
        self.queue.put(work)

    def consume(self, kind: str, workers: int) -> None:
        _in_threads(self._one, workers)

    def _one(self) -> None:
        work = self.queue.get()
        self._run(work)
        self.queue.task_done()

    def left(self) -> str:
        return f"in the queue {persistqueue.Queue(str(self.folder / 'queue')).qsize()}"


class PersistAck(Contender):
    title = "persist-queue SQLiteAckQueue"
    kinds = ("threads",)
    apart = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.queue = persistqueue.SQLiteAckQueue(str(folder / "queue"), multithreading=True)

    def put(self, work: str) -> None:
        self.queue.put(work)

    def consume(self, kind: str, workers: int) -> None:
        _in_threads(self._one, workers)

    def _one(self) -> None:
        item = self.queue.get(raw=True)
        self._run(item["data"])
        self.queue.ack(id=item["pqid"])

    def left(self) -> str:
        return f"in the queue {self.queue.total}, not acknowledged {self.queue.unack_count()}"


def _in_threads(one: Callable[[], None], workers: int) -> None:
    def loop() -> None:
        while True:
            one()

    threads = [threading.Thread(target=loop, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
