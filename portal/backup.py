"""A backup of the state while everything runs: what was acknowledged before it began is in it, and a restore loses and doubles nothing.

The order makes it so, because a job moves one way, from queue/ to archive/:

1. queue/: its idempotency keys first, each of which is older than its job, and the triggers; then the jobs, in rounds, until a round meets no job
   that the rounds before have not. One that moves from folder to folder would have to fail an attempt within every round, just between two
   listings, to be missed.
2. the folder of the keys: every job that was copied is sealed to a key that is older. The newest known seal lies there too; the archive
   copied after it has that seal.
3. archive/: seals before records, because a sealed day gets no more of them. A job that is now in both places has finished; `check --repair`
   drops its copy in the queue.
4. the follow-ups of the records that this run copied, which were started after step 1, from wherever they are now.
5. logs/: complete for every record that was copied.

archive/ and logs/ are copied once and only added to; queue/ is made anew each time and put in place at the end.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from portal import clock
from portal.durable import make_folder, write_durably
from portal.errors import BadJobFile, BadParameters, PortalError, SettingError
from portal.settings import Settings
from portal.spool import finishing, records
from portal.spool.layout import Layout, Waiting, running_id

MARK = "backup.json"

_FRESH, _OLD = ".queue-fresh", ".queue-old"
_ROUNDS = 10
_PLAIN = ("keys", "cancel", "paused", "triggers", "corrupt")
"""Folders of queue/ that are copied as they are, with what is below them. How far a schedule was followed is copied before the jobs, so that a
moment may be looked at again, whose job is known then, and none is passed over.

Not copied: locks/, limits/, workers/, tmp/ and reserve/, which are of living processes."""


@dataclass(frozen=True)
class Report:
    """What a backup holds. `jobs`: files of the queue; `records` and `files`: of archive/ and logs/, copied in this run. Moments are RFC 3339."""

    begun_at: str
    ended_at: str
    jobs: int
    records: int
    files: int


def backup(settings: Settings, target: Path, keys: Path | None = None) -> Report:
    """Copy the state of a home into a folder, or bring an earlier backup there up to date.

    Args:
        target: an empty or new folder, or an earlier backup.
        keys: folder for a copy of the folder of the keys; None leaves it out.

    Raises:
        SettingError: there is no queue to copy.
        BadParameters: the target holds something else, or lies in the home's state.
        PortalError: something cannot be copied; an earlier backup is as good as it was.
    """
    begun = clock.iso(clock.now_ms())
    _check_target(settings, target)
    copy = _Copy(Layout(settings), target)
    try:
        make_folder(target)
        with _alone(target):
            _run(copy, settings, keys)
    except OSError as error:
        hint = "What an earlier backup there holds is as good as it was. Put right what is named and run it again."
        raise PortalError(f"The backup to {target} could not be completed.", hint=hint) from error
    report = Report(begun, clock.iso(clock.now_ms()), len(copy.jobs), len(copy.fresh_records), copy.files)
    write_durably(target / MARK, json.dumps(asdict(report)).encode())
    return report


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other backups away: two that fill the same folder would put a queue in place that is whole for neither."""
    descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise PortalError(f"Another backup to {target} is under way.", hint="Wait until it has ended.") from error
    finally:
        os.close(descriptor)


def _run(copy: _Copy, settings: Settings, keys: Path | None) -> None:
    copy.queue()
    if keys:
        _copy_keys(settings, keys)
    copy.archive()
    copy.follow_ups()
    copy.logs()
    os.sync()  # before the earlier queue goes
    copy.put_in_place()
    os.sync()


def _check_target(settings: Settings, target: Path) -> None:
    if not settings.queue_dir.is_dir():  # an empty copy of it would take the place of the earlier backup's
        raise SettingError(f"There is no queue at {settings.queue_dir}.", hint="PORTAL_HOME names the folder that is to be backed up.")
    inside = [folder for folder in (settings.queue_dir, settings.archive_dir, settings.logs_dir) if target.resolve().is_relative_to(folder.resolve())]
    if inside or target.resolve() == settings.home.resolve():
        raise BadParameters(f"{target} is part of the home that is to be backed up.", hint="Name a folder elsewhere, best on another disk.")
    if target.is_dir() and any(target.iterdir()) and not any((target / name).exists() for name in (MARK, _FRESH)):
        raise BadParameters(f"{target} holds something that is no backup of the portal.", hint="Name an empty folder, or an earlier backup.")


def _copy_keys(settings: Settings, target: Path) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    # What is current first: its pair was written before it.
    for path in sorted(settings.key_pair_dir.glob("*"), key=lambda path: path.suffix not in (".current", ".json")):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".lock":
            _copy(path, target / path.name)


class _Copy:
    """One run of a backup."""

    def __init__(self, layout: Layout, target: Path) -> None:
        self.layout, self.target = layout, target
        self.queue_copy = target / _FRESH
        self.jobs: dict[str, Path] = {}
        """Where the copy of each job of the queue is."""
        self.fresh_records: list[Path] = []
        self.files = 0

    def queue(self) -> None:
        shutil.rmtree(self.queue_copy, ignore_errors=True)
        for name in ("delayed", "running", *_PLAIN):
            make_folder(self.queue_copy / name)
        for name in _PLAIN:
            for path in sorted((self.layout.queue / name).rglob("*")):
                if path.is_file():
                    _copy(path, self.queue_copy / path.relative_to(self.layout.queue))
        for _ in range(_ROUNDS):
            if not self._round():
                return

    def _round(self) -> bool:
        """Copy the jobs as they are now; True when one was met that was not known."""
        known = set(self.jobs)
        for folder in ("running", "", "delayed"):
            for name in records.names(self.layout.queue / folder):
                job_id = _job_id(folder, name)
                if job_id:
                    self._take(job_id, self.layout.queue / folder / name, self.queue_copy / folder / name)
                elif (self.layout.queue / folder / name).is_file() and not name.startswith("."):
                    _copy(self.layout.queue / folder / name, self.queue_copy / folder / name)
        return not known or not set(self.jobs) <= known

    def _take(self, job_id: str, path: Path, target: Path) -> None:
        earlier = self.jobs.get(job_id)
        if _copy(path, target):
            self.jobs[job_id] = target
            if earlier is not None and earlier != target:
                earlier.unlink(missing_ok=True)

    def archive(self) -> None:
        make_folder(self.target / "archive")
        for pattern in ("*.seal.json", "*.retained.json"):
            self._beside(pattern)
        for day in sorted(self.layout.archive.glob("[0-9]*/[0-9]*/[0-9]*")):
            if day.is_dir():
                for name in records.names(day):
                    if not name.startswith("."):
                        self._record(day / name)
        self._beside("*.audit.parquet")
        self._beside("*.retained.json")  # what retention removed since has its tombstone
        self._beside("*.audit.parquet")
        for path in sorted((self.layout.archive / ".metrics").glob("*")):  # totals that outlive the records they were counted from
            if path.is_file():
                _copy(path, self._in_target(path))

    def _beside(self, pattern: str) -> None:
        for path in sorted(self.layout.archive.glob(f"[0-9]*/[0-9]*/{pattern}")):
            if not _is_same(path, self._in_target(path)):
                _copy(path, self._in_target(path))

    def _record(self, path: Path) -> None:
        target = self._in_target(path)
        if not _is_same(path, target) and _copy(path, target):
            self.fresh_records.append(target)

    def _in_target(self, path: Path) -> Path:
        return self.target / path.relative_to(self.layout.archive.parent)

    def follow_ups(self) -> None:
        """Copy the jobs that the copied records started and that are in no copy yet; theirs too, if they have ended."""
        for path in self.fresh_records:  # grows on the way
            try:
                parent = records.read(path)
            except BadJobFile:
                continue
            for child in finishing.child_ids(parent) if parent and parent.then else ():
                if child not in self.jobs:
                    self._adopt(child)

    def _adopt(self, job_id: str) -> None:
        for _ in range(5):  # it may move between two looks
            for path in self._places(job_id):
                self._take(job_id, path, self.queue_copy / path.relative_to(self.layout.queue))
            archived = records.archived_path(self.layout, job_id)
            if archived:
                self._record(archived)
            if archived or job_id in self.jobs:
                return

    def _places(self, job_id: str) -> Iterator[Path]:
        yield from records.ready_paths(self.layout, job_id)
        yield from records.delayed_paths(self.layout, job_id)
        yield self.layout.record(job_id)

    def logs(self) -> None:
        """Copy what is not there yet; what was removed here stays there."""
        for folder, _, names in os.walk(self.layout.logs, onerror=_unreadable):
            for name in names:
                path = Path(folder) / name
                target = self.target / "logs" / path.relative_to(self.layout.logs)
                if not name.startswith(".") and not path.is_symlink() and not _is_same(path, target) and _copy(path, target):
                    self.files += 1
        make_folder(self.target / "logs")

    def put_in_place(self) -> None:
        old, current = self.target / _OLD, self.target / "queue"
        shutil.rmtree(old, ignore_errors=True)
        if current.exists():
            current.rename(old)
        self.queue_copy.rename(current)
        shutil.rmtree(old, ignore_errors=True)


def _job_id(folder: str, name: str) -> str | None:
    if folder == "running":
        return running_id(name)
    item = Waiting.delayed(name) if folder else Waiting.ready(name)
    return item.job_id if item else None


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # removed meanwhile
        raise error


def _is_same(path: Path, target: Path) -> bool:
    try:
        here, there = path.stat(), target.stat()
    except FileNotFoundError:
        return False
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def _copy(path: Path, target: Path) -> bool:
    """Copy a file with its mode and times under a name of its own, then give it its name; False when it is gone, or is no file any more."""
    fresh = target.with_name(f".{target.name}.copying")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe or socket that an engine left
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.touch(0o600)  # nobody reads a key before it has its mode
        shutil.copy2(path, fresh)
    except (FileNotFoundError, IsADirectoryError):
        fresh.unlink(missing_ok=True)
        return False
    fresh.replace(target)
    return True
