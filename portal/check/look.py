"""One look at a home folder: the names in it, taken once, and what the files say that were asked for.

The names of queue/ are taken before those of archive/: a job only ever moves from the one to the other, so that none is missed. Whatever
is concluded from names has to be looked at again (`Look.still`), because workers and submitters go on meanwhile.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from functools import cached_property
from pathlib import Path

from portal import clock, jobs
from portal.durable import is_shortage
from portal.errors import BadJobFile, PortalError
from portal.jobs import Job
from portal.seal_tombstones import Tombstone, trusted
from portal.settings import Settings
from portal.spool import reading, records
from portal.spool.layout import Layout, Waiting, running_id

RECENT_DAYS = 3
"""Days, today included, whose archive records a normal check reads even when they are sealed."""


class Depth(IntEnum):
    """How much is read. QUICK: the queue alone. NORMAL: also every name in archive/ and logs/, and the recent or unsealed records. DEEP: all."""

    QUICK = 0
    NORMAL = 1
    DEEP = 2


class Look:
    """What one check works with."""

    def __init__(self, settings: Settings, depth: Depth = Depth.NORMAL) -> None:
        self.settings, self.depth = settings, depth
        self.layout = Layout(settings)
        self.now_ms = clock.now_ms()
        self.ready = records.ready(self.layout)
        self.running = records.running_ids(self.layout)
        self.delayed = records.delayed(self.layout)
        self._read: dict[Path, Job | BadJobFile | None] = {}
        self._tombstones: dict[date, Tombstone | None] = {}

    @property
    def today(self) -> date:
        return datetime.fromtimestamp(self.now_ms / 1000, UTC).date()

    def waiting(self) -> Iterator[tuple[Path, Waiting]]:
        """Yield the files that are named like jobs that wait."""
        for folder, items in ((self.layout.queue, self.ready), (self.layout.delayed, self.delayed)):
            for item in items:
                yield folder / item.name, item

    def job(self, path: Path) -> Job | BadJobFile | None:
        """Return what a file holds: a job, why it is none, or None when it is gone. A job file of the queue is read once and remembered."""
        if path.is_relative_to(self.layout.archive):
            return read(path)
        if path not in self._read:
            self._read[path] = read(path)
        return self._read[path]

    @cached_property
    def in_queue(self) -> set[str]:
        """Ids that files in queue/ are named for."""
        return {item.job_id for item in (*self.ready, *self.delayed)} | set(self.running)

    @cached_property
    def days(self) -> dict[date, list[str]]:
        """The names in each day of the archive."""
        return {day: records.names(self.layout.day(day)) for day in reading.archive_folders(self.layout)}

    @cached_property
    def finished(self) -> dict[str, date | None]:
        """The day of each archived id; None for one that has records on several days."""
        found: dict[str, date | None] = {}
        for day, names in self.days.items():
            for name in names:
                if job_id := running_id(name):
                    found[job_id] = None if job_id in found else day
        return found

    def archived(self, job_id: str) -> bool:
        """Tell whether the archive has a record of a job where the portal looks for it."""
        return records.archived_path(self.layout, job_id) is not None

    def is_read(self, day: date) -> bool:
        """Tell whether the records of a day are read in full at this depth."""
        if self.depth is Depth.NORMAL:
            return day > self.today - timedelta(days=RECENT_DAYS) or not (self.layout.day(day).parent / f"{day:%d}.seal.json").exists()
        return self.depth is Depth.DEEP

    def tombstone(self, day: date) -> Tombstone | None:
        """Return the trusted tombstone of a day."""
        if day not in self._tombstones:
            self._tombstones[day] = trusted(self.settings, day)
        return self._tombstones[day]

    @cached_property
    def removed(self) -> set[str]:
        """Ids of the jobs whose records were removed by retention."""
        found: set[str] = set()
        for path in self.layout.archive.glob("[0-9]*/[0-9]*/*.retained.json"):
            if (day := day_of(path)) and (tombstone := self.tombstone(day)):
                found |= tombstone.records
        return found

    def ran(self, job_id: str) -> bool:
        """Tell whether something is left that shows that a job ran once, though it has no record."""
        return job_id in self.removed or self.layout.log(job_id).exists() or self.layout.folder(job_id).exists()

    def nowhere(self, job_id: str) -> bool:
        """Tell whether a job is in no place. It may be moving: so look several times."""
        return not any(records.known(self.layout, job_id) for _ in range(3))


def read(path: Path) -> Job | BadJobFile | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return BadJobFile("This is not a file.", hint="Look who put it there, and remove it.")
        return records.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if is_shortage(error):  # the file is not at fault, and must not be set aside
            raise PortalError(f"{path.name} cannot be read now: {error.strerror}.", hint="Check again.") from error
        return BadJobFile(f"{path.name} cannot be read: {error.strerror}.")
    except BadJobFile as error:
        return error


def day_of(path: Path) -> date | None:
    """The day that a file `YYYY/MM/DD.…` is about."""
    try:
        return date(int(path.parent.parent.name), int(path.parent.name), int(path.name[:2]))
    except ValueError:
        return None


def is_id(text: str) -> bool:
    return jobs.ID_PATTERN.fullmatch(text) is not None
