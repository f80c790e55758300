"""A backup is taken while everything runs; restored elsewhere, every acknowledged job ends there exactly once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portal import backup, check, clock, seal, settings, vault
from portal.check import Depth
from portal.cli import main
from portal.errors import BadParameters, PortalError
from portal.jobs import Followup, Job, Status
from portal.settings import Settings
from portal.spool import Spool, claiming, finishing, records
from portal.spool.finishing import finish, freeze
from tests.archives import finished_job, put
from tests.queues import a_job, archived, finished, lines, until, worker_process

SECRET = "wJalrXUtnFEMI/K7MDENG"
TYPED = {"connections": {"typed": {"kind": "s3", "access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET}}}
CHAIN = (Followup("act", {"say": ["one"]}), Followup("act", {}, then=(Followup("act"),)))


def restored(target: Path, keys: Path, home: Path) -> Settings:
    """Put a backup into a new home, with the documented commands."""
    home.mkdir()
    subprocess.run(["cp", "-a", *(str(target / name) for name in ("queue", "archive", "logs")), str(home)], check=True)
    subprocess.run(["cp", "-a", str(keys), str(home / ".keys")], check=True)
    (home / ".env").write_text("PORTAL_MIN_FREE_MB=1\nPORTAL_MIN_FREE_INODES=1\nPORTAL_POLL_S=0.2\nPORTAL_SLOTS=4\nPORTAL_RETRY_BASE_S=0.01\n")
    return settings.load(home)


def ends(config: Settings) -> Counter[str]:
    """How many archive records each job has."""
    return Counter(path.stem for path in config.archive_dir.glob("*/*/*/*.json"))


class Submitter(threading.Thread):
    """Submits jobs with follow-ups until it is stopped; `acknowledged` are those whose submit has returned."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(daemon=True)
        self.spool, self.acknowledged, self.stopped = spool, list[str](), threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            number = len(self.acknowledged)
            if self.spool.counts()["queued"] > 5:
                self.stopped.wait(0.02)
                continue
            about: dict[str, Any] = {"then": CHAIN} if number % 2 else {"key": f"k{number}", "params": {"fail_in": [1]}}
            self.acknowledged.append(self.spool.submit(a_job(**about)).id)


def test_everything_acknowledged_before_the_backup_ends_once_where_it_is_restored(home: Path, tmp_path: Path) -> None:
    with (home / ".env").open("a") as file:
        file.write("PORTAL_POLL_S=0.2\nPORTAL_SLOTS=3\nPORTAL_RETRY_BASE_S=0.01\n")
    config = settings.load(home)
    spool = Spool(config)
    for day in (4, 3, 2):  # yesterday is closed some minutes after midnight only
        put(config.archive_dir, finished_job(f"{date.today() - timedelta(days=day)}T10:00:09.000Z"))
    seal.seal_closed_days(config)
    long = {"started": str(tmp_path / "started"), "wait": str(tmp_path / "go"), "say_secrets": True}
    typed = spool.submit(a_job(params=long, sealed=vault.seal(config, TYPED), priority=0))
    later = spool.submit(a_job(not_before=clock.iso(clock.now_ms() + 3_000), then=CHAIN[:1]))
    with worker_process(home):
        submitter = Submitter(spool)
        submitter.start()
        until(lambda: lines(tmp_path / "started") and len(ends(config)) > 8, 60)
        before = list(submitter.acknowledged)
        report = backup.backup(config, tmp_path / "backup", tmp_path / "keys")
        more = until(lambda: len(submitter.acknowledged) > len(before) + 3, 60)
        assert more and report.jobs and report.records
        submitter.stopped.set()
        submitter.join()
        other = restored(tmp_path / "backup", tmp_path / "keys", tmp_path / "other")
        check.repair(other, Depth.DEEP)
        assert {item.kind for item in check.inspect(other, Depth.DEEP) if not item.note} == set()
        with worker_process(other.home) as there:
            started = until(lambda: len(lines(tmp_path / "started")) > 1, 60)
            assert started and spool.find(typed.id).status is Status.RUNNING, "the same job goes on in the first home"  # type: ignore[union-attr]
            (tmp_path / "go").touch()
            copy = Spool(other)
            wanted = {*before, typed.id, later.id}
            until(lambda: all(finished(copy, job_id) for job_id in wanted), 60)
            until(lambda: not sum(copy.counts()[name] for name in ("queued", "delayed", "running")), 60)
            there.terminate()
            there.wait(30)
        first = until(lambda: finished(spool, typed.id), 60)
    assert [attempt.outcome for attempt in first.attempts] == ["succeeded"], "nothing over there touched it"
    _whole(other, wanted)
    again = copy.find(typed.id)
    assert again and [attempt.outcome for attempt in again.attempts] == ["interrupted", "succeeded"]
    note = again.result["report"]["note"] if again.result else ""
    assert '"access_key_id"' in note and SECRET not in note, "the typed credentials were opened there"


def _whole(other: Settings, wanted: set[str]) -> None:
    counted = ends(other)
    assert {job_id: counted[job_id] for job_id in wanted if counted[job_id] != 1} == {}
    assert max(counted.values()) == 1
    jobs = {job.id: job for job in archived(Spool(other))}
    children = {child for job in jobs.values() for child in finishing.child_ids(job)}
    assert children <= set(counted), "every follow-up ran"
    assert {job.id for job in jobs.values() if job.parent in jobs} <= children, "and none twice"
    assert seal.verify(other) == [] and len(seal.chain(other)) == 3
    assert [item for item in check.inspect(other, Depth.DEEP) if not item.note] == []


# The same without processes: each moment at which a job may move


def end(spool: Spool, job: Job) -> Job:
    claim = next(item for item in claiming.claims(spool.layout) if item.job.id == job.id)
    done = finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
    claim.lock.remove()
    return done


@pytest.mark.parametrize("step", ["queue", "archive", "follow_ups", "logs", "put_in_place"])
@pytest.mark.parametrize("grandchildren", [False, True])
def test_a_chain_that_goes_on_during_the_backup_is_whole_afterwards(
    config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, grandchildren: bool
) -> None:
    """Between two steps of the backup the parent finishes, and so do its follow-ups."""
    spool = Spool(config)
    sealed = vault.seal(config, TYPED)
    parent = spool.submit(a_job(then=CHAIN, sealed=sealed, labels={"typed_connections": "typed"}))
    real = getattr(backup._Copy, step)

    def meanwhile(copy: Any) -> None:
        done = end(spool, parent)
        for child in finishing.child_ids(done) if grandchildren else ():
            found = spool.find(child)
            assert found
            end(spool, found)
        real(copy)

    monkeypatch.setattr(backup._Copy, step, meanwhile)
    backup.backup(config, tmp_path / "backup", tmp_path / "keys")
    other = restored(tmp_path / "backup", tmp_path / "keys", tmp_path / "other")
    check.repair(other, Depth.DEEP)
    assert [item for item in check.inspect(other, Depth.DEEP) if not item.note] == []
    copy = Spool(other)
    for _ in range(4):
        for job in copy.waiting():
            assert job.sealed == sealed, "the credentials came along"
            end(copy, job)
    counted = ends(other)
    assert max(counted.values()) == 1 and len(counted) == 4
    _whole_chain(copy)


def _whole_chain(copy: Spool) -> None:
    jobs = {job.id: job for job in archived(copy)}
    assert {child for job in jobs.values() for child in finishing.child_ids(job)} == {job.id for job in jobs.values() if job.parent}


def test_a_job_that_moves_from_folder_to_folder_is_met(config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It moves on whenever a folder is listed, always to one that the round has behind it, for as many rounds as it has attempts."""
    spool = Spool(config)
    job = spool.submit(a_job())
    left = [3]
    real = records.names

    def names(folder: Path) -> list[str]:
        found = real(folder)
        if left[0] and folder == spool.layout.running:
            left[0] -= 1
            ready = records.ready_paths(spool.layout, job.id)
            if ready:
                records.move(ready[0], spool.layout.record(job.id))
        elif folder == spool.layout.delayed and spool.layout.record(job.id).exists():
            records.move(spool.layout.record(job.id), spool.layout.queue / f"5-{job.id}.json")
        return found

    monkeypatch.setattr(records, "names", names)
    backup.backup(config, tmp_path / "backup")
    assert list((tmp_path / "backup" / "queue").rglob(f"*{job.id}.json"))


def test_the_next_backup_copies_what_is_new_and_drops_what_no_longer_waits(config: Settings, tmp_path: Path) -> None:
    spool = Spool(config)
    first, second = (spool.submit(a_job()) for _ in range(2))
    assert backup.backup(config, tmp_path / "b").jobs == 2
    end(spool, first)
    report = backup.backup(config, tmp_path / "b")
    assert (report.jobs, report.records) == (1, 1)
    assert [path.name for path in (tmp_path / "b/queue").glob("*.json")] == [f"5-{second.id}.json"]
    assert backup.backup(config, tmp_path / "b").records == 0
    assert sorted(os.listdir(tmp_path / "b")) == ["archive", "backup.json", "logs", "queue"]


def test_a_backup_that_was_cut_off_does_not_spoil_the_one_before(config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(config)
    job = spool.submit(a_job())
    backup.backup(config, tmp_path / "b")
    end(spool, job)
    with monkeypatch.context() as broken, pytest.raises(PortalError, match="could not be completed"):
        broken.setattr(backup._Copy, "logs", lambda _: (_ for _ in ()).throw(OSError("full")))
        backup.backup(config, tmp_path / "b")
    assert [path.name for path in (tmp_path / "b/queue").glob("*.json")] == [f"5-{job.id}.json"]
    vault.ensure_keys(config)
    other = restored(tmp_path / "b", config.key_pair_dir, tmp_path / "other")
    check.repair(other, Depth.DEEP)
    assert ends(other) == {job.id: 1} and Spool(other).waiting() == []
    assert backup.backup(config, tmp_path / "b").jobs == 0


def test_the_earlier_queue_goes_only_when_the_new_one_is_on_the_disk(config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(config)
    first = spool.submit(a_job())
    backup.backup(config, tmp_path / "b")
    second = spool.submit(a_job())
    seen: list[tuple[set[str], ...]] = []
    folders = (tmp_path / "b/queue", tmp_path / "b/.queue-fresh")
    monkeypatch.setattr(os, "sync", lambda: seen.append(tuple({path.name[2:28] for path in folder.glob("*.json")} for folder in folders)))
    backup.backup(config, tmp_path / "b")
    assert seen[0] == ({first.id}, {first.id, second.id})


def test_a_day_that_is_sealed_during_the_backup_verifies_where_it_is_restored(
    config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spool(config)
    for day in (4, 3):
        put(config.archive_dir, finished_job(f"{date.today() - timedelta(days=day)}T10:00:09.000Z"))
    seal.seal_closed_days(config, datetime.now(UTC) - timedelta(days=3, minutes=-11))
    vault.ensure_keys(config)
    for step in ("archive", "_beside", "logs"):
        real = getattr(backup._Copy, step)
        monkeypatch.setattr(backup._Copy, step, lambda *given, real=real: (seal.seal_closed_days(config), real(*given))[1])
    backup.backup(config, tmp_path / "b", tmp_path / "keys")
    other = restored(tmp_path / "b", tmp_path / "keys", tmp_path / "other")
    assert seal.verify(other) == [] and [item for item in check.inspect(other) if not item.note and item.kind != "folder"] == []
    seal.seal_closed_days(other)
    assert len(seal.chain(other)) == 2


def test_a_home_without_a_queue_does_not_take_the_place_of_an_earlier_backup(
    config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Spool(config).submit(a_job())
    assert backup.backup(config, tmp_path / "b").jobs == 1
    monkeypatch.setenv("PORTAL_HOME", str(tmp_path / "mistyped"))
    assert main(["backup", str(tmp_path / "b")]) == 1
    assert "There is no queue at" in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists() and len(list((tmp_path / "b" / "queue").glob("5-*.json"))) == 1


def test_what_an_engine_left_that_is_no_file_does_not_stop_the_backup(config: Settings, tmp_path: Path) -> None:
    folder = Spool(config).layout.folder(a_job().id)
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "seen").write_text("x")
    assert backup.backup(config, tmp_path / "b").files == 1


def test_what_cannot_be_copied_is_named_and_the_earlier_backup_stays(
    config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Spool(config).submit(a_job())
    backup.backup(config, tmp_path / "b")

    def refused(path: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "copy2", refused)
    assert main(["backup", str(tmp_path / "b")]) == 1
    said = capsys.readouterr().err
    assert "could not be completed" in said and "Permission denied" in said and str(config.queue_dir) in said
    assert len(list((tmp_path / "b" / "queue").glob("5-*.json"))) == 1
    (tmp_path / "file").touch()
    assert main(["backup", str(tmp_path / "file")]) == 1
    assert "could not be completed" in capsys.readouterr().err


def test_two_backups_do_not_fill_one_folder_at_once(config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Spool(config)
    whole, refused = backup._Copy.queue, list[str]()

    def meets_another(copy: backup._Copy) -> None:
        with pytest.raises(PortalError, match="Another backup") as caught:
            backup.backup(config, tmp_path / "b")
        refused.append(caught.value.hint)
        whole(copy)

    monkeypatch.setattr(backup._Copy, "queue", meets_another)
    backup.backup(config, tmp_path / "b")
    assert len(refused) == 1 and (tmp_path / "b" / "queue").is_dir()


def test_a_key_is_never_readable_for_others(config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Spool(config)
    vault.seal(config, TYPED)
    (tmp_path / "keys").mkdir(mode=0o755)
    seen, copy = list[int](), shutil.copyfile

    def watched(path: Path, target: Path, **options: Any) -> Any:
        made = copy(path, target, **options)
        seen.append(os.stat(target).st_mode & 0o077)
        return made

    monkeypatch.setattr(shutil, "copyfile", watched)
    backup.backup(config, tmp_path / "b", tmp_path / "keys")
    assert seen and not any(seen)


def test_where_a_backup_may_not_go(config: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Spool(config)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    for target in (config.home, config.queue_dir / "b", config.archive_dir, tmp_path / "mine"):
        with pytest.raises(BadParameters):
            backup.backup(config, target)
    assert main(["backup", str(tmp_path / "b")]) == 0
    assert "keys were left out" in capsys.readouterr().out
    assert main(["backup", str(tmp_path / "b"), "--keys", str(tmp_path / "k"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == 0
    shutil.rmtree(tmp_path / "b")
