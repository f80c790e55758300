"""A home folder that is prepared once and put back as it was before every point, and what a recovered one must look like."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from portal import check, clock, settings
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import Spool, finishing
from portal.spool.layout import Layout
from portal.spool.locks import is_held
from portal.worker import Worker
from tests.faults.trees import Tree

_CHANGING = re.compile(
    rb"\d{4}-\d\d-\d\dT[0-9:.]+Z|[0-9A-HJKMNP-TV-Z]{10}(?=[0-9A-HJKMNP-TV-Z]{16})|[0-9a-f]{64}|(?<=/)\d{13}(?=-)"
    rb"|(?<=[/.])[0-9a-f]{12,20}$|\"pid\": \d+"
)
"""Moments, the moment in an id, checksums of what holds such, the moment at which a job is due, names made by chance, processes."""
_ELSEWHERE = {"reserve", "data"}
_MEMORY = Path("/dev/shm")
_ENVIRONMENT = "PORTAL_MIN_FREE_MB=1\nPORTAL_MIN_FREE_INODES=1\nPORTAL_RETRY_BASE_S=5\nPORTAL_KILL_AFTER_S=0.2\nPORTAL_WARM=0\n"


@dataclass
class Home:
    """One home of many runs. Its path stays the same, so that names inside job files do; `outside` is beside it."""

    path: Path
    outside: Path
    jobs: list[Job] = field(default_factory=list)
    """Those of the scenario."""
    worker: Worker | None = None
    _kept: list[tuple[Tree, Tree]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config: Settings = settings.load(self.path)
        self.layout = Layout(self.config)
        self.path_of_acknowledged = self.outside / "acknowledged"

    @property
    def spool(self) -> Spool:
        return Spool(self.config)

    def submit(self, job: Job) -> Job:
        """Submit, and take down outside of the home that `submit` returned."""
        spool = self.spool
        with (self.outside / "tried").open("a") as file:
            file.write(f"{job.id}\n")
        job = spool.submit(job)
        self.acknowledge(job.id)
        return job

    def acknowledge(self, job_id: str) -> None:
        with self.path_of_acknowledged.open("a") as file:
            file.write(f"{job_id}\n")

    def acknowledged(self) -> list[str]:
        return self.path_of_acknowledged.read_text().split() if self.path_of_acknowledged.exists() else []

    def keep(self) -> None:
        """Remember the home as it is: this is what `put_back` makes."""
        self._kept.append((Tree.of(self.path), Tree.of(self.outside)))

    def put_back(self) -> None:
        for folder, kept in zip((self.path, self.outside), self._kept[-1], strict=True):
            kept.put(folder)

    def state(self) -> bytes:
        """Return what tells two states of the home apart, but for what no two runs share: the time, chance, who ran."""
        digest = hashlib.sha256()
        for folder, folders, files in (*os.walk(self.path), *os.walk(self.outside)):
            folders[:] = sorted(name for name in folders if name not in _ELSEWHERE)
            for name in folders:
                digest.update(_plain(os.path.join(folder, name).encode()))
            for found in sorted(_file(os.path.join(folder, name)) for name in files):
                digest.update(found)
        return digest.digest()

    @contextlib.contextmanager
    def from_here(self) -> Iterator[None]:
        """Put back the home as it is now, for a while."""
        self.keep()
        try:
            yield
        finally:
            self._kept.pop()


@contextlib.contextmanager
def new_home() -> Iterator[Home]:
    """An empty home in memory where there is some: processes die here, the machine does not."""
    with tempfile.TemporaryDirectory(prefix="portal-faults-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        home, outside = Path(folder) / "home", Path(folder) / "outside"
        for made in (home / "data", home / "queue/reserve", outside):
            made.mkdir(parents=True)
        (home / "queue/reserve/space").touch()  # four MiB less to copy each time
        (home / ".env").write_text(_ENVIRONMENT)
        yield Home(home, outside)


def _plain(data: bytes) -> bytes:
    return _CHANGING.sub(b"~", data) + b"\0"


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(_plain(path.encode()) + _plain(file.read())).digest()
    except FileNotFoundError:  # an engine goes on while its worker stands still
        return b""


class Broken(AssertionError):
    """An invariant does not hold."""


def _must(holds: object, text: str) -> None:
    if not holds:
        raise Broken(text)


def after_the_crash(home: Home) -> None:
    """What holds before anything has recovered: nothing that was acknowledged is out of sight."""
    for job_id in home.acknowledged():
        _must(home.spool.find(job_id), f"{job_id} was acknowledged and cannot be found")


def invariants(home: Home, acknowledged: list[str], allowed: frozenset[str] = frozenset()) -> list[Job]:
    """Check a home whose recovery has run to its end; returns the archived jobs. Raises Broken.

    Args:
        acknowledged: ids of the jobs whose submit returned.
        allowed: kinds of findings of `portal check` that the scenario itself made.
    """
    layout = home.layout
    found = _archived(home)
    ids = [job.id for job in found]
    _must(len(ids) == len(set(ids)), f"archived more than once: {sorted(ids)}")
    for job_id in acknowledged:
        _must(job_id in ids, f"{job_id} was acknowledged and has no archive record")
    for folder in (layout.running, layout.delayed, layout.cancel, layout.locks, layout.tmp, layout.archive_tmp):
        _must(not os.listdir(folder), f"{folder.name}/ still holds {os.listdir(folder)}")
    waiting = [path.name for path in layout.queue.glob("*.json")]
    _must(not waiting, f"still waiting: {waiting}")
    held = [path.name for folder in (layout.limits, layout.workers) for path in folder.iterdir() if is_held(path)]
    _must(not held, f"still held: {held}")
    _followups(found)
    _attempts(found)
    twice = home.outside / "twice"
    _must(not twice.exists(), f"two engines at once: {twice.read_text() if twice.exists() else ''}")
    for run in (home.outside / "runs").glob("*"):
        attempts = run.read_text().split()
        _must(len(attempts) == len(set(attempts)), f"{run.name} ran attempts {attempts}")
    findings = [finding for finding in check.inspect(home.config) if not finding.note and finding.kind not in allowed]
    _must(not findings, f"portal check finds {findings}")
    return found


def _archived(home: Home) -> list[Job]:
    paths = sorted(home.layout.archive.glob("[0-9]*/**/*.json"))
    found = [Job.from_json(path.read_bytes()) for path in paths if not path.name.startswith(".")]
    today = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).date()
    listed = [job.id for job in home.spool.archived(today - timedelta(days=9), today + timedelta(days=9))]
    _must(sorted(listed) == sorted(job.id for job in found), "the archive lists other records than it holds")
    return found


def _followups(found: list[Job]) -> None:
    expected = sorted(child for job in found for child in finishing.child_ids(job))
    there = sorted(job.id for job in found if job.parent)
    _must(expected == there, f"follow-ups should be {expected} and are {there}")


def _attempts(found: list[Job]) -> None:
    for job in found:
        numbers = [attempt.number for attempt in job.attempts]
        _must(job.status.finished and job.finished_at, f"{job.id} is archived as {job.status}")
        _must(numbers == list(range(1, len(numbers) + 1)), f"{job.id} counts its attempts {numbers}")
        _must(all(attempt.outcome and attempt.finished_at for attempt in job.attempts), f"{job.id} has an open attempt")
        _must(job.interruptions == sum(attempt.outcome == "interrupted" for attempt in job.attempts), f"{job.id} counts its interruptions wrong")
        unproven = [item for item in job.artefacts if not item["sha256"] and "Input/output" not in item.get("error", "")]
        _must(not unproven, f"{job.id} is archived without the checksums of {unproven}")
        good = sum(attempt.outcome in ("succeeded", "partial") for attempt in job.attempts)
        _must(good <= 1, f"{job.id} ended well {good} times")
