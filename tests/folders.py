"""Helpers for tests of watched folders: a folder with its trigger and a clock that only the test moves, and what became of each file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal import clock, durable
from portal.jobs import Job, Status
from portal.settings import Settings
from portal.spool import Spool, records
from portal.triggers import book
from portal.triggers.folder.watch import FolderWatch
from portal.triggers.places import TriggerFolder
from portal.triggers.trigger import Trigger
from portal.triggers.watching import Context

STILL_S = 5.0


@dataclass
class Box:
    """A home with one watched folder; nothing runs but what the test calls."""

    home: Path
    on: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.home, min_free_mb=0, min_free_inodes=0)
        self.watched = self.home / "data" / "Watch"
        self.watched.mkdir(parents=True, exist_ok=True)
        self.queued = self.home / "data" / "QueuedForUpload"
        self.spool = Spool(self.settings)
        params = {"target": f"file://{self.home}/data/listed.csv"}
        given = {"engine": "list", "params": params, "overlap": "allow", **self.changes}
        on = {"folder": f"file://{self.watched}/", "still_s": STILL_S, **self.on}
        self.trigger = book.save(self.settings, Trigger(name="sales", kind="folder", on=on, **given), by="ann")
        self._watches: list[FolderWatch] = []
        self.watch = self.fresh_watch()

    def close(self) -> None:
        for watch in self._watches:
            watch.close()

    def fresh_watch(self) -> FolderWatch:
        """What a service that was started anew would have."""
        trigger = book.load(self.spool.layout, "sales")
        home = TriggerFolder(self.spool.layout, "sales", trigger.uid)
        self.close()
        self._watches.append(FolderWatch(trigger, home, Context(self.settings, self.spool), lambda: self.now))
        return self._watches[-1]

    def drop(self, name: str, content: str = "x", *, done: bool = False) -> Path:
        path = self.watched / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if done:
            path.with_name(path.name + ".done").touch()
        return path

    def look(self, after_s: float = 0.2) -> float:
        self.now += after_s
        return self.watch.look(clock.now_ms())

    def settled(self) -> list[Job]:
        """Look until what is there has been still for long enough, and was taken; returns the jobs."""
        self.look()
        for _ in range(3):
            self.look(STILL_S + 0.1)
        return self.jobs()

    def jobs(self) -> list[Job]:
        """The jobs in the queue, oldest first."""
        return [job for item in records.ready(self.spool.layout) if (job := self.spool.find(item.job_id))]

    def files(self, job: Job) -> dict[str, str]:
        return contents(self.queued / job.id)

    def end(self, job: Job, status: Status = Status.SUCCEEDED) -> None:
        """Let a job have ended."""
        layout, finished_at = self.spool.layout, clock.iso(clock.now_ms())
        path = layout.archived(job.id, finished_at)
        durable.make_folder(path.parent)
        path.write_text(job.evolve(status=status, finished_at=finished_at).to_json())
        for waiting in records.ready_paths(layout, job.id):
            waiting.unlink()

    def left(self) -> dict[str, list[str]]:
        """Why what stays stays, as the trigger's state tells it: the first names by reason."""
        told = self.fresh_watch().home.state.told.get("left", [])
        return {item["why"]: item["first"] for item in told}

    def problem(self) -> str:
        problem = self.fresh_watch().home.state.problem
        return problem.text if problem else ""

    def problem_since(self) -> str:
        problem = self.fresh_watch().home.state.problem
        return problem.since if problem else ""

    def manifests(self) -> list[str]:
        return records.names(self.watch.home.batches)


def contents(folder: Path) -> dict[str, str]:
    """The regular files below a folder by name, with what is in them."""
    return {str(path.relative_to(folder)): path.read_text() for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(place, name)).is_file() and not path.is_symlink())
