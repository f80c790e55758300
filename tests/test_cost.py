"""What work costs as the queue and the archive grow, in files read and folders listed: never a clock."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from portal import clock
from portal.cli import main
from portal.jobs import Attempt, Job, Status
from portal.settings import Settings
from portal.spool import Spool, claiming, finishing, keys, ready_index, records, settling
from portal.spool.listing import settled_stamp
from portal.spool.ready_index import ReadyIndex
from portal.ui import job_search
from portal.ui.job_search import Filters
from portal.worker import Worker
from tests.archives import finished_job
from tests.archives import put as archive
from tests.queues import ENGINES, a_job, soon, until


class Calls:
    """Files that were read, and folders that were listed, by path."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: Counter[Path] = Counter()
        self.listed: Counter[Path] = Counter()
        read, listdir = Path.read_bytes, os.listdir
        monkeypatch.setattr(Path, "read_bytes", lambda path: (self.read.update([path]), read(path))[1])
        monkeypatch.setattr(os, "listdir", lambda path: (self.listed.update([Path(path)]), listdir(path))[1])

    def jobs_in(self, folder: Path) -> int:
        """Job files of a folder, and of those below it, that were read."""
        return sum(count for path, count in self.read.items() if path.suffix == ".json" and path.is_relative_to(folder))


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def put(spool: Spool, count: int, **changes: object) -> list[str]:
    """Lay jobs into the queue without waiting for the disk; returns their ids in the order of claims."""
    jobs = sorted((a_job(**changes) for _ in range(count)), key=lambda job: job.id)
    for job in jobs:
        (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json())
    return [job.id for job in jobs]


def test_a_list_reads_no_more_jobs_than_it_shows(spool: Spool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ids = put(spool, 50)
    calls = Calls(monkeypatch)
    assert main(["jobs", "--limit", "3"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:4]] == ids[:3]
    assert calls.jobs_in(spool.layout.queue) <= 4


def test_a_short_id_is_found_by_names(spool: Spool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ids = put(spool, 50)
    calls = Calls(monkeypatch)
    assert main(["show", ids[30][-10:]]) == 0
    assert ids[30] in capsys.readouterr().out
    assert calls.jobs_in(spool.layout.queue) <= 2


def test_jobs_that_a_limit_holds_back_are_read_once_and_start_when_it_is_free(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = put(spool, 20, limits=("one",))
    index = ReadyIndex(spool.layout)
    first = next(claiming.claims(spool.layout, index=index))
    calls = Calls(monkeypatch)
    assert [list(claiming.claims(spool.layout, index=index)) for _ in range(5)] == [[]] * 5
    in_queue = sum(count for path, count in calls.read.items() if path.parent == spool.layout.queue)
    assert 19 <= in_queue <= 19 + 4, "each once, then at most one a look, that tries the limit"
    spool.layout.record(first.job.id).unlink()
    first.let_go()
    (second,) = claiming.claims(spool.layout, index=index)
    assert [first.job.id, second.job.id] == ids[:2]
    second.let_go()


def test_a_job_whose_limits_were_changed_is_read_again(spool: Spool) -> None:
    ids = put(spool, 3, limits=("one",))
    index = ReadyIndex(spool.layout)
    running = next(claiming.claims(spool.layout, index=index))
    assert not list(claiming.claims(spool.layout, index=index))
    job = spool.find(ids[2])
    assert job
    fresh = spool.layout.tmp / "fresh"
    fresh.write_text(job.evolve(limits=()).to_json())
    fresh.replace(spool.layout.queue / f"5-{ids[2]}.json")
    (claim,) = claiming.claims(spool.layout, index=index)
    assert claim.job.id == ids[2]
    claim.let_go()
    running.let_go()


def test_a_page_of_jobs_reads_no_more_of_a_long_queue_than_it_shows(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = put(spool, 3 * job_search.PAGE_SIZE)
    calls = Calls(monkeypatch)
    found = job_search.page(spool, Filters(), 1)
    assert [job.id for job in found.jobs] == ids[: job_search.PAGE_SIZE] and found.more
    assert calls.jobs_in(spool.layout.queue) == job_search.PAGE_SIZE + 1


def test_the_same_search_reads_the_archive_again_only_when_a_job_was_archived(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for _ in range(20):
        archive(spool.layout.archive, finished_job(now))
    calls = Calls(monkeypatch)
    rare = Filters(text="nobody wrote this")
    assert [job_search.page(spool, rare, 1).jobs for _ in range(5)] == [()] * 5
    assert calls.jobs_in(spool.layout.archive) == 20
    wanted = finished_job(now, labels={"name": "nobody wrote this"})
    archive(spool.layout.archive, wanted)
    assert [job.id for job in job_search.page(spool, rare, 1).jobs] == [wanted.id]


def opened(job: Job) -> Job:
    return job.evolve(status=Status.RUNNING, attempts=(Attempt(1, "me", "h", job.submitted_at),))


def settled(spool: Spool) -> None:
    """Wait until the folders are old enough to be believed unchanged."""
    folders = [path for top in (spool.layout.queue, spool.layout.archive) for path in (top, *top.rglob("*")) if path.is_dir()]
    until(lambda: all(settled_stamp(folder) for folder in folders))


def test_submitting_lists_nothing_however_much_waits_or_is_delayed(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    put(spool, 30)
    for _ in range(30):
        spool.submit(a_job(not_before=soon(3600)))
    spool.submit(a_job())
    settled(spool)
    spool.submit(a_job())
    calls = Calls(monkeypatch)
    for changes in ({}, {"priority": 0}, {"not_before": soon(60)}):
        spool.submit(a_job(**changes))
    assert not calls.listed and not calls.read


def test_the_same_delayed_id_is_found_without_a_listing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    job = spool.submit(a_job(not_before=soon(3600)))
    assert spool.submit(job.evolve(params={"other": 1})) == job
    claimed = spool.submit(a_job())
    next(claiming.claims(spool.layout, opening=opened)).let_go()
    records.make_room_for_output(spool.layout, claimed.id)
    records.put_back(spool.layout, claimed, clock.now_ms() + 60_000)
    assert spool.submit(claimed).not_before, "a job that has run is looked for among the delayed ones"
    assert len(spool.waiting()) == 2


def test_claiming_lists_the_queue_once_and_reads_what_it_claims(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = put(spool, 60)
    index = ReadyIndex(spool.layout)
    index.hear(())
    monkeypatch.setattr(ready_index, "_SHARE", 1e9)
    settled(spool)
    calls = Calls(monkeypatch)
    for start in range(0, 20, 2):
        held = list(islice(claiming.claims(spool.layout, index=index, opening=opened), 2))
        assert [claim.job.id for claim in held] == ids[start : start + 2]
        for claim in held:
            claim.let_go()
    assert calls.listed[spool.layout.queue] == 1
    assert calls.jobs_in(spool.layout.queue) == 2 * 20, "before and under the lock"
    assert set(calls.listed) <= {spool.layout.queue, spool.layout.archive}


def test_a_turn_with_nothing_to_do_reads_and_lists_nothing(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(config.model_copy(update={"slots": 2, "warm": 0}), engines=ENGINES)
    try:
        put(worker.spool, 20, not_before=soon(3600))
        jobs = [worker.spool.submit(a_job(not_before=soon(3600))) for _ in range(5)]
        (worker.layout.cancel / "stray").touch()
        held = list(islice(claiming.claims(worker.layout, opening=opened), 1))
        worker.hear(())
        worker.turn(claim=False)
        settled(worker.spool)
        worker.turn(claim=False)
        calls = Calls(monkeypatch)
        stats: list[str] = []
        real = os.stat
        monkeypatch.setattr(os, "stat", lambda path, **named: (stats.append(str(path)), real(path, **named))[1])
        for _ in range(10):
            assert worker.turn(claim=False).idle
            assert 0 < worker.rest_s() <= worker.settings.poll_s
        assert not calls.listed and not calls.read
        assert len(stats) <= 10 * 12, "a handful each"
        monkeypatch.undo()
        assert len(worker.spool.waiting_ids()) == 19 + len(jobs)
        for claim in held:
            claim.let_go()
    finally:
        worker.leave()


@pytest.mark.parametrize(("what", "most"), [("submit", 2), ("claim", 2), ("settle", 9)])
def test_how_often_the_disk_is_waited_for(config: Settings, what: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fsync is a promise of docs/queue.md; more of them are a price that nobody agreed to."""
    worker = Worker(config.model_copy(update={"warm": 0}), engines=ENGINES)
    finish_one(worker)
    synced: list[str] = []
    real = os.fsync

    def count(step: str, action: Callable[[], object]) -> None:
        with monkeypatch.context() as patch:
            if step == what:
                patch.setattr(os, "fsync", lambda descriptor: (synced.append(os.readlink(f"/proc/self/fd/{descriptor}")), real(descriptor))[1])
            action()

    finish_one(worker, count)
    assert len(synced) <= most, synced
    worker.leave()


def finish_one(worker: Worker, step: Callable[[str, Callable[[], object]], None] = lambda _, action: action() and None) -> None:
    """Let one job through, in this process but for its runner; each step is done by `step`."""
    job = a_job()
    step("submit", lambda: worker.spool.submit(job))
    claims: list[claiming.Claim] = []
    step("claim", lambda: claims.extend(claiming.claims(worker.layout, opening=opened)))
    records.make_room_for_output(worker.layout, job.id)
    about = {"job": job.id, "attempt": 1}
    worker.layout.exit_file(job.id, 1).write_text(json.dumps({**about, "exit_code": 0, "ended_by": None}))
    worker.layout.result_file(job.id, 1).write_text(json.dumps({**about, "outcome": "succeeded", "error": None}))
    claims[0].let_go()
    step("settle", lambda: settling.settle(worker.layout, job.id))
    found = worker.spool.find(job.id)
    assert found and found.status is Status.SUCCEEDED


def test_finishing_a_job_does_not_list_the_logs_of_all_jobs(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    (job_id,) = put(spool, 1)
    for name in (f"{job_id}.log", f"{job_id}.log.1", f"{job_id}.log.4"):
        spool.layout.logs.joinpath(name).write_text("x")
    listed: list[Path] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(Path(path)), scandir(path))[1])
    calls = Calls(monkeypatch)
    assert [item["name"] for item in finishing.artefacts(spool.layout, job_id)] == [f"{job_id}.log", f"{job_id}.log.1", f"{job_id}.log.4"]
    assert spool.layout.logs not in [*listed, *calls.listed]


def test_the_housekeeping_reads_no_key_that_is_young(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        spool.submit(a_job(key=f"{number}"))
    calls = Calls(monkeypatch)
    assert keys.forget_old(spool.layout, clock.now_ms()) == []
    assert calls.jobs_in(spool.layout.keys) == 0
