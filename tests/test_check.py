"""`check`: everything that is not in order is named, what is safe is repaired, and nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portal import check
from portal.jobs import Attempt, Job, Status
from portal.settings import Settings
from portal.spool import Spool, claiming, keys
from portal.spool.finishing import finish, freeze
from portal.spool.locks import Lock
from tests.queues import a_job, archived, soon


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def done(spool: Spool) -> Job:
    job = spool.submit(a_job())
    (spool.folder(job.id)).mkdir()
    (spool.folder(job.id) / "report.txt").write_text("all of it")
    (claim,) = claiming.claims(spool.layout)
    archived_job = finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
    claim.lock.remove()
    return archived_job


def kinds(settings: Settings) -> dict[str, str]:
    return {finding.path.name: finding.kind for finding in check.inspect(settings)}


def test_a_home_in_order_has_no_findings(config: Settings, spool: Spool, tmp_path: Path) -> None:
    done(spool)
    spool.submit(a_job(key="k"))
    spool.submit(a_job(not_before=soon(60)))
    running = spool.submit(a_job(priority=0))
    claim = next(claiming.claims(spool.layout))
    spool.cancel(running.id, "me")
    assert claim.job.id == running.id
    assert check.inspect(config) == []
    assert check.repair(config) == []
    claim.let_go()
    assert [finding.kind for finding in check.inspect(config.model_copy(update={"home": tmp_path / "new"}))] == ["missing"]


def test_what_is_not_in_order_is_named_and_repaired(config: Settings, spool: Spool) -> None:
    layout = spool.layout
    finished = done(spool)
    duplicate = layout.queue / f"5-{finished.id}.json"
    duplicate.write_text(a_job(id=finished.id).to_json())
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


def test_an_archive_that_was_touched_is_named_and_not_repaired(config: Settings, spool: Spool) -> None:
    jobs = [done(spool) for _ in range(5)]
    paths = [spool.archive_path(job) for job in jobs]
    paths[0].write_text("{}")
    elsewhere = spool.layout.archive / "2001" / "02" / "03"
    elsewhere.mkdir(parents=True)
    paths[1].rename(elsewhere / paths[1].name)
    (spool.folder(jobs[2].id) / "report.txt").unlink()
    (spool.folder(jobs[3].id) / "report.txt").write_text("more than there was")
    (paths[4].parent / "notes.txt").write_text("mine")
    found = check.inspect(config)
    assert [finding.kind for finding in found] == ["archive"] * 5
    texts = {finding.path.name: finding.text for finding in found}
    assert "no 'id'" in texts[paths[0].name] and "belongs elsewhere" in texts[paths[1].name]
    assert "missing" in texts[paths[2].name] and "19 bytes; it had 9" in texts[paths[3].name] and "notes.txt" in texts
    assert check.repair(config) == [] and len(check.inspect(config)) == 5


def test_a_key_whose_job_is_nowhere_is_told(config: Settings, spool: Spool) -> None:
    job = spool.submit(a_job(key="k"))
    os.unlink(spool.layout.queue / f"5-{job.id}.json")
    (finding,) = check.inspect(config)
    assert (finding.kind, finding.repairable) == ("key", False) and job.id in finding.text


def test_a_full_disk_is_a_finding(config: Settings, spool: Spool) -> None:
    (finding,) = check.inspect(config.model_copy(update={"min_free_mb": 1 << 40}))
    assert finding.kind == "disk" and "PORTAL_MIN_FREE_MB" in finding.text
