"""Where everything of the queue lies, and how its files are named. No I/O but making the folders."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Self

from portal import clock, jobs
from portal.durable import make_folder
from portal.errors import SettingError
from portal.settings import Settings

_READY = re.compile(rf"([0-9])-({jobs.ID_PATTERN.pattern})\.json")
READY_LENGTH = len("5-") + 26 + len(".json")
"""Every name of a job that is ready has this length, and hardly any other name."""
_DELAYED = re.compile(rf"([0-9]{{13,15}})-({jobs.ID_PATTERN.pattern})\.json")
_RUNNING = re.compile(rf"({jobs.ID_PATTERN.pattern})\.json")


@dataclass(frozen=True, slots=True)
class Waiting:
    """The name of a job file that waits: its order is the order of claims."""

    name: str
    job_id: str
    priority: int | None = None
    """Of a job that is ready; wins over the priority inside the file."""
    due_ms: int | None = None
    """Of a delayed job."""

    @classmethod
    def ready(cls, name: str) -> Self | None:
        found = _READY.fullmatch(name)
        return cls(name, found[2], priority=int(found[1])) if found else None

    @classmethod
    def delayed(cls, name: str) -> Self | None:
        found = _DELAYED.fullmatch(name)
        return cls(name, found[2], due_ms=int(found[1])) if found and int(found[1]) <= jobs.LATEST_MS else None


def ready_name(job: jobs.Job) -> str:
    return f"{job.priority}-{job.id}.json"


def delayed_name(job_id: str, due_ms: int) -> str:
    return f"{due_ms:013d}-{job_id}.json"


def running_id(name: str) -> str | None:
    found = _RUNNING.fullmatch(name)
    return found[1] if found else None


@dataclass(frozen=True)
class Layout:
    """The folders of one queue."""

    settings: Settings

    @cached_property
    def queue(self) -> Path:
        return self.settings.queue_dir

    @cached_property
    def logs(self) -> Path:
        return self.settings.logs_dir

    @cached_property
    def archive(self) -> Path:
        return self.settings.archive_dir

    @cached_property
    def delayed(self) -> Path:
        return self.queue / "delayed"

    @cached_property
    def running(self) -> Path:
        return self.queue / "running"

    @cached_property
    def locks(self) -> Path:
        return self.queue / "locks"

    @cached_property
    def corrupt(self) -> Path:
        return self.queue / "corrupt"

    @cached_property
    def tmp(self) -> Path:
        return self.queue / "tmp"

    @cached_property
    def cancel(self) -> Path:
        return self.queue / "cancel"

    @cached_property
    def keys(self) -> Path:
        return self.queue / "keys"

    @cached_property
    def limits(self) -> Path:
        return self.queue / "limits"

    @cached_property
    def triggers(self) -> Path:
        return self.queue / "triggers"

    @cached_property
    def workers(self) -> Path:
        return self.queue / "workers"

    @cached_property
    def paused(self) -> Path:
        """A file for the queue, or for one engine, that starts nothing new at the moment."""
        return self.queue / "paused"

    @cached_property
    def reserve(self) -> Path:
        return self.queue / "reserve"

    @cached_property
    def archive_tmp(self) -> Path:
        """Half-written archive records: beside them, because archive/ may be another file system than queue/."""
        return self.archive / ".tmp"

    def make(self) -> None:
        """Create the folders that are missing. Raises SettingError, also when the home itself is: its name may be mistyped."""
        home = self.settings.home
        if not home.is_dir():
            raise SettingError(f"The folder {home} does not exist.", hint="PORTAL_HOME names it: correct that, or create the folder.")
        for folder in (
            self.delayed, self.running, self.locks, self.corrupt, self.tmp, self.cancel, self.keys, self.limits, self.triggers, self.workers,
            self.paused, self.reserve, self.logs, self.archive_tmp,
        ):  # fmt: skip
            try:
                make_folder(folder)
            except OSError as error:
                hint = "PORTAL_HOME names the portal's folder: it must be on a local disk, and yours to write; run this as the portal's user."
                raise SettingError(f"The folder {folder} cannot be made or entered.", hint=hint) from error

    def lock(self, job_id: str) -> Path:
        return self.locks / job_id

    def marker(self, job_id: str) -> Path:
        return self.cancel / job_id

    def record(self, job_id: str) -> Path:
        return self.running / f"{job_id}.json"

    def folder(self, job_id: str) -> Path:
        return self.logs / job_id

    def log(self, job_id: str) -> Path:
        return self.logs / f"{job_id}.log"

    def exit_file(self, job_id: str, attempt: int) -> Path:
        return self.folder(job_id) / f"exit-{attempt}.json"

    def result_file(self, job_id: str, attempt: int) -> Path:
        return self.folder(job_id) / f"result-{attempt}.json"

    def day(self, day: date) -> Path:
        return self.archive / f"{day:%Y}" / f"{day:%m}" / f"{day:%d}"

    def archived(self, job_id: str, finished_at: str) -> Path:
        return self.day(utc_day(clock.parse_ms(finished_at))) / f"{job_id}.json"


def utc_day(moment_ms: int) -> date:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).date()
