"""Our queue, as a contender."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ulid import ULID

import worker
from bench.queue.contender import Contender
from portal import clock, settings
from portal.jobs import Job
from portal.spool import Spool

ENGINES = "bench.queue.engines"


class Portal(Contender):
    title = "this queue"
    kinds = ("a process per job",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.spool = Spool(settings.load(folder))

    def put(self, work: str) -> None:
        self.submit(work)

    def submit(self, work: str, **changes: Any) -> Job:
        params = {"started": f"{self.folder}/started", "until": f"{self.folder}/go"} if work == "hold" else {}
        return self.spool.submit(Job(str(ULID()), "noop", params, clock.iso(clock.now_ms()), submitted_by="bench", **changes))

    def consume(self, kind: str, workers: int) -> None:
        sys.argv[1:] = ["--quiet", "--slots", str(workers)]
        worker.main(ENGINES)

    def left(self) -> str:
        counts = self.spool.counts()
        return f"queued {counts['queued']}, delayed {counts['delayed']}, running {counts['running']}"

    def done(self) -> int:
        today = datetime.now(UTC).date()
        return sum(len(self.spool.archived_ids(today + timedelta(days=day))) for day in (-1, 0, 1))
