"""A file system that is really full, of bytes or of inodes: submit says so, what runs ends and is recorded, and after making room all goes on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal import check, settings
from portal.errors import DiskNearlyFull, PortalError
from portal.jobs import Job, Status
from portal.settings import Settings
from portal.spool import Spool
from portal.worker import Worker
from tests.faults.disks import Ballast, CannotMount, Kind, own_namespace, small_disk
from tests.queues import ENGINES, ROOT, a_job, archived, finished, lines, until

KINDS = pytest.mark.parametrize("kind", ["bytes", "inodes"])


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home on a small file system of its own."""
    try:
        with small_disk(tmp_path / "disk") as folder:
            (folder / "home" / "data").mkdir(parents=True)
            (folder / "home" / ".env").write_text(
                "PORTAL_MIN_FREE_MB=2\nPORTAL_MIN_FREE_INODES=60\nPORTAL_RETRY_BASE_S=0.01\nPORTAL_WARM=0\nPORTAL_SLOTS=4\n"
            )
            monkeypatch.setenv("PORTAL_HOME", str(folder / "home"))
            yield folder
    except CannotMount as error:
        pytest.skip(f"nothing may be mounted here ({error}); see the last test of this file")


@pytest.fixture
def config(disk: Path) -> Settings:
    return settings.load(disk / "home")


@pytest.fixture
def ballast(disk: Path) -> Ballast:
    return Ballast(disk)


@pytest.fixture
def worker(config: Settings) -> Iterator[Worker]:
    made = Worker(config, engines=ENGINES)
    made.turn()
    yield made
    made.leave()


def files(spool: Spool) -> list[str]:
    folders = (spool.layout.queue, spool.layout.delayed, spool.layout.tmp, spool.layout.keys, spool.layout.locks)
    return [path.name for folder in folders for path in folder.iterdir() if path.is_file()]


@KINDS
def test_submit_is_refused_with_the_reason_before_the_disk_is_full(config: Settings, ballast: Ballast, kind: Kind) -> None:
    spool = Spool(config)
    before = spool.submit(a_job())
    ballast.fill(kind, leave=1 << 20 if kind == "bytes" else 30)
    there = files(spool)
    with pytest.raises(DiskNearlyFull, match="MiB left" if kind == "bytes" else "more files"):
        spool.submit(a_job(key="k"))
    assert files(spool) == there, "a refused submit leaves nothing"
    assert "disk" in {finding.kind for finding in check.inspect(config)}
    ballast.free()
    spool.submit(a_job(key="k"))
    assert spool.counts()["queued"] == 2 and spool.find(before.id)


@KINDS
def test_submit_on_a_disk_without_any_room_leaves_nothing_or_all(config: Settings, ballast: Ballast, kind: Kind) -> None:
    """Nobody asked beforehand: the room went away between the look and the write."""
    spool = Spool(config.model_copy(update={"min_free_mb": 0, "min_free_inodes": 0}))
    kept = spool.submit(a_job())
    ballast.fill(kind)
    there = files(spool)
    submitted = []
    for job in (a_job(), a_job(key="k"), a_job(not_before="2999-01-01T00:00:00Z")):
        try:
            submitted.append(spool.submit(job))
        except (OSError, PortalError):
            assert files(spool) == there
    assert all(spool.find(job.id) for job in [kept, *submitted])
    ballast.free()
    assert spool.submit(a_job(key="k")).id in {job.id for job in spool.waiting()}


@KINDS
def test_what_runs_when_the_disk_becomes_full_ends_and_is_archived(worker: Worker, ballast: Ballast, tmp_path: Path, kind: Kind) -> None:
    spool = worker.spool
    plain = spool.submit(a_job("framed", params={"word": "x"}))
    until(lambda: finished(spool, plain.id), turn=worker.turn)
    job = spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go"), "silent": True, "exit": 1}, max_attempts=1))
    until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    ballast.fill(kind)
    (tmp_path / "go").touch()
    ended = until(lambda: finished(spool, job.id), turn=worker.turn)
    assert (ended.status, ended.attempts[0].exit_code) == (Status.FAILED, 1)
    assert len(archived(spool)) == 2 and spool.counts()["running"] == 0
    assert not (worker.layout.reserve / "space").exists(), "the reserve was given for it"
    ballast.free()
    Spool(worker.settings)
    assert (worker.layout.reserve / "space").stat().st_size, "and is built again"
    assert not check.inspect(worker.settings)


@KINDS
def test_an_engine_that_succeeds_on_a_full_disk_has_succeeded(worker: Worker, ballast: Ballast, tmp_path: Path, kind: Kind) -> None:
    """Its result finds room in the reserve: hours of work are not done again for want of a kilobyte."""
    job = worker.spool.submit(a_job("patient", params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go")}, max_attempts=1))
    until(lambda: lines(tmp_path / "started"), turn=worker.turn)
    ballast.fill(kind)
    (tmp_path / "go").touch()
    ended = until(lambda: finished(worker.spool, job.id), turn=worker.turn)
    assert (ended.status, ended.error) == (Status.SUCCEEDED, None)


@KINDS
def test_a_worker_lives_through_a_full_disk_and_goes_on_with_everything(worker: Worker, ballast: Ballast, kind: Kind) -> None:
    """There is not even a reserve any more, at each stage of other jobs."""
    spool = worker.spool
    jobs: list[Job] = [spool.submit(a_job(priority=number, not_before=None if number else "2026-01-01T00:00:00Z")) for number in range(4)]
    cancelled = spool.submit(a_job(not_before="2999-01-01T00:00:00Z"))
    spool.cancel(cancelled.id, "me")
    for path in worker.layout.reserve.iterdir():
        path.unlink()
    ballast.fill(kind)
    turns = [worker.turn() for _ in range(3)]
    assert spool.find(cancelled.id) and all(spool.find(job.id) for job in jobs), "nothing is out of sight"
    assert any(turn.troubled for turn in turns) or kind == "bytes"
    until(lambda: worker.turn().idle)
    ballast.free()
    worker._tidied_ms = 0
    ended = [until(lambda job=job: finished(spool, job.id), turn=worker.turn) for job in jobs]
    assert {job.status for job in ended} == {Status.SUCCEEDED}
    assert until(lambda: finished(spool, cancelled.id), turn=worker.turn).status is Status.CANCELLED
    assert sorted(job.id for job in archived(spool)) == sorted(job.id for job in [*jobs, cancelled])
    assert not check.inspect(worker.settings)


@KINDS
def test_a_worker_enters_a_full_disk_and_records_what_has_ended(config: Settings, ballast: Ballast, kind: Kind, tmp_path: Path) -> None:
    first = Worker(config, engines=ENGINES)
    job = first.spool.submit(a_job(params={"started": str(tmp_path / "started"), "wait": str(tmp_path / "go"), "silent": True}, max_attempts=1))
    until(lambda: lines(tmp_path / "started"), turn=first.turn)
    first.leave()
    ballast.fill(kind)
    (tmp_path / "go").touch()
    second = Worker(config, engines=ENGINES)
    ended = until(lambda: finished(second.spool, job.id), turn=second.turn)
    second.leave()
    assert ended.status is Status.FAILED and ended.attempts[0].exit_code == 0, "its engine wrote no result"
    if kind == "bytes":  # without an inode there can be no lock
        for path in second.layout.reserve.iterdir():
            path.unlink()
        ballast.fill(kind)
        Worker(config, engines=ENGINES).leave()


def test_whoever_may_not_mount_does_so_in_a_namespace(tmp_path: Path) -> None:
    with contextlib.suppress(CannotMount), small_disk(tmp_path / "disk"):
        pytest.skip("this user may mount: the tests above have run")
    command = own_namespace()
    if command is None:
        pytest.skip("this user may neither mount nor make a namespace in which it may")
    again = [*command, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{ROOT}/tests/test_full_disk.py"]
    done = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout
