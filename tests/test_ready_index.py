"""What a worker remembers of its queue: never in the way of the order, never believed without a look, and rarely listed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings as modest
from hypothesis import strategies as st

from portal.jobs import Attempt, Job, Status
from portal.settings import Settings
from portal.spool import Spool, claiming, listing, ready_index
from portal.spool.layout import READY_LENGTH, Layout, ready_name
from portal.spool.listing import Listing, settled_stamp, stamp_of
from portal.spool.ready_index import ReadyIndex
from portal.spool.running import Running
from tests.queues import a_job, until


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


class Time:
    """The monotonic clock of the index, and how often it listed the queue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spool: Spool) -> None:
        self.now, self.listings, self.listing_s = 1000.0, 0, 0.01
        real = os.listdir

        def listdir(path: str | Path) -> list[str]:
            if Path(path) == spool.layout.queue:
                self.listings += 1
                self.now += self.listing_s
            return real(path)

        monkeypatch.setattr(ready_index, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(os, "listdir", listdir)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, spool: Spool) -> Time:
    return Time(monkeypatch, spool)


def put(layout: Layout, *jobs: Job) -> list[str]:
    for job in jobs:
        (layout.queue / ready_name(job)).write_text(job.to_json())
    return [ready_name(job) for job in jobs]


def taken(index: ReadyIndex, *closed: str) -> list[str]:
    index.refresh()
    return list(index.each(closed))


# Listings


def test_a_listing_reads_its_folder_again_only_when_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: (reads.append(str(path)), real(path))[1])
    known = Listing(tmp_path)
    (tmp_path / "b").touch()
    assert known.names() == ["b"]
    until(lambda: settled_stamp(tmp_path))
    reads.clear()
    assert [known.names() for _ in range(5)] == [["b"]] * 5
    assert len(reads) <= 1
    (tmp_path / "a").touch()
    assert known.names() == ["a", "b"]
    (tmp_path / "b").rename(tmp_path / "c")
    assert known.names() == ["a", "c"], "a change in the same tick of the clock is seen too"
    assert Listing(tmp_path / "missing").names() == []


@modest(max_examples=25, deadline=None)
@given(changes=st.lists(st.sampled_from("abcde"), max_size=12))
def test_a_listing_tells_what_is_there_whatever_the_pace(tmp_path_factory: pytest.TempPathFactory, changes: list[str]) -> None:
    folder = tmp_path_factory.mktemp("listed")
    known = Listing(folder)
    for name in changes:
        path = folder / name
        path.unlink() if path.exists() else path.touch()
        assert known.names() == sorted(os.listdir(folder))


def test_a_folder_of_the_future_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: settled_stamp(tmp_path))
    now_ns = time.time_ns()
    monkeypatch.setattr(listing, "time", SimpleNamespace(time_ns=lambda: now_ns - 3_600_000_000_000))  # the clock was set back
    assert settled_stamp(tmp_path) is None
    assert settled_stamp(tmp_path / "missing") == stamp_of(tmp_path / "missing") == listing.GONE


# The index


def test_the_order_of_claims_holds_between_what_was_listed_and_what_was_heard(spool: Spool, clock: Time) -> None:
    names = put(spool.layout, *(a_job() for _ in range(300)))
    index = ReadyIndex(spool.layout)
    index.hear(())
    index.refresh()
    (urgent,) = put(spool.layout, a_job(priority=0))
    index.hear([urgent, urgent, "not-a-job.json", ".hidden", "by hand.json"])
    assert taken(index) == [urgent, *sorted(names)]
    assert clock.listings == 1
    assert index.take_odd() == ["by hand.json", "not-a-job.json"] and index.take_odd() == []


def test_with_events_a_changed_queue_is_listed_for_a_fiftieth_of_the_time_at_most(spool: Spool, clock: Time) -> None:
    index = ReadyIndex(spool.layout)
    index.hear(())
    clock.listing_s = 0.1
    taken(index)
    for number in range(100):
        (spool.layout.queue / f"{number}").touch()
        clock.now += 0.4
        taken(index)
    assert 7 <= clock.listings <= 9, "in 40 s"
    clock.listing_s = 5.0
    clock.now += 100
    taken(index)
    listed = clock.listings
    (name,) = put(spool.layout, a_job())
    clock.now += 29
    assert taken(index) == [] and clock.listings == listed
    clock.now += 2
    assert taken(index) == [name], "however much it costs, it is never further away than half a minute"


def test_what_is_heard_while_nothing_is_claimed_is_kept_up_to_a_bound(spool: Spool, clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_index, "_MOST_HEARD", 100)
    index = ReadyIndex(spool.layout)
    index.hear(())
    clock.listing_s = 1.0
    taken(index)
    gone = ready_name(a_job(priority=9))
    for _ in range(50):  # all slots are busy, and another worker does these jobs
        index.hear([gone] * 10)
        assert len(index._fresh) <= 110
    names = put(spool.layout, a_job(), a_job())
    index.hear(names)
    assert taken(index) == sorted(names), "what was forgotten is found by a listing at the next look, whenever one was due"


def test_an_unchanged_queue_is_not_listed_at_all(spool: Spool, clock: Time) -> None:
    put(spool.layout, a_job())
    until(lambda: settled_stamp(spool.layout.queue))
    for fed in (True, False):
        index = ReadyIndex(spool.layout)
        if fed:
            index.hear(())
        clock.listings = 0
        for _ in range(10):
            clock.now += 60
            taken(index)
        assert clock.listings == 1


def test_without_events_or_when_some_were_lost_a_small_queue_is_listed_at_once(spool: Spool, clock: Time) -> None:
    index = ReadyIndex(spool.layout)
    clock.listing_s = 0.001
    for _ in range(3):
        names = put(spool.layout, a_job())
        assert taken(index)[-1:] == names
    clock.listing_s = 1.0
    index.hear(())
    taken(index)
    names = put(spool.layout, a_job())
    assert names[0] not in taken(index), "it would have been heard"
    index.hear(None)
    assert taken(index)[-1:] == names, "once events were lost a listing is due at any price"


def test_names_that_another_worker_took_cost_a_failing_read_each(spool: Spool, clock: Time) -> None:
    names = put(spool.layout, *(a_job() for _ in range(200)))
    index = ReadyIndex(spool.layout)
    index.hear(())
    index.refresh()
    for name in sorted(names)[:199]:
        (spool.layout.queue / name).unlink()
    (claim,) = claiming.claims(spool.layout, index=index)
    claim.let_go()
    assert claim.job.id in sorted(names)[-1] and clock.listings == 1
    assert os.listdir(spool.layout.locks) == [claim.job.id], "for no other job a lock was made"


def test_a_job_whose_lock_is_held_is_offered_at_the_next_look(spool: Spool) -> None:
    (name,) = put(spool.layout, a_job())
    index = ReadyIndex(spool.layout)
    index.hear(())
    lock = claiming.Lock.take(spool.layout.lock(name[2:28]))
    assert lock and list(claiming.claims(spool.layout, index=index)) == []
    lock.remove()
    (claim,) = claiming.claims(spool.layout, index=index)
    claim.let_go()


def test_a_replaced_file_is_not_parked_any_more(spool: Spool, clock: Time) -> None:
    names = put(spool.layout, *(a_job() for _ in range(3)))
    index = ReadyIndex(spool.layout)
    for name in taken(index):
        index.park(name, "full", stamp_of(spool.layout.queue / name))
    assert taken(index, "full") == []
    (spool.layout.tmp / "x").write_text("{}")
    (spool.layout.tmp / "x").rename(spool.layout.queue / names[1])
    (spool.layout.queue / names[2]).unlink()
    clock.now += 1
    assert taken(index, "full") == [names[1]], "told by the listing"
    assert taken(index, "full") == []
    index.hear([names[0]])
    assert taken(index, "full") == [names[0]], "told by an event"
    assert taken(index) == [], "the third is gone"


all_names = st.integers(0, 9).flatmap(lambda priority: st.integers(0, 30).map(lambda number: f"{priority}-{number:026d}.json"))


@modest(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["hear", "keep", "park a", "park b"]), all_names), max_size=25), st.sampled_from(["", "a", "b"]))
def test_nothing_is_lost_or_out_of_order_whatever_is_heard_kept_and_parked(steps: list[tuple[str, str]], closed: str) -> None:
    """The queue folder is never listed here: only what the index was told counts."""
    index = ReadyIndex.__new__(ReadyIndex)
    ReadyIndex.__init__(index, Layout(Settings(home=Path("/nowhere"))))
    index.hear(())
    expected: dict[str, str] = {}
    for what, name in steps:
        if what == "hear":
            index.hear([name])
            expected[name] = ""
        elif what == "keep" and name not in expected:
            index.keep(name)
            expected[name] = ""
        elif what.startswith("park") and name not in expected:
            index.park(name, what[-1], (1, 1, 1))
            expected[name] = what[-1]
    open_now = sorted(name for name, key in expected.items() if not key or key != closed)
    assert list(index.each([closed])) == open_now
    assert list(index.each(())) == sorted(set(expected) - set(open_now)), "the rest comes when nothing is closed"
    assert list(index.each(())) == []


# Limits and pauses


def opened(job: Job) -> Job:
    return job.evolve(status=Status.RUNNING, attempts=(Attempt(1, "me", "h", job.submitted_at),))


@pytest.fixture
def held_back(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ReadyIndex, list[Job]]]:
    """A long queue of jobs for a limit that one of them has, and one free job behind them."""
    monkeypatch.setattr(claiming, "_PARKED_A_LOOK", 100)
    jobs = sorted((a_job(limits=("table",)) for _ in range(150)), key=lambda job: job.id)
    put(spool.layout, *jobs, a_job(priority=6))
    index = ReadyIndex(spool.layout)
    index.hear(())
    claim = next(claiming.claims(spool.layout, index=index, opening=opened))
    yield index, jobs
    claim.let_go()


def test_a_job_behind_very_many_that_wait_for_a_limit_starts_and_no_look_takes_long(
    spool: Spool, held_back: tuple[ReadyIndex, list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, _ = held_back
    assert list(claiming.claims(spool.layout, index=index)) == [] and index.unfinished, "other work comes between two parts of a long look"
    (free,) = claiming.claims(spool.layout, index=index)
    assert free.job.priority == 6 and not index.unfinished
    free.let_go()
    reads: list[Path] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (reads.append(path), real(path))[1])
    for _ in range(5):
        assert list(claiming.claims(spool.layout, index=index)) == []
    assert len([path for path in reads if path.parent == spool.layout.queue]) <= 5, "at most one of them is tried in a look"


def test_the_first_that_waits_for_a_limit_starts_when_it_is_free(spool: Spool) -> None:
    jobs = sorted((a_job(limits=("table",)) for _ in range(4)), key=lambda job: job.id)
    put(spool.layout, *jobs)
    index = ReadyIndex(spool.layout)
    index.hear(())
    for job in jobs:
        (claim,) = claiming.claims(spool.layout, index=index, opening=opened)
        assert claim.job.id == job.id
        assert list(claiming.claims(spool.layout, index=index)) == [], "the limit is held"
        spool.layout.record(job.id).unlink()
        claim.let_go()


def test_jobs_of_a_paused_engine_wait_and_come_in_their_order(spool: Spool) -> None:
    first, second = sorted((a_job() for _ in range(2)), key=lambda job: job.id)
    other = a_job("framed", priority=9)
    put(spool.layout, first, second, other)
    index = ReadyIndex(spool.layout)
    index.hear(())
    (claim,) = claiming.claims(spool.layout, index=index, paused=["act"])
    assert claim.job.id == other.id
    claim.let_go()
    assert list(claiming.claims(spool.layout, index=index, paused=["act"])) == []
    resumed = list(claiming.claims(spool.layout, index=index))
    assert [item.job.id for item in resumed] == [first.id, second.id]
    for claim in resumed:
        claim.let_go()


# What runs


def test_what_a_worker_runs_is_read_again_only_when_a_record_changed(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    put(spool.layout, *(a_job() for _ in range(3)))
    claims = list(claiming.claims(spool.layout, opening=opened))
    running = Running(spool.layout)
    until(lambda: settled_stamp(spool.layout.running))
    ids = sorted(claim.job.id for claim in claims)
    assert running.of("me") == ids and running.of("you") == []
    reads: list[Path] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (reads.append(path), real(path))[1])
    assert [running.of("me") for _ in range(5)] == [ids] * 5 and reads == []
    claiming.records.save(spool.layout, claims[0].job.evolve(attempts=(Attempt(1, "you", "h", claims[0].job.submitted_at),)))
    assert (running.of("you"), len(running.of("me"))) == ([claims[0].job.id], 2)
    assert len(reads) <= 2, "one record changed, and once more because it changed just now"
    spool.layout.record(ids[0]).write_text("{")
    spool.layout.record(ids[1]).unlink()
    assert set(running.of("me") + running.of("you")) <= set(ids[2:])
    for claim in claims:
        claim.let_go()


def test_the_length_of_a_ready_name_is_that_of_every_ready_name() -> None:
    assert {len(ready_name(a_job(priority=priority))) for priority in range(10)} == {READY_LENGTH}
