"""`check`: everything that is not in order is named, what is safe is repaired, and nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portal import check, seal, vault
from portal.check import Depth, Finding
from portal.cli import main
from portal.jobs import Attempt, Followup, Job, Status, When
from portal.settings import Settings
from portal.spool import Spool, claiming, finishing, keys, pausing
from portal.spool.finishing import finish, freeze
from portal.spool.locks import Lock
from portal.worker import Worker
from tests.archives import finished_job, put
from tests.queues import ENGINES, a_job, archived, finished, soon, until, worker_process


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def done(spool: Spool, **about: Any) -> Job:
    job = spool.submit(a_job(**about))
    (spool.folder(job.id)).mkdir()
    (spool.folder(job.id) / "report.txt").write_text("all of it")
    claim = next(item for item in claiming.claims(spool.layout) if item.job.id == job.id)
    archived_job = finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
    claim.lock.remove()
    return archived_job


def wrong(settings: Settings, depth: Depth = Depth.NORMAL) -> list[Finding]:
    return [finding for finding in check.inspect(settings, depth) if not finding.note]


def notes(settings: Settings, depth: Depth = Depth.NORMAL) -> set[str]:
    return {finding.kind for finding in check.inspect(settings, depth) if finding.note}


def kinds(settings: Settings) -> dict[str, str]:
    return {finding.path.name: finding.kind for finding in check.inspect(settings) if finding.repairable or not finding.note}


def test_a_home_in_order_has_no_findings(config: Settings, spool: Spool, tmp_path: Path) -> None:
    done(spool)
    spool.submit(a_job(key="k"))
    spool.submit(a_job(not_before=soon(60)))
    running = spool.submit(a_job(priority=0))
    claim = next(claiming.claims(spool.layout))
    spool.cancel(running.id, "me")
    assert claim.job.id == running.id
    assert all(wrong(config, depth) == [] for depth in Depth) and notes(config) == {"no-worker"}
    assert check.repair(config) == []
    claim.let_go()
    assert [finding.kind for finding in check.inspect(config.model_copy(update={"home": tmp_path / "new"}))] == ["missing"]


def test_what_is_not_in_order_is_named_and_repaired(config: Settings, spool: Spool) -> None:
    layout = spool.layout
    finished = done(spool)
    duplicate = layout.queue / f"5-{finished.id}.json"
    duplicate.write_text(a_job(id=finished.id).evolve(submitted_at=finished.submitted_at).to_json())
    broken = layout.queue / f"5-{a_job().id}.json"
    broken.write_text("{")
    stray = layout.queue / "mine.json"
    stray_job = a_job(priority=3)
    stray.write_text(stray_job.to_json())
    late = layout.delayed / f"9999999999999-{a_job().id}.json"
    late.write_text("half a j")
    (layout.tmp / "leftover").write_text("half")
    (layout.archive_tmp / "rest").write_text("half")
    layout.lock(gone := a_job().id).touch()
    layout.marker(finished.id).write_text("{}")
    bad_key = keys.path_of(layout, "k")
    bad_key.write_text("no job")
    cut_off = a_job()
    layout.record(cut_off.id).write_text(cut_off.evolve(attempts=(Attempt(1, "w", "h", cut_off.submitted_at),)).to_json())
    unreadable = layout.record(a_job().id)
    unreadable.write_text("]")
    before = {str(path): path.read_bytes() for path in config.home.rglob("*") if path.is_file()}
    assert kinds(config) == {
        duplicate.name: "duplicate", broken.name: "unreadable", "mine.json": "stray", late.name: "unreadable", "leftover": "half-written",
        "rest": "half-written", gone: "lock", finished.id: "marker", bad_key.name: "unreadable", f"{cut_off.id}.json": "unsettled",
        unreadable.name: "unreadable",
    }  # fmt: skip
    assert {str(path): path.read_bytes() for path in config.home.rglob("*") if path.is_file()} == before, "inspecting changes nothing"
    said = check.repair(config)
    assert len(said) == 11 and all(said)
    assert {job.id for job in spool.waiting()} == {stray_job.id, cut_off.id}
    assert sorted(item.path.read_text() for item in spool.corrupt()) == ["]", "half a j", "no job", "{"]
    assert set(kinds(config).values()) == {"corrupt"}, "what nobody can read stays for a person to look at"
    assert check.repair(config) == []
    assert [job.id for job in archived(spool)] == [finished.id]


def test_what_a_living_process_holds_is_left_alone(config: Settings, spool: Spool) -> None:
    job = spool.submit(a_job())
    lock = Lock.take(spool.layout.lock(job.id))
    assert lock
    (spool.layout.queue / f"5-{job.id}.json").write_text("{")
    assert check.repair(config) == []
    assert spool.corrupt() == []
    lock.remove()
    assert len(check.repair(config)) == 1


def test_an_archive_that_was_touched_is_named(config: Settings, spool: Spool) -> None:
    jobs = [done(spool) for _ in range(5)]
    paths = [spool.archive_path(job) for job in jobs]
    paths[0].write_text("{}")
    elsewhere = spool.layout.archive / "2001" / "02" / "03"
    elsewhere.mkdir(parents=True)
    paths[1].rename(elsewhere / paths[1].name)
    (spool.folder(jobs[2].id) / "report.txt").unlink()
    (spool.folder(jobs[3].id) / "report.txt").write_text("more than there was")
    (paths[4].parent / "notes.txt").write_text("mine")
    texts = {finding.path.name: finding.text for finding in wrong(config)}
    assert "no 'id'" in texts.pop(paths[0].name) and "belongs elsewhere" in texts.pop(paths[1].name)
    assert "missing" in texts.pop(paths[2].name) and "19 bytes; it had 9" in texts.pop(paths[3].name)
    assert texts == {} and notes(config) == {"stray", "unsealed"}
    (said,) = check.repair(config)
    assert "where it belongs" in said and spool.find(jobs[1].id) == jobs[1]
    assert len(wrong(config)) == 3, "what is damaged is not repaired"


def test_a_key_whose_job_never_ran_is_submitted_and_one_whose_job_ran_is_told(config: Settings, spool: Spool) -> None:
    job, other = spool.submit(a_job(key="k")), spool.submit(a_job(key="other"))
    for item in (job, other):
        os.unlink(spool.layout.queue / f"5-{item.id}.json")
    spool.log_path(other.id).write_text("it ran")
    assert {finding.job_id: finding.repairable for finding in wrong(config)} == {job.id: True, other.id: False}
    assert len(check.repair(config)) == 1
    assert [item.id for item in spool.waiting()] == [job.id] and [finding.job_id for finding in wrong(config)] == [other.id]


def test_a_full_disk_is_a_finding(config: Settings, spool: Spool) -> None:
    (finding,) = wrong(config.model_copy(update={"min_free_mb": 1 << 40}))
    assert finding.kind == "disk" and "PORTAL_MIN_FREE_MB" in finding.text


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_missing_folders_and_a_missing_reserve_are_made_again(config: Settings, spool: Spool) -> None:
    for folder in (spool.layout.tmp, spool.layout.delayed, spool.layout.reserve):
        shutil.rmtree(folder)
    assert {finding.kind for finding in wrong(config)} == {"folder"}
    assert check.repair(config) and wrong(config) == [] and (spool.layout.reserve / "space").exists()


def test_a_folder_that_everybody_may_write_and_a_key_that_everybody_may_read_are_closed(config: Settings, spool: Spool) -> None:
    vault.ensure_keys(config)
    spool.layout.queue.chmod(0o777)
    (key,) = config.key_pair_dir.glob("*.key")
    key.chmod(0o644)
    assert [finding.kind for finding in wrong(config)] == ["permissions"] * 2
    check.repair(config)
    assert (stat.S_IMODE(spool.layout.queue.stat().st_mode), stat.S_IMODE(key.stat().st_mode)) == (0o775, 0o600) and wrong(config) == []


def test_what_a_link_leads_to_keeps_its_permissions(config: Settings, spool: Spool, tmp_path: Path) -> None:
    config.key_pair_dir.mkdir(exist_ok=True)
    other = tmp_path / "other"
    other.touch(0o644)
    (config.key_pair_dir / "queue-0.key").symlink_to(other)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    spool.layout.corrupt.rmdir()
    spool.layout.corrupt.symlink_to(elsewhere)
    check.repair(config)
    assert (stat.S_IMODE(other.stat().st_mode), stat.S_IMODE(elsewhere.stat().st_mode)) == (0o644, 0o777)
    assert [item.hint for item in wrong(config) if item.kind == "permissions"] == [f"chmod o-w {elsewhere}", f"chmod 600 {other}"]


def test_a_pause_is_told_with_the_way_to_end_it_and_drives_no_terminal(config: Settings, spool: Spool) -> None:
    spool.pause("list", by="ann", why="x")
    (spool.layout.paused / "queue.json").write_text('{"by": "\\u001b[2J", "why": "no\\nw"}')
    told = {item.path.name: item.text for item in check.inspect(config) if item.kind == "paused"}
    assert "resume --engine list`" in told["list.json"] and "portal resume`" in told["queue.json"] and "\x1b" not in told["queue.json"]


def test_the_name_of_a_stray_file_drives_no_terminal(config: Settings, spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    (spool.layout.logs / "a\x1b[31m\nnote, all: well").touch()
    main(["check"])
    assert "a�[31m�note, all: well" in capsys.readouterr().out


def test_a_job_whose_credentials_nobody_can_open_is_named(config: Settings, spool: Spool) -> None:
    spool.submit(a_job(sealed=vault.seal(config, {"connections": {}})))
    assert wrong(config) == []
    shutil.rmtree(config.key_pair_dir)
    (finding,) = wrong(config)
    assert finding.kind == "key-pair" and "backup" in finding.text


def test_a_link_in_the_place_of_a_job_file_becomes_a_file(config: Settings, spool: Spool, tmp_path: Path) -> None:
    job = spool.submit(a_job())
    path = spool.layout.queue / f"5-{job.id}.json"
    path.rename(tmp_path / "far")
    path.symlink_to(tmp_path / "far")
    assert kinds(config) == {path.name: "symlink"}
    check.repair(config)
    assert not path.is_symlink() and [item.id for item in spool.waiting()] == [job.id] and wrong(config) == []


def test_a_pipe_in_the_place_of_a_job_file_blocks_nobody(config: Settings, spool: Spool) -> None:
    os.mkfifo(spool.layout.queue / f"5-{a_job().id}.json")
    assert [finding.kind for finding in wrong(config)] == ["unreadable"]
    check.repair(config)
    assert [finding.kind for finding in wrong(config)] == ["corrupt"]


def test_a_job_of_a_newer_portal_waits_for_the_upgrade(config: Settings, spool: Spool) -> None:
    job = a_job()
    (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json().replace('"schema": 1', '"schema": 9'))
    (finding,) = wrong(config)
    assert finding.kind == "schema" and "Upgrade" in finding.text and check.repair(config) == []


def test_a_record_moved_into_the_queue_goes_back_and_does_not_run_again(config: Settings, spool: Spool) -> None:
    job = done(spool)
    path = spool.archive_path(job)
    before = path.read_bytes()
    path.rename(spool.layout.queue / f"5-{job.id}.json")
    assert set(kinds(config).values()) == {"misplaced"}
    check.repair(config)
    assert path.read_bytes() == before and wrong(config) == [] and spool.waiting() == []


def test_a_worker_does_not_run_again_what_has_finished_and_settles_what_was_running(config: Settings, spool: Spool) -> None:
    """It may be quicker than the check."""
    job = done(spool)
    path = spool.archive_path(job)
    before = path.read_bytes()
    path.rename(spool.layout.queue / f"5-{job.id}.json")
    cut_off = a_job()
    running = cut_off.evolve(attempts=(Attempt(1, "w", "h", cut_off.submitted_at),))
    (spool.layout.queue / f"5-{cut_off.id}.json").write_text(running.to_json())
    worker = Worker(config, engines=ENGINES)
    until(lambda: finished(spool, cut_off.id), turn=worker.turn)
    worker.leave()
    assert path.read_bytes() == before and {item.id for item in archived(spool)} == {job.id, cut_off.id}
    ended = spool.find(cut_off.id)
    assert ended and [item.outcome for item in ended.attempts] == ["interrupted", "succeeded"]


def test_a_running_record_moved_into_the_queue_is_settled_by_what_its_attempt_left(config: Settings, spool: Spool) -> None:
    job = a_job()
    running = job.evolve(attempts=(Attempt(1, "w", "h", job.submitted_at),))
    (spool.layout.queue / f"5-{job.id}.json").write_text(running.to_json())
    about = {"job": job.id, "attempt": 1}
    spool.folder(job.id).mkdir()
    spool.layout.exit_file(job.id, 1).write_text(json.dumps({**about, "exit_code": 0}))
    spool.layout.result_file(job.id, 1).write_text(json.dumps({**about, "outcome": "succeeded"}))
    assert set(kinds(config).values()) == {"misplaced"}
    check.repair(config)
    assert [item.status for item in archived(spool)] == [Status.SUCCEEDED]


def test_ends_of_an_earlier_life_are_not_taken_for_the_next_attempts_end(config: Settings, spool: Spool) -> None:
    job = spool.submit(a_job())
    spool.folder(job.id).mkdir()
    spool.layout.exit_file(job.id, 1).write_text(json.dumps({"job": job.id, "attempt": 1, "exit_code": 0}))
    assert kinds(config) == {"exit-1.json": "earlier-end"}
    check.repair(config)
    assert wrong(config) == [] and not spool.layout.exit_file(job.id, 1).exists() and len(names(spool.folder(job.id))) == 1


def test_check_and_repair_disturb_no_worker_and_raise_no_false_alarm(config: Settings, spool: Spool) -> None:
    """Jobs go through, some of them failing once and some starting others, while one process checks and repairs all the time."""
    with (config.home / ".env").open("a") as file:
        file.write("PORTAL_POLL_S=0.1\nPORTAL_SLOTS=3\nPORTAL_RETRY_BASE_S=0.01\n")
    found: list[Finding] = []
    done: list[str] = []
    with worker_process(config.home):
        ids = []
        for number in range(15):
            about: dict[str, Any] = {"params": {"fail_in": [1]}, "key": str(number)} if number % 3 else {"then": (Followup("act"),)}
            ids.append(spool.submit(a_job(**about)).id)
            if not number % 2:
                found += wrong(config, Depth.DEEP)
                done += check.repair(config, Depth.DEEP)
        until(lambda: all(finished(spool, job_id) for job_id in ids), turn=lambda: found.extend(wrong(config)))
        until(lambda: not any(spool.counts().values()))
    assert found == []
    assert [line for line in done if "settled" not in line] == [], "settling is what a worker would have done in the same moment"
    counted = Counter(path.stem for path in config.archive_dir.glob("*/*/*/*.json"))
    assert len(counted) == 15 + 5 and set(counted.values()) == {1}
    assert all((job := spool.find(job_id)) and job.status is Status.SUCCEEDED and job.interruptions == 0 for job_id in ids)


THEN = (Followup("act", {"n": 1}), Followup("act", {"n": 2}), Followup("act", when=When.FAILED))


def test_follow_ups_that_were_never_started_are_started_once(config: Settings, spool: Spool) -> None:
    parent = done(spool, then=THEN)
    first, second = finishing.child_ids(parent)
    for child in (first, second):
        os.unlink(spool.layout.queue / f"5-{child}.json")
    spool.log_path(second).write_text("it ran")
    found = {finding.job_id: finding.repairable for finding in wrong(config) if finding.kind == "follow-up"}
    assert found == {first: True, second: False}
    check.repair(config)
    assert [job.id for job in spool.waiting()] == [first]
    check.repair(config)
    assert [job.id for job in spool.waiting()] == [first]


def test_a_follow_up_gets_its_credentials_from_the_copy_of_its_parent_in_the_queue(config: Settings, spool: Spool) -> None:
    """As a backup leaves it whose queue/ is older than its archive/."""
    sealed = vault.seal(config, {"connections": {"typed": {"kind": "s3"}}})
    about = {"labels": {"typed_connections": "typed"}, "then": THEN[:1], "sealed": sealed}
    parent = done(spool, **about)
    (child,) = finishing.child_ids(parent)
    os.unlink(spool.layout.queue / f"5-{child}.json")
    assert [(finding.kind, finding.repairable) for finding in wrong(config)] == [("follow-up", False)], "they are gone"
    old = spool.layout.queue / f"5-{parent.id}.json"
    old.write_text(a_job(id=parent.id, **about).evolve(submitted_at=parent.submitted_at).to_json())
    check.repair(config)
    assert [(job.id, job.sealed) for job in spool.waiting()] == [(child, sealed)] and not old.exists() and wrong(config) == []


def test_a_parent_that_would_run_again_beside_its_follow_up_is_named(config: Settings, spool: Spool) -> None:
    parent = done(spool, then=THEN[:1])
    spool.archive_path(parent).rename(config.home / "gone")
    (spool.layout.queue / f"5-{parent.id}.json").write_text(a_job(id=parent.id).to_json())
    assert set(kinds(config).values()) == {"parent"}
    os.unlink(spool.layout.queue / f"5-{parent.id}.json")
    assert wrong(config) == [] and notes(config) == {"parent", "no-worker", "orphan"}


def test_records_on_several_days_are_told_apart(config: Settings, spool: Spool) -> None:
    job = done(spool)
    home = spool.archive_path(job)
    yesterday = spool.layout.day(date.today() - timedelta(days=1))
    yesterday.mkdir(parents=True, exist_ok=True)
    copy = yesterday / home.name
    shutil.copy(home, copy)
    assert [(finding.path, finding.repairable) for finding in wrong(config) if finding.kind == "duplicate-record"] == [(copy, True)]
    check.repair(config)
    assert home.exists() and not copy.exists() and wrong(config) == []
    copy.write_text(job.evolve(finished_at=f"{yesterday.parts[-3]}-{yesterday.parts[-2]}-{yesterday.parts[-1]}T00:00:00.000Z").to_json())
    told = [finding.repairable for finding in wrong(config) if finding.kind == "duplicate-record"]
    assert told == [False, False], "which one counts is a person's to say"
    assert check.repair(config) == [] and copy.exists()


def test_a_copy_beside_a_damaged_record_is_kept_for_a_person(config: Settings, spool: Spool) -> None:
    """A worker would drop it, and with it the last that can be read of the job."""
    job = done(spool)
    spool.archive_path(job).write_text("{")
    (spool.layout.queue / f"5-{job.id}.json").write_text(a_job(id=job.id).to_json())
    check.repair(config)
    (kept,) = spool.corrupt()
    assert Job.from_json(kept.path.read_text()).id == job.id and spool.waiting() == []


def test_a_sealed_day_that_misses_a_record_or_its_seal_is_named_without_reading_the_records(config: Settings, spool: Spool) -> None:
    for day in (18, 18, 19, 20):
        put(config.archive_dir, finished_job(f"2026-11-{day}T10:00:09.000Z"))
    seal.seal_closed_days(config, datetime(2026, 11, 21, 12, tzinfo=UTC))
    assert wrong(config) == []
    gone = next((config.archive_dir / "2026/11/18").glob("*.json"))
    gone.unlink()
    (config.archive_dir / "2026/11/19.seal.json").unlink()
    assert {finding.path.name: finding.kind for finding in wrong(config)} == {"18": "seal", "19": "seal"}
    assert gone.stem in next(finding.what for finding in wrong(config) if finding.path.name == "18")


def test_what_belongs_to_nobody_is_noted(config: Settings, spool: Spool) -> None:
    spool.log_path(a_job().id).write_text("whose is this?")
    (spool.layout.running / "old.bak").write_text(a_job().to_json())
    (spool.layout.limits / "x").touch()
    (spool.layout.queue / "mine").mkdir()
    future = spool.layout.day(date.today() + timedelta(days=400))
    future.mkdir(parents=True)
    pausing.pause(spool.layout, None, "ann", "maintenance")
    assert notes(config) == {"orphan", "stray", "paused", "clock"} and wrong(config) == []


def test_the_exit_status_counts_faults_and_not_notes(config: Settings, spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    spool.submit(a_job())
    assert main(["check"]) == 0
    assert "no worker lives" in (said := capsys.readouterr().out) and "in order" in said
    (spool.layout.queue / "new.json").write_text(a_job().to_json())
    assert main(["check", "--json", "--quick"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [item["kind"] for item in told["findings"]] == ["stray"] and [item["kind"] for item in told["notes"]] == ["no-worker"]
    assert main(["check", "--repair", "--deep"]) == 0


def test_a_check_reads_no_old_record_unless_it_is_deep(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(10, 20):
        put(config.archive_dir, finished_job(f"2026-10-{day}T10:00:09.000Z"))
    seal.seal_closed_days(config)
    done(spool)
    read: list[Path] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path), real(path))[1])
    counted = []
    for depth in Depth:
        read.clear()
        check.inspect(config, depth)
        counted.append(sum(len(path.stem) == 26 for path in read if path.is_relative_to(config.archive_dir)))
    assert counted == [0, 1, 11]


def test_a_stray_file_among_the_cancel_markers_troubles_no_worker(config: Settings, spool: Spool) -> None:
    (spool.layout.cancel / "notes.txt").touch()
    worker = Worker(config, engines=ENGINES)
    turn = worker.turn()
    worker.leave()
    assert turn.troubled == () and notes(config) == {"stray"}
