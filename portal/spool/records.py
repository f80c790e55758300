"""Reading and moving the files of one job: which places there are, and what is where."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from portal import clock, jobs
from portal.durable import free_reserve, is_full, make_folder, publish, sync_folder
from portal.errors import BadJobFile
from portal.jobs import Job, Status
from portal.spool.layout import Layout, Waiting, delayed_name, ready_name, running_id, utc_day
from portal.spool.listing import known_names

T = TypeVar("T")

_DAY_MS = 86_400_000


def read(path: Path) -> Job | None:
    """Return the job in a file, None when there is no such file. Raises BadJobFile."""
    data = read_bytes(path)
    return None if data is None else parsed(data)


def read_bytes(path: Path) -> bytes | None:
    """Return what is in a job file, None when there is none. Raises BadJobFile when it is no file to read; OSError when that may pass."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise BadJobFile(f"{path.name} cannot be read.", hint="Look at the file's type and permissions.") from error


def parsed(data: bytes) -> Job:
    """Return the job that a file holds. Raises BadJobFile."""
    job = Job.from_json(data)
    if not jobs.ID_PATTERN.fullmatch(job.id):
        raise BadJobFile(f"{job.id!r} is not a job id.", hint="An id is a ULID: 26 letters and digits in upper case.")
    return job


def is_there(path: str) -> bool:
    """Tell whether a file exists, sooner than `Path.exists`, which counts when a submit asks a dozen times. Raises OSError when nobody can tell."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def each_ready(layout: Layout) -> Iterator[Waiting]:
    """Yield what is ready, in the order of claims; the folder is listed once, and names are parted only as far as somebody asks."""
    return (item for name in names(layout.queue) if (item := Waiting.ready(name)))


def each_delayed(layout: Layout) -> Iterator[Waiting]:
    """Yield what is delayed, the next one first; see `each_ready`."""
    return (item for name in known_names(layout.delayed) if (item := Waiting.delayed(name)))


def ready(layout: Layout) -> list[Waiting]:
    return list(each_ready(layout))


def delayed(layout: Layout) -> list[Waiting]:
    return list(each_delayed(layout))


def running_ids(layout: Layout) -> list[str]:
    return [job_id for name in known_names(layout.running) if (job_id := running_id(name))]


def ready_paths(layout: Layout, job_id: str) -> list[Path]:
    """Return the files of a job in queue/, whatever their priority."""
    queue = str(layout.queue)
    paths = [f"{queue}/{priority}-{job_id}.json" for priority in jobs.PRIORITIES]
    return [Path(path) for path in paths if is_there(path)]


def delayed_paths(layout: Layout, job_id: str) -> list[Path]:
    found = (name for name in known_names(layout.delayed) if name.endswith(f"-{job_id}.json"))
    return [layout.delayed / name for name in found if Waiting.delayed(name)]


def archived_path(layout: Layout, job_id: str) -> Path | None:
    """Return the archive record of a job: it lies under the day in its id or a later one, whatever the clock says now."""
    archive, name = str(layout.archive), f"{job_id}.json"
    for day in _days_from(archive, _day_text(jobs.id_ms(job_id) // _DAY_MS)):
        path = f"{archive}/{day}/{name}"
        if is_there(path):
            return Path(path)
    return None


@lru_cache(maxsize=64)
def _day_text(number: int) -> str:
    """The day of so many days since 1970, as YYYY/MM/DD."""
    return f"{utc_day(number * _DAY_MS):%Y/%m/%d}"


def _days_from(archive: str, first: str) -> Iterator[str]:
    """Yield the days that the archive has a folder for, as YYYY/MM/DD."""
    for year in _numbered(archive, first[:4]):
        for month in _numbered(f"{archive}/{year}", first[5:7] if year == first[:4] else "00"):
            for day in _numbered(f"{archive}/{year}/{month}", first[8:] if f"{year}/{month}" == first[:7] else "00"):
                yield f"{year}/{month}/{day}"


def _numbered(folder: str, least: str) -> list[str]:
    """The names in a folder that are numbers of as many digits, and not below it."""
    return [name for name in known_names(folder) if name >= least and len(name) == len(least) and name.isdecimal()]


def known(layout: Layout, job_id: str) -> bool:
    """Tell whether a job is anywhere. Certain only under the job's lock."""
    return _in_plain_sight(layout, job_id) or bool(delayed_paths(layout, job_id))


def in_sight(layout: Layout, job: Job) -> bool:
    """The same for a job that is given, by its possible names alone: delayed/ is not listed for a job that never started.

    Such a job is delayed only to the moment that it gives itself. Should somebody have laid it there under another one, the file here is
    claimed, and the other dropped when its moment comes: the job's record exists by then. What this does not see, a claim does.
    """
    if is_there(f"{layout.running}/{job.id}.json") or ready_paths(layout, job.id) or is_delayed(layout, job):
        return True
    return _is_archived(layout, job.id)


def _is_archived(layout: Layout, job_id: str) -> bool:
    """Tell whether a job has an archive record; that of a young one lies under the day in its id or the next."""
    moment_ms = jobs.id_ms(job_id)
    if not 0 <= clock.now_ms() - moment_ms < _DAY_MS:
        return archived_path(layout, job_id) is not None
    day = moment_ms // _DAY_MS
    return any(is_there(f"{layout.archive}/{_day_text(number)}/{job_id}.json") for number in (day, day + 1))


def is_delayed(layout: Layout, job: Job) -> bool:
    """Tell whether a job lies in delayed/; see `in_sight`."""
    if job.not_before and is_there(f"{layout.delayed}/{delayed_name(job.id, clock.parse_ms(job.not_before))}"):
        return True
    return is_there(f"{layout.logs}/{job.id}") and bool(delayed_paths(layout, job.id))


def _in_plain_sight(layout: Layout, job_id: str) -> bool:
    return bool(is_there(f"{layout.running}/{job_id}.json") or ready_paths(layout, job_id) or archived_path(layout, job_id))


def find(layout: Layout, job_id: str) -> Job | None:
    """Return a job from wherever it is; its status is that of the place."""
    for _ in range(5):  # it may move backwards between two looks
        job = _look(layout, job_id)
        if job is not None:
            return job
    return None


def _look(layout: Layout, job_id: str) -> Job | None:
    for path in ready_paths(layout, job_id):
        if job := _read_waiting(path, Waiting.ready(path.name)):
            return job
    running = read(layout.record(job_id))
    if running is None or running.finished_at:
        path_found = archived_path(layout, job_id)
        if path_found and (job := read(path_found)):
            return job
    if running is not None:
        return running.evolve(status=Status.RUNNING)
    for path in delayed_paths(layout, job_id):
        if job := _read_waiting(path, Waiting.delayed(path.name)):
            return job
    return None


def _read_waiting(path: Path, name: Waiting | None) -> Job | None:
    job = read(path)
    return as_waiting(job, name) if job and name else job


def as_waiting(job: Job, name: Waiting) -> Job:
    """The job as its place tells it: queued, with the priority or the moment in the file's name."""
    job = job.evolve(status=Status.QUEUED)
    if name.priority is not None:
        return job.evolve(priority=name.priority)
    return job.evolve(not_before=clock.iso(name.due_ms)) if name.due_ms is not None else job


def save(layout: Layout, job: Job) -> None:
    """Replace a job's running record durably. Called under the job's lock."""
    data = job.to_json().encode()
    with_room(layout, lambda: publish(layout.record(job.id), data, layout.tmp, replace=True))


def with_room(layout: Layout, write: Callable[[], T]) -> T:
    """Do one write that finishes a job; when the disk is full, give it the reserve and try once more."""
    try:
        return write()
    except OSError as error:
        if not (is_full(error) and free_reserve(layout.reserve)):
            raise
    return write()


def move(path: Path, target: Path) -> None:
    """Rename durably. Called under the job's lock. Raises FileNotFoundError."""
    path.rename(target)
    sync_folder(target.parent)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove durably what may be gone already."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def put_back(layout: Layout, job: Job, due_ms: int) -> Path:
    """Move a running record to where it waits: for `due_ms`, or ready at once. Called under the job's lock.

    Not forced to the disk: a power cut that undoes it leaves the running record, which is put back again.
    """
    name = f"{due_ms:013d}-{job.id}.json"
    target = layout.delayed / name if due_ms > clock.now_ms() else layout.queue / ready_name(job)
    layout.record(job.id).rename(target)
    return target


_durable_days: dict[Path, int] = {}
"""The inodes of the archive's folders that this process knows to be durable."""


def make_archive_day(layout: Layout, job: Job) -> Path:
    """Return the path of a finished job's archive record, its folder made. `finished_at` must be set."""
    if job.finished_at is None:
        raise ValueError(f"{job.id} has not finished")
    path = layout.archived(job.id, job.finished_at)
    with_room(layout, lambda: make_folder(path.parent))
    make_day_durable(path.parent)
    return path


def make_day_durable(day: Path) -> None:
    """Make the folder of an archive day durable that is there: who made it may have been killed before he came to it."""
    inode = day.stat().st_ino
    if _durable_days.get(day) != inode:
        for folder in (day, *day.parents[:2]):
            sync_folder(folder.parent)
        _durable_days[day] = inode


def make_room_for_output(layout: Layout, job_id: str) -> None:
    """Make a job's folder and log in logs/, durably: also what another worker made that died before it was durable."""
    os.makedirs(layout.folder(job_id), exist_ok=True)
    os.close(os.open(layout.log(job_id), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640))
    sync_folder(layout.logs)
