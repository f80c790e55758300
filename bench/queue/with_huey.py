"""huey, as a contender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huey

from bench.queue import jobs
from bench.queue.contender import Contender


class _Huey(Contender):
    kinds = ("processes", "threads")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.huey = self._opened()
        self.tasks = {name: self.huey.task(name=name)(getattr(jobs, name)) for name in ("noop", "hold")}

    def _opened(self) -> Any:
        raise NotImplementedError

    def put(self, work: str) -> None:
        self.tasks[work](str(self.folder))

    def consume(self, kind: str, workers: int) -> None:
        types = {"processes": "process", "threads": "thread"}
        self.huey.create_consumer(workers=workers, worker_type=types[kind], periodic=False).run()

    def left(self) -> str:
        waiting = self.huey.pending_count()
        return f"in the queue {waiting}" if waiting else "nowhere: it left the queue when the worker took it"


class FileHuey(_Huey):
    title = "huey FileHuey"

    def _opened(self) -> Any:
        return huey.FileHuey("bench", path=str(self.folder / "huey"))


class SqliteHuey(_Huey):
    title = "huey SqliteHuey, fsync=True"

    def _opened(self) -> Any:
        return huey.SqliteHuey("bench", filename=str(self.folder / "huey.db"), fsync=True)
