"""Retention removes what is sealed, exported and needed by nobody, tells it beforehand and afterwards, and can be cut off anywhere."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from portal import audit, check, clock, retention, retention_apply, seal, seal_tombstones, settings
from portal.check import Depth
from portal.cli import main
from portal.errors import explain
from portal.jobs import Job
from portal.retention import DayPlan, NotRemovable
from portal.seal import links
from portal.sealer import Retainer
from portal.settings import Settings
from portal.spool import Spool, keys
from portal.worker import Worker
from tests.archives import finished_job, put
from tests.queues import a_job, dies_at, unsynced, until

TODAY = datetime.now(UTC).date()
OLD, NEWER = TODAY - timedelta(days=60), TODAY - timedelta(days=20)


@pytest.fixture
def kept(config: Settings) -> Settings:
    """Files are kept for 30 days, records for 40."""
    Spool(config)
    with (config.home / ".env").open("a") as file:
        file.write("PORTAL_KEEP_LOGS_DAYS=30\nPORTAL_KEEP_ARCHIVE_DAYS=40\n")
    return settings.load(config.home)


def on(config: Settings, day: date, **changes: Any) -> Job:
    """A job that finished on a day, its record and its files."""
    moment = f"{day}T10:00:09.000Z"
    job = finished_job(moment, id=str(ULID.from_timestamp(clock.parse_ms(moment) / 1000 - 9)), **changes)
    folder = config.logs_dir / job.id
    folder.mkdir()
    (folder / "ledger.ndjson").write_text("all of it")
    (config.logs_dir / f"{job.id}.log").write_text("it ran")
    sizes = {".log": 6, "/ledger.ndjson": 9}
    job = job.evolve(artefacts=tuple({"name": f"{job.id}{name}", "size_bytes": size, "sha256": "0"} for name, size in sizes.items()))
    put(config.archive_dir, job)
    return job


def export(config: Settings, since: date, until: date, day: date, **changes: Any) -> Job:
    """An export job that ran on a day, as its record tells it, with the head that the chain has now."""
    head = seal.head(config)
    plan = {"since": str(since), "until": str(until), "rows": 1, "target": "snowflake"}
    result = {"outcome": "succeeded", "outputs": [{"url": "snowflake://X"}], "report": {"plan": plan, "chain_head": asdict(head) if head else None}}
    job = finished_job(f"{day}T11:00:00.000Z", engine="audit_export", **{"params": {}, "result": result, **changes})
    put(config.archive_dir, job)
    return job


def exported(config: Settings, **changes: Any) -> list[Job]:
    """Two old jobs and a newer one, sealed, exported the day after, and that sealed too."""
    jobs = [on(config, OLD), on(config, OLD), on(config, NEWER)]
    seal.seal_closed_days(config)
    export(config, OLD, NEWER, NEWER + timedelta(days=1), **changes)
    seal.seal_closed_days(config)
    return jobs


def files(config: Settings) -> set[str]:
    return {path.name[:26] for path in config.logs_dir.iterdir() if not path.name.startswith(".")}


def ids(config: Settings, day: date) -> set[str]:
    return {path.stem for path in Spool(config).layout.day(day).glob("*.json")}


def in_order(config: Settings) -> bool:
    assert seal.verify(config) == []
    assert [item for item in check.inspect(config, Depth.DEEP) if not item.note] == []
    return True


def apply(config: Settings, **given: Any) -> list[str]:
    return retention_apply.apply(config, retention.plan(config, **given), "ann")


def test_nothing_is_set_and_nothing_goes(config: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    exported(config)
    assert retention.plan(config) == [] and main(["retain", "--apply"]) == 0
    assert "for ever" in capsys.readouterr().out and len(files(config)) == 3


def test_the_plan_tells_and_changes_nothing(kept: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, _ = exported(kept)
    before = {path: path.read_bytes() for path in kept.home.rglob("*") if path.is_file()}
    assert main(["retain"]) == 0
    assert f"{OLD}: files of 2 jobs and 2 records go\nNothing was removed yet" in capsys.readouterr().out
    assert {path: data for path, data in before.items() if path.read_bytes() != data} == {}
    assert retention.plan(kept) == [DayPlan(OLD, tuple(sorted([first.id, second.id])), tuple(sorted([first.id, second.id])))]


def test_what_goes_leaves_a_tombstone_and_its_audit_rows_and_nothing_looks_lost(kept: Settings) -> None:
    first, second, newer = exported(kept)
    head, before = seal.head(kept), audit.rows(kept)
    (line,) = apply(kept)
    assert "2 jobs and 2 records" in line
    assert files(kept) == {newer.id} and ids(kept, OLD) == set() and ids(kept, NEWER) == {newer.id}
    tombstone = seal_tombstones.trusted(kept, OLD)
    assert tombstone and tombstone.records == tombstone.logs == {first.id, second.id}
    (act,) = tombstone.acts
    assert (act.by, act.files, act.size_bytes, dict(act.records)) == ("ann", 4, 30, dict(seal.chain(kept)[0].records))
    assert in_order(kept) and seal.verify(kept, head) == []
    assert audit.rows(kept).equals(before), "reports go on"
    assert retention.plan(kept) == [] and apply(kept) == []
    seal.seal_closed_days(kept, datetime.now(UTC) + timedelta(days=2))


def test_files_go_before_their_records_and_the_records_stay_readable(kept: Settings) -> None:
    config = kept.model_copy(update={"keep_archive_days": None, "keep_logs_days": 10})
    jobs = exported(config)
    assert len(apply(config)) == 2
    assert files(config) == set() and Spool(config).find(jobs[0].id) and in_order(config)
    assert apply(kept) and ids(kept, OLD) == set() and in_order(kept), "the records go later, into the same tombstone"
    assert len((seal_tombstones.trusted(kept, OLD) or pytest.fail("none")).acts) == 2


def unsealed(config: Settings) -> None:
    put(config.archive_dir, finished_job(f"{OLD - timedelta(days=1)}T00:00:01.000Z"))
    on(config, OLD)


def only_some(config: Settings) -> None:
    exported(config, params={"job_ids": ["x"]})


def failed(config: Settings) -> None:
    exported(config, status="partial")


def without_head(config: Settings) -> None:
    on(config, OLD)
    export(config, OLD, NEWER, NEWER)
    seal.seal_closed_days(config)


def before_the_day_was_over(config: Settings) -> None:
    """The head of the chain at the export was that of an earlier day."""
    on(config, OLD - timedelta(days=1))
    seal.seal_closed_days(config)
    on(config, OLD)
    export(config, OLD, OLD, OLD)
    seal.seal_closed_days(config)


def not_sealed_itself(config: Settings) -> None:
    """Anybody who may write a file could have written its record."""
    on(config, OLD)
    seal.seal_closed_days(config)
    export(config, OLD, NEWER, TODAY)


def slipped_in(config: Settings) -> None:
    """Somebody put the record of an export into a day that was sealed without it."""
    on(config, OLD)
    on(config, NEWER)
    seal.seal_closed_days(config)
    export(config, OLD, OLD, NEWER)


@pytest.mark.parametrize("case", [slipped_in, only_some, failed, without_head, before_the_day_was_over, not_sealed_itself])
def test_what_was_not_exported_stays_unless_the_day_is_named(kept: Settings, case: Callable[[Settings], None]) -> None:
    case(kept)
    (plan,) = [item for item in retention.plan(kept) if item.day == OLD]
    assert plan.records == () and "no export" in plan.stays
    apply(kept)
    assert ids(kept, OLD), "only the files go, which are older than 30 days"
    named = kept.model_copy(update={"keep_logs_days": None})
    assert apply(named, even_unexported=[OLD]) and not ids(kept, OLD)
    assert "not exported" in (seal_tombstones.trusted(kept, OLD) or pytest.fail("none")).acts[-1].why
    assert case is slipped_in or in_order(kept)


def test_a_day_that_is_not_sealed_stays(kept: Settings) -> None:
    unsealed(kept)
    assert retention.plan(kept, even_unexported=[OLD]) == []


def test_a_real_export_counts(kept: Settings, tmp_path: Path) -> None:
    """What the engine writes is what retention reads."""
    from engines import audit_export
    from portal.context import JobContext

    on(kept, OLD)
    seal.seal_closed_days(kept)
    target = kept.home / "data" / "audit"
    target.mkdir(parents=True)
    job = finished_job(f"{NEWER}T11:00:00.000Z", engine="audit_export", params={})
    (kept.logs_dir / job.id).mkdir()
    params = audit_export.Params(target=f"file://{target}", since=OLD, until=OLD)
    result = audit_export.run(params, JobContext(job.id, kept.logs_dir / job.id, kept))
    put(kept.archive_dir, job.evolve(result=json.loads(json.dumps(asdict(result), default=str))))
    seal.seal_closed_days(kept)
    assert [len(item.records) for item in retention.plan(kept)] == [1]


def test_what_a_living_job_needs_stays(kept: Settings) -> None:
    first, second, _ = exported(kept)
    spool = Spool(kept)
    retry = spool.submit(a_job(retry_of=first.id))
    (plan,) = retention.plan(kept)
    assert (plan.logs, plan.records, plan.kept) == ((second.id,), (second.id,), (first.id,))
    child = spool.submit(a_job(parent=second.id, not_before="2999-01-01T00:00:00Z"))
    assert retention_apply.apply(kept, [plan], "ann") == [], "it was submitted after the plan was made"
    os.unlink(spool.layout.delayed / next(iter(os.listdir(spool.layout.delayed))))
    assert apply(kept) and ids(kept, OLD) == {first.id} and first.id in files(kept) and child.id not in files(kept)
    os.unlink(spool.layout.queue / f"5-{retry.id}.json")
    assert apply(kept) and ids(kept, OLD) == set() and in_order(kept)


def test_a_record_whose_key_is_remembered_stays_and_the_key_goes_with_the_record(kept: Settings) -> None:
    """Else a second submit with the key would run the job again."""
    days = kept.model_copy(update={"keep_archive_days": 1, "keep_logs_days": None})
    old, _, newer = exported(kept)
    spool = Spool(kept)
    keyed = on(kept, OLD - timedelta(days=1), key="nightly")
    assert [plan.day for plan in retention.plan(days)] == [OLD], f"{newer.id} finished less than {kept.key_days} days ago"
    for path in sorted(kept.archive_dir.rglob("*.seal.json")):
        path.unlink()
    links.head_file(kept).unlink()
    path = keys.path_of(spool.layout, "nightly")
    path.write_text(a_job(id=keyed.id, key="nightly").to_json())
    seal.seal_closed_days(kept)
    assert apply(days, even_unexported=[OLD, OLD - timedelta(days=1)]) and not path.exists()
    assert spool.submit(a_job(key="nightly")).id not in (keyed.id, old.id)


def test_nothing_of_a_day_that_was_tampered_with_is_removed(kept: Settings) -> None:
    first, _, _ = exported(kept)
    record = Spool(kept).archive_path(first)
    whole = record.read_text()
    record.write_text(whole.replace('"ana"', '"eve"'))
    with pytest.raises(NotRemovable) as caught:
        apply(kept)
    assert first.id in explain(caught.value) and "audit verify" in explain(caught.value) and len(ids(kept, OLD)) == 2
    record.write_text(whole)
    sealed = kept.archive_dir / f"{OLD:%Y/%m/%d}.seal.json"
    sealed.write_text(sealed.read_text().replace('"sequence": 1', '"sequence": 1 '))
    assert apply(kept), "the same seal, with a space more"


def test_a_forged_tombstone_hides_nothing(kept: Settings) -> None:
    first, second, _ = exported(kept)
    apply(kept)
    path = seal_tombstones.path_of(kept.archive_dir, OLD)
    genuine = seal_tombstones.read(kept.archive_dir, OLD)
    assert genuine
    forged = replace(genuine, acts=(replace(genuine.acts[0], by="somebody else"),))
    path.write_text(json.dumps(asdict(forged)))
    assert {item.kind for item in seal.verify(kept)} == {"signature", "removed"}
    path.write_text(json.dumps(asdict(replace(forged, digest=forged.computed()))))
    assert {item.kind for item in seal.verify(kept)} == {"signature", "removed"}
    assert "tombstone" in {item.kind for item in check.inspect(kept)}
    path.unlink()
    assert {item.job_id for item in seal.verify(kept) if item.kind == "removed"} == {first.id, second.id}
    assert "seal" in {item.kind for item in check.inspect(kept)}


def test_a_tombstone_of_another_day_hides_nothing(kept: Settings) -> None:
    _, _, newer = exported(kept)
    apply(kept)
    genuine = seal_tombstones.path_of(kept.archive_dir, OLD)
    seal_tombstones.path_of(kept.archive_dir, NEWER).write_bytes(genuine.read_bytes())
    Spool(kept).archive_path(newer).unlink()
    assert ("removed", newer.id) in {(item.kind, item.job_id) for item in seal.verify(kept)}


def test_audit_rows_that_were_changed_after_their_records_went_show(kept: Settings) -> None:
    exported(kept)
    apply(kept)
    rows = kept.archive_dir / f"{OLD:%Y/%m/%d}.audit.parquet"
    rows.write_bytes(rows.read_bytes() + b"x")
    assert [item.kind for item in seal.verify(kept)] == ["changed"]
    rows.unlink()
    assert "missing" in seal.verify(kept)[0].text


def test_a_removal_cut_off_anywhere_is_never_taken_for_loss_and_is_completed(kept: Settings, tmp_path: Path) -> None:
    jobs = exported(kept)
    gone = {job.id for job in jobs[:2]}
    number = 1
    with unsynced():
        while dies_at(number, functools.partial(apply, kept)):
            assert seal.verify(kept) == []
            assert {item.kind for item in check.inspect(kept, Depth.DEEP) if not item.note} <= {"orphan"}
            number += 1
        apply(kept)
    assert number > 5 and not ids(kept, OLD) and not gone & files(kept) and in_order(kept)


def test_a_worker_applies_what_is_set_once_a_day(kept: Settings) -> None:
    exported(kept)
    worker = Worker(kept)
    try:
        worker.turn()
        until(lambda: not ids(kept, OLD))
        until(lambda: (kept.archive_dir / ".retained").exists())
    finally:
        worker.leave()
    now_ms = clock.now_ms()
    assert not Retainer(kept).tick(now_ms) and retention.due(kept, now_ms + 86_400_000)
    assert not retention.due(kept.model_copy(update={"keep_logs_days": None, "keep_archive_days": None}), now_ms + 86_400_000)
