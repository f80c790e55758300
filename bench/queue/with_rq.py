"""RQ on a real Redis, as a contender."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis
import rq
from rq.registry import FailedJobRegistry, StartedJobRegistry

from bench.queue import jobs, redis_server
from bench.queue.contender import Contender


class Rq(Contender):
    title = "RQ, Redis with appendfsync always"
    kinds = ("a fork per job", "SimpleWorker, in-process")
    pooled = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.redis = redis.Redis(unix_socket_path=str(redis_server.socket_in(folder)))
        self.queue = rq.Queue("bench", connection=self.redis)

    @classmethod
    @contextmanager
    def serving(cls, folder: Path, before: Sequence[str] = ()) -> Iterator[tuple[int, ...]]:
        with redis_server.serving(folder, before) as pid:
            yield (pid,)

    def put(self, work: str) -> None:
        self.queue.enqueue(getattr(jobs, work), str(self.folder))

    def consume(self, kind: str, workers: int) -> None:
        logging.getLogger("rq.worker").setLevel(logging.ERROR)
        kinds = {"a fork per job": rq.Worker, "SimpleWorker, in-process": rq.SimpleWorker}
        kinds[kind]([self.queue], connection=self.redis).work(logging_level="ERROR")

    def left(self) -> str:
        """Also what its clean-up makes of it, told by asking that for the moment in an hour."""
        logging.getLogger("rq.registry").setLevel(logging.ERROR)
        started, failed = (registry("bench", connection=self.redis) for registry in (StartedJobRegistry, FailedJobRegistry))
        told = f"in the queue {len(self.queue)}, in StartedJobRegistry {started.count}"
        started.cleanup(timestamp=int(time.time()) + 3600)
        return f"{told}; its clean-up then marks it failed: {failed.count}"
