"""The queue without engines: what submit promises, who may claim, and what is told about it."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as modest
from hypothesis import strategies as st

from portal import clock, durable
from portal.errors import BadJobFile, DiskNearlyFull, JobNotFound, QueueRefused, SettingError
from portal.jobs import Followup, Job, Status
from portal.settings import Settings
from portal.spool import Spool, claiming, disk, keys, records, submitting, workers
from portal.spool.finishing import finish, freeze
from portal.spool.locks import Lock, holder, is_held
from tests.queues import a_job, archived, dies_at, soon, tidy_names, unsynced


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def claim_all(spool: Spool) -> list[Job]:
    """Claim everything and let go of it, as a worker does that dies before it starts anything."""
    claimed = []
    for claim in claiming.claims(spool.layout):
        claimed.append(claim.job)
        claim.let_go()
    return claimed


def complete(spool: Spool) -> list[str]:
    """Claim everything and archive it as succeeded."""
    done = []
    for claim in claiming.claims(spool.layout):
        finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
        claim.lock.remove()
        claim.let_go()
        done.append(claim.job.id)
    return done


def in_queue(spool: Spool) -> list[str]:
    return [name for name in os.listdir(spool.layout.queue) if name.endswith(".json")]


# Submitting


def test_a_submitted_job_is_found_as_it_was_given(spool: Spool) -> None:
    job = a_job(params={"ü": [1, None]}, labels={"name": "first"}, then=(Followup("act"),))
    assert spool.submit(job) == job == spool.find(job.id)
    assert spool.waiting() == [job]
    assert spool.counts() == {"queued": 1, "delayed": 0, "running": 0, "corrupt": 0, "cancel_requested": 0}


def test_content_and_name_are_on_the_disk_when_submit_returns(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []

    def told(name: str, call: Any) -> Any:
        def tell(what: Any, *rest: Any, **named: Any) -> Any:
            calls.append((name, os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(rest[0] if rest else what)))
            return call(what, *rest, **named)

        return tell

    for name in ("fsync", "link"):
        monkeypatch.setattr(os, name, told(name, getattr(os, name)))
    job = spool.submit(a_job())
    path = str(spool.layout.queue / f"5-{job.id}.json")
    (first, written), second, third = calls
    assert first == "fsync" and Path(written).parent == spool.layout.tmp
    assert [second, third] == [("link", path), ("fsync", str(spool.layout.queue))]


def test_the_same_id_twice_is_one_job_wherever_it_is_by_then(spool: Spool) -> None:
    job = a_job()
    spool.submit(job)
    assert spool.submit(job.evolve(params={"other": 1})) == job
    claim_all(spool)
    assert spool.submit(job).status is Status.RUNNING
    assert in_queue(spool) == []


def test_a_finished_job_never_runs_again(spool: Spool) -> None:
    job = spool.submit(a_job())
    assert complete(spool) == [job.id]
    assert spool.submit(job).status is Status.SUCCEEDED
    (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json())
    assert complete(spool) == []
    assert in_queue(spool) == [] == os.listdir(spool.layout.locks)
    assert [item.id for item in archived(spool)] == [job.id]


@pytest.mark.parametrize("place", ["running", "delayed"])
def test_a_queue_file_beside_another_record_of_its_job_is_dropped(spool: Spool, place: str) -> None:
    job = spool.submit(a_job(not_before=soon(60) if place == "delayed" else None))
    claim_all(spool)
    (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json())
    assert claim_all(spool) == []
    assert in_queue(spool) == []
    assert spool.counts()[place] == 1


@pytest.mark.parametrize(
    "job",
    [a_job(id="../../etc/passwd"), a_job(id="x"), a_job(params={"a": float("nan")}), a_job(params={"a": object()}), a_job(status=Status.FAILED),
     a_job(priority=12)],
)  # fmt: skip
def test_what_could_not_be_read_back_is_refused(spool: Spool, job: Job) -> None:
    with pytest.raises(BadJobFile):
        spool.submit(job)
    assert in_queue(spool) == []


def test_a_key_stands_for_the_first_job_that_had_it(spool: Spool) -> None:
    first = spool.submit(a_job(key="daily/2026"))
    assert spool.submit(a_job(key="daily/2026", params={"x": 1})) == first
    complete(spool)
    again = spool.submit(a_job(key="daily/2026"))
    assert (again.id, again.status) == (first.id, Status.SUCCEEDED)
    assert spool.submit(a_job(key="daily/2027")).id != first.id


def test_a_submit_with_a_key_that_was_cut_off_is_completed_by_the_next(spool: Spool) -> None:
    with unsynced():
        number = _cut_off_submits(spool)
    assert number > 8, "it was not cut off at enough places"
    assert len(spool.waiting()) == number


def _cut_off_submits(spool: Spool) -> int:
    for number in range(1, 60):
        job = a_job(key=f"key {number}")
        if not dies_at(number, lambda job=job: spool.submit(job)):
            break
        stood = spool.submit(a_job(key=f"key {number}"))
        assert spool.submit(a_job(key=f"key {number}")) == stood
        assert [item.id for item in spool.waiting()].count(stood.id) == 1
    return number


def test_many_submits_with_one_key_make_one_job(spool: Spool) -> None:
    jobs = [a_job(key="same") for _ in range(12)]
    got: list[str] = []
    threads = [threading.Thread(target=lambda job=job: got.append(spool.submit(job).id)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 12
    assert {*got} == {job.id for job in spool.waiting()}
    assert len(spool.waiting()) == 1


def test_a_key_is_forgotten_after_its_days_but_not_while_its_job_is_alive(spool: Spool) -> None:
    spool.submit(a_job(key="k", sealed="SEALED"))
    later = clock.now_ms() + 31 * 86_400_000
    assert keys.forget_old(spool.layout, later) == []
    complete(spool)
    assert "SEALED" not in keys.path_of(spool.layout, "k").read_text(), "the archive holds no secrets, so its key file must not either"
    assert keys.forget_old(spool.layout, clock.now_ms()) == []
    assert keys.forget_old(spool.layout, later) == [keys.path_of(spool.layout, "k")]


def test_a_full_disk_refuses_new_jobs_and_finishes_old_ones(config: Settings) -> None:
    spool = Spool(config)
    job = spool.submit(a_job(then=(Followup("act"),)))
    for full in ({"min_free_mb": 1 << 40}, {"min_free_inodes": 1 << 60}):
        tight = Spool(config.model_copy(update=full))
        with pytest.raises(DiskNearlyFull) as caught:
            tight.submit(a_job())
        assert "PORTAL_MIN_FREE" in caught.value.hint
    assert complete(tight) == [job.id]
    assert len(tight.waiting()) == 1, "a follow-up was accepted with its parent"


def test_finishing_uses_the_reserve_when_the_disk_is_full(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    job = spool.submit(a_job())
    real, space = os.fsync, spool.layout.reserve / "space"
    assert space.stat().st_blocks * 512 >= 4 << 20

    def full(descriptor: int) -> None:
        if space.exists():
            raise OSError(28, "No space left on device")
        real(descriptor)

    (claim,) = claiming.claims(spool.layout)
    monkeypatch.setattr(durable.os, "fsync", full)
    finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
    claim.let_go()
    monkeypatch.undo()
    assert [item.id for item in archived(spool)] == [job.id]
    assert not space.exists()
    disk.restore_reserve(spool.layout)
    assert space.exists()


@pytest.mark.parametrize(("kind", "refused"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("9p", True), ("ext4", False), ("xfs", False)])
def test_file_systems_whose_locks_cannot_be_trusted_are_refused(config: Settings, kind: str, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    device = os.stat(config.queue_dir).st_dev
    table = config.home / "mountinfo"
    table.write_text(f"36 35 {os.major(device)}:{os.minor(device)} / /mnt rw,noatime shared:1 - {kind} host:/export rw\n")
    monkeypatch.setattr(disk, "_MOUNTS", table)
    if refused:
        with pytest.raises(SettingError, match=kind):
            Spool(config)
    else:
        Spool(config)


# Claiming


def test_jobs_are_claimed_by_priority_then_in_the_order_of_submission(spool: Spool) -> None:
    jobs = [spool.submit(a_job(priority=priority)) for priority in (5, 9, 0, 5, 1)]
    order = [jobs[index].id for index in (2, 4, 0, 3, 1)]
    assert [job.id for job in spool.waiting()] == order
    assert [job.id for job in claim_all(spool)] == order


def test_a_changed_priority_changes_the_order_and_is_told(spool: Spool) -> None:
    first, second = spool.submit(a_job()), spool.submit(a_job())
    assert spool.priority(second.id, 0).priority == 0
    assert [(job.id, job.priority) for job in claim_all(spool)] == [(second.id, 0), (first.id, 5)]
    with pytest.raises(QueueRefused):
        spool.priority(first.id, 1)
    with pytest.raises(JobNotFound):
        spool.priority(a_job().id, 1)


def test_a_delayed_job_waits_for_its_moment(spool: Spool) -> None:
    job = spool.submit(a_job(not_before=soon(3600)))
    late = spool.submit(a_job(not_before=soon(7200)))
    assert claim_all(spool) == []
    assert [item.id for item in spool.waiting()] == [job.id, late.id]
    assert spool.counts()["delayed"] == 2
    assert claiming.promote(spool.layout, clock.now_ms()) == []
    assert claiming.promote(spool.layout, clock.now_ms() + 3_600_001) == [job.id]
    assert [item.id for item in claim_all(spool)] == [job.id]


def test_a_lock_that_somebody_only_looks_at_does_not_stand_for_a_job(spool: Spool) -> None:
    """Its holder may look only, or die: what is acknowledged has its place, whoever held the lock meanwhile."""
    job = a_job(key="once")
    keys.claim(spool.layout, job)  # by a submit that was cut off after it
    lock = Lock.take(spool.layout.lock(job.id))
    assert lock
    later = threading.Timer(0.2, lock.release)
    later.start()
    assert spool.submit(a_job(key="once")).id == job.id
    later.join()
    assert [item.id for item in spool.waiting()] == [job.id]


def test_a_lock_that_is_never_free_refuses_the_submit(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "_PATIENCE_S", 0.05)
    job = a_job(key="once")
    keys.claim(spool.layout, job)
    with Lock.take(spool.layout.lock(job.id)) or pytest.fail("the lock is held"), pytest.raises(QueueRefused, match=job.id):
        spool.submit(a_job(key="once"))


def test_who_holds_a_jobs_lock_keeps_everybody_else_from_claiming_it(spool: Spool) -> None:
    job = spool.submit(a_job())
    lock = Lock.take(spool.layout.lock(job.id))
    assert lock and Lock.take(spool.layout.lock(job.id)) is None
    assert is_held(spool.layout.lock(job.id))
    assert claim_all(spool) == []
    lock.remove()
    assert [item.id for item in claim_all(spool)] == [job.id]


def test_a_lock_whose_file_was_removed_is_not_mistaken_for_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    first = Lock.take(path)
    assert first
    real = os.open
    opened: list[int] = []

    def open_then_lose(name: Any, flags: int, *rest: Any, **named: Any) -> int:
        descriptor = real(name, flags, *rest, **named)
        if name == path and not opened:
            opened.append(descriptor)
            first.remove()  # between the other's open and its flock
        return descriptor

    monkeypatch.setattr(os, "open", open_then_lose)
    second = Lock.take(path)
    monkeypatch.undo()
    assert second and opened and Lock.take(path) is None, "the lock that is held must be that of the file at the path"
    second.remove()
    assert not is_held(path) and holder(path) == {}


@modest(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(["claim", "finish", "die", "submit"]), st.integers(0, 3)), max_size=12))
def test_whatever_the_order_each_job_is_held_once_and_archived_once(spool: Spool, steps: list[tuple[str, int]]) -> None:
    with unsynced():
        _each_once(spool, steps)


def _each_once(spool: Spool, steps: list[tuple[str, int]]) -> None:
    jobs = [spool.submit(a_job()) for _ in range(4)]
    held: dict[int, claiming.Claim] = {}
    done: set[str] = set()
    for step, who in steps:
        if step == "submit":
            spool.submit(jobs[who])
        elif step == "claim" and who not in held:
            claim = next(claiming.claims(spool.layout), None)
            if claim:
                assert claim.job.id not in {other.job.id for other in held.values()} | done
                held[who] = claim
        elif step == "finish" and who in held:
            claim = held.pop(who)
            finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
            done.add(claim.job.id)
            claim.lock.remove()
        elif step == "die" and who in held:
            claim = held.pop(who)
            claim.let_go()
            (spool.layout.record(claim.job.id)).rename(spool.layout.queue / f"5-{claim.job.id}.json")
    for claim in held.values():
        claim.let_go()
        spool.layout.record(claim.job.id).rename(spool.layout.queue / f"5-{claim.job.id}.json")
    complete(spool)
    wanted = {job.id for job in jobs}
    assert sorted(path.stem for path in spool.layout.archive.rglob("*.json") if path.stem in wanted) == sorted(wanted)
    assert spool.counts()["queued"] == spool.counts()["running"] == 0


def test_several_processes_claim_hundreds_each_once(spool: Spool, tmp_path: Path) -> None:
    """The witness file of a job is created exclusively."""
    with unsynced():
        _claim_in_processes(spool, tmp_path / "witnesses")


def _claim_in_processes(spool: Spool, witnesses: Path) -> None:
    jobs = [spool.submit(a_job()) for _ in range(300)]
    witnesses.mkdir()

    def work() -> None:
        while pending := records.ready(spool.layout):
            for claim in claiming.claims(spool.layout):
                os.close(os.open(witnesses / claim.job.id, os.O_CREAT | os.O_EXCL))
                finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
                claim.lock.remove()
                claim.let_go()
            assert pending

    children = []
    for _ in range(3):
        if pid := os.fork():
            children.append(pid)
        else:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert sorted(os.listdir(witnesses)) == sorted(job.id for job in jobs)
    assert len(archived(spool)) == 300


def test_a_limit_lets_so_many_jobs_run_and_not_one_more(config: Settings) -> None:
    spool = Spool(config.model_copy(update={"limits": {"table:b": 2}}))
    jobs = [spool.submit(a_job(limits=names)) for names in (("table:a",), ("table:a",), ("table:b",), ("table:a", "table:b"), ("table:b",), ())]
    held = list(claiming.claims(spool.layout))
    assert [claim.job.id for claim in held] == [jobs[index].id for index in (0, 2, 4, 5)]
    held[0].let_go()
    assert claim_all(spool) == [], "what a dead runner started may still write: its record holds the place until it is settled"
    for claim in (held[0], held[1]):
        spool.layout.record(claim.job.id).unlink()
        claim.let_go()
    assert [job.id for job in claim_all(spool)] == [jobs[1].id]
    for claim in held:
        claim.let_go()


# Bad input


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"), (b'{"id": "01', "not JSON"), (b"\xff\xfe\x00", "not JSON"), (b"[]", "a JSON object"),
        (a_job(id="../../../tmp/x").to_json().encode(), "not a job id"), (b'{"id": 7}', "'id'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_job_is_kept_with_the_reason(spool: Spool, content: bytes, reason: str) -> None:
    good = spool.submit(a_job())
    for name in (f"0-{a_job().id}.json", "by-hand.json"):
        (spool.layout.queue / name).write_bytes(content)
    tidy_names(spool)
    assert [job.id for job in claim_all(spool)] == [good.id]
    found = spool.corrupt()
    assert len(found) == 2 == spool.counts()["corrupt"]
    assert all(item.path.read_bytes() == content and reason in item.reason and item.size_bytes == len(content) for item in found)
    assert in_queue(spool) == [] and os.listdir(spool.layout.locks) == [good.id]


def test_nothing_in_corrupt_is_ever_overwritten(spool: Spool) -> None:
    for number in range(3):
        (spool.layout.queue / "mine.json").write_text(f"broken {number}")
        tidy_names(spool)
    assert sorted(item.path.read_text() for item in spool.corrupt()) == ["broken 0", "broken 1", "broken 2"]


def test_a_file_with_another_jobs_name_is_given_its_own(spool: Spool) -> None:
    job, other = a_job(priority=3), a_job()
    (spool.layout.queue / f"5-{other.id}.json").write_text(job.to_json())
    (spool.layout.queue / "copy of a job.json").write_text(a_job(id=other.id, priority=4).to_json())
    tidy_names(spool)
    claim_all(spool)  # finds the wrong name, and the right one next time
    assert {item.id for item in claim_all(spool)} | {item.id for item in spool.running()} == {job.id, other.id}
    (spool.layout.queue / "again.json").write_text(job.to_json())
    tidy_names(spool)
    assert len(spool.corrupt()) == 1, "a second file of a job that is running is kept, not run"


def test_other_peoples_files_are_left_alone(spool: Spool) -> None:
    for name in (".gitignore", "README.txt", ".5-half.json.swp"):
        (spool.layout.queue / name).write_text("not yours")
    tidy_names(spool)
    assert claim_all(spool) == [] and spool.corrupt() == []
    assert {".gitignore", "README.txt", ".5-half.json.swp"} <= set(os.listdir(spool.layout.queue))


@pytest.mark.parametrize("job_id", ["", "x", "../x", "..", "01" * 13 + "/..", "a" * 26])
def test_an_id_that_is_none_reaches_no_path(spool: Spool, job_id: str) -> None:
    assert spool.find(job_id) is None
    assert spool.progress(job_id) is None
    assert not spool.cancel_requested(job_id)
    for call in (lambda: spool.cancel(job_id, "me"), lambda: spool.folder(job_id), lambda: spool.log_path(job_id)):
        with pytest.raises(JobNotFound):
            call()


# Telling


def test_cancel_leaves_a_durable_marker_and_does_not_touch_what_has_finished(spool: Spool) -> None:
    job = spool.submit(a_job())
    assert spool.cancel(job.id, "ada").status is Status.QUEUED, "without a worker it is only asked for"
    assert spool.cancel_requested(job.id) and spool.counts()["cancel_requested"] == 1
    assert json.loads(spool.layout.marker(job.id).read_text())["by"] == "ada"
    complete(spool)
    assert not spool.cancel_requested(job.id)
    assert spool.cancel(job.id, "ada").status is Status.SUCCEEDED
    assert not spool.cancel_requested(job.id)
    with pytest.raises(JobNotFound):
        spool.cancel(a_job().id, "ada")


def test_the_archive_is_read_by_day_and_found_by_id(spool: Spool) -> None:
    ids = []
    for day in (1, 2, 4):
        job = a_job(id=f"01ARZ3NDEKTSV4RRFFQ69G5FA{day}", status=Status.SUCCEEDED, finished_at=f"2017-03-0{day}T23:59:59.999Z")
        path = spool.archive_path(job)
        path.parent.mkdir(parents=True)
        path.write_text(job.to_json())
        ids.append(job.id)
    assert spool.archive_folders() == [date(2017, 3, 1), date(2017, 3, 2), date(2017, 3, 4)]
    assert [job.id for job in spool.archived(date(2017, 3, 2), date(2020, 1, 1))] == [ids[2], ids[1]]
    assert [job.id for job in spool.archived(date(2017, 3, 1), date(2017, 3, 2), newest_first=False)] == ids[:2]
    assert spool.archived_ids(date(2017, 3, 4)) == [ids[2]]
    found = [spool.find(job_id) for job_id in ids]
    assert [job.id for job in found if job] == ids, "found from the day in the id to tomorrow"
    with pytest.raises(JobNotFound):
        spool.archive_path(a_job())


def test_a_job_finishes_no_earlier_than_it_was_made_whatever_the_clock_says(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    job = spool.submit(a_job())
    (claim,) = claiming.claims(spool.layout)
    monkeypatch.setattr(clock, "now_ms", lambda: 1_000)
    done = finish(spool.layout, freeze(spool.layout, claim.job, Status.SUCCEEDED, None))
    claim.let_go()
    assert done.finished_at and clock.parse_ms(done.finished_at) >= clock.parse_ms(job.submitted_at) - 10
    assert (found := spool.find(job.id)) and found.status is Status.SUCCEEDED
    assert spool.archive_path(done).parent == spool.layout.day(datetime.now(UTC).date())


def test_workers_are_alive_by_their_lock_and_keep_their_name(spool: Spool) -> None:
    first = workers.register(spool.layout, 2)
    second = workers.register(spool.layout, 3)
    assert [(item.name, item.slots, item.alive) for item in spool.workers()] == [(first.info.name, 2, True), (second.info.name, 3, True)]
    with pytest.raises(QueueRefused, match=first.info.name):
        workers.register(spool.layout, 1, first.info.name)
    second.tell(1)
    first.lock.release()  # as its death would
    assert [(item.alive, item.running) for item in spool.workers()] == [(False, 0), (True, 1)]
    again = workers.register(spool.layout, 1)
    assert again.info.name == first.info.name, "a restarted worker is the same worker"
    again.leave()
    second.leave()
    assert spool.workers() == [] and os.listdir(spool.layout.workers) == []
    with pytest.raises(QueueRefused):
        workers.register(spool.layout, 1, "../evil")


# Half-written files


def test_what_a_dead_writer_left_is_swept_and_what_a_living_one_holds_is_not(spool: Spool) -> None:
    died = [number for number in range(1, 20) if dies_at(number, lambda: spool.submit(a_job()))]
    assert len(died) >= 5 and len(os.listdir(spool.layout.tmp)) >= 2
    with durable._staged(spool.layout.tmp, b"mine", 0o640) as living:
        assert Path(living) not in durable.sweep(spool.layout.tmp)
        assert os.listdir(spool.layout.tmp) == [Path(living).name]
    assert os.listdir(spool.layout.tmp) == []


def test_a_file_swept_before_its_lock_is_written_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = durable.fcntl.flock
    swept: list[Path] = []

    def sweep_first(descriptor: int, how: int) -> None:
        if how == durable.fcntl.LOCK_EX and not swept:
            swept.append(Path("."))
            swept.extend(durable.sweep(spool.layout.tmp))
        real(descriptor, how)

    monkeypatch.setattr(durable.fcntl, "flock", sweep_first)
    job = spool.submit(a_job())
    assert len(swept) == 2
    assert spool.find(job.id) == job


def test_a_home_that_does_not_exist_is_not_made_of_a_mistyped_name(config: Settings) -> None:
    mistyped = config.model_copy(update={"home": config.home.with_name("hmoe")})
    with pytest.raises(SettingError, match="does not exist"):
        Spool(mistyped)
    assert not mistyped.home.exists()
