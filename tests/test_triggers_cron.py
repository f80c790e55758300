"""What becomes of the moments of a schedule: one job each, whatever dies in between, and what is missed, skipped or refused is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portal import clock
from portal.errors import DiskNearlyFull
from portal.settings import Settings
from portal.spool import Spool, limits
from portal.triggers import book, cron, history, state
from portal.triggers.places import ASKED
from tests.faults.trees import Tree
from tests.queues import dies_at, unsynced
from tests.triggering import a_trigger, end_jobs, jobs_of, look, made, told

EVERY_CALL = os.environ.get("PORTAL_FAULTS") == "all"
"""Die at each call of the longest look, not only at each third one; what is done for one moment is done for the next."""
DAY = "2026-11-20T"
MADE = f"{DAY}06:00:30.000Z"


def at(text: str) -> str:
    return f"{DAY}{text}:00.000Z"


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    with unsynced():
        yield


def due(spool: Spool, name: str = "nightly") -> list[str]:
    return [job.labels["event"] for job in jobs_of(spool, name)]


def afresh(spool: Spool) -> Callable[[], None]:
    """Return what brings the triggers back to how they are now, with no job anywhere."""
    kept = Tree.of(spool.layout.triggers)

    def again() -> None:
        kept.put(spool.layout.triggers)
        for path in spool.layout.queue.glob("*.json"):
            path.unlink()

    return again


def test_a_moment_becomes_a_job_that_says_where_it_comes_from(spool: Spool, home: Path) -> None:
    quote = {"$event": "/due_at", "format": f"file://{home}/data/%Y/%m/%d/%H", "days": -1}
    then = [{"engine": "list", "params": {"source": {"$event": "/previous_due_at", "format": f"file://{home}/data/%H%M"}}}]
    made(spool, since=MADE, on={"schedule": "0 7 * * *", "time_zone": "Europe/Berlin"}, params={"source": quote}, then=then, priority=2,
         labels={"team": "sales"}, limits=["lake"], timeout_s=60.0, max_attempts=2)  # fmt: skip
    end_jobs(spool.settings)
    assert look(spool, "nightly", f"{DAY}05:59:59.999Z") > 0 and jobs_of(spool, "nightly") == []
    watch_from = "2026-11-21T06:00:00.000Z"
    look(spool, "nightly", watch_from)
    (job,) = jobs_of(spool, "nightly")
    assert job.params == {"source": f"file://{home}/data/2026/11/20/07"}
    assert job.then[0].params == {"source": f"file://{home}/data/0700"}
    assert job.labels == {"team": "sales", "trigger": "nightly", "event": watch_from, "name": "nightly"}
    assert (job.submitted_by, job.priority, job.timeout_s, job.max_attempts) == ("trigger:nightly", 2, 60.0, 2)
    assert set(job.limits) == {"lake", "trigger:nightly"}
    assert state.state(spool.layout, "nightly").cursor == watch_from
    assert state.state(spool.layout, "nightly").next_due == "2026-11-22T06:00:00.000Z"


def test_the_same_moment_found_again_is_the_same_job(spool: Spool) -> None:
    made(spool, since=MADE)
    for _ in range(3):
        look(spool, "nightly", at("06:01"))
    (spool.layout.triggers / "nightly" / state.FILE).unlink()  # from an older backup
    look(spool, "nightly", at("06:01"))
    end_jobs(spool.settings)
    (spool.layout.triggers / "nightly" / state.FILE).write_text("{torn")
    look(spool, "nightly", at("06:01"))
    assert due(spool) == [] and told(spool, "nightly") == [(at("06:01"), "submitted")]


@pytest.mark.parametrize(
    ("policy", "step", "wanted"),
    [
        ("none", 7, {"06:06": "submitted"}), ("last", 5, {"06:06": "submitted"}),
        ("all", 1 if EVERY_CALL else 3, {"06:04": "submitted", "06:05": "submitted", "06:06": "skipped"}),
    ],
)  # fmt: skip
def test_a_look_that_dies_anywhere_leaves_one_job_for_each_moment(spool: Spool, policy: str, step: int, wanted: dict[str, str]) -> None:
    made(spool, since=MADE, on={"schedule": "* * * * *", "catch_up": policy, "max_catch_up": 3})
    number, died, begin_again = 0, True, afresh(spool)
    while died:
        number += step
        begin_again()
        died = dies_at(number, lambda: look(spool, "nightly", f"{DAY}06:06:30.000Z"))
        for second in (31, 32):
            look(spool, "nightly", f"{DAY}06:06:{second}.000Z")
        assert due(spool) == [at(item) for item, outcome in wanted.items() if outcome == "submitted"], f"died before call {number}"
        missed = at("06:03") if policy == "all" else at("06:05")
        assert sorted(told(spool, "nightly")) == sorted([(missed, "missed"), *((at(item), outcome) for item, outcome in wanted.items())])
    assert number > 15


def test_run_now_makes_one_job_wherever_it_dies(spool: Spool) -> None:
    made(spool, since=MADE)
    book.ask(spool.layout, "nightly", "bob")
    number, died, begin_again = 0, True, afresh(spool)
    while died:
        number += 1
        begin_again()
        died = dies_at(number, lambda: look(spool, "nightly", f"{DAY}06:00:45.000Z"))
        look(spool, "nightly", f"{DAY}06:00:46.000Z")
        assert len(jobs_of(spool, "nightly")) == 1, f"died before call {number}"
        assert not book.is_asked(spool.layout, "nightly")
        (happened,) = history.events(spool.layout, "nightly")
        assert "bob" in happened.reason
    assert number > 10


def test_what_was_missed_is_told_with_its_span_and_not_made_up_for(spool: Spool) -> None:
    made(spool, since=MADE, on={"schedule": "*/10 * * * *", "catch_up": "none"})
    look(spool, "nightly", at("09:05"))
    assert due(spool) == []
    (missed,) = history.events(spool.layout, "nightly")
    assert (missed.outcome, missed.event) == ("missed", at("09:00")) and at("06:10") in missed.reason
    look(spool, "nightly", at("09:10"))
    assert due(spool) == [at("09:10")]


def test_a_year_away_is_no_effort(spool: Spool) -> None:
    made(spool, since="2025-11-20T06:00:00.000Z", overlap="wait", on={"schedule": "* * * * *", "catch_up": "all", "max_catch_up": 5})
    look(spool, "nightly", at("09:05"))
    assert due(spool) == [at(f"09:0{minute}") for minute in range(1, 6)]


def test_while_a_job_goes_on_the_next_is_skipped_or_waits_or_runs_beside(spool: Spool) -> None:
    made(spool, "skips", since=MADE)
    made(spool, "waits", since=MADE, overlap="wait")
    made(spool, "allows", since=MADE, overlap="allow")
    for minute in ("06:01", "06:02"):
        for name in ("skips", "waits", "allows"):
            look(spool, name, at(minute))
    assert told(spool, "skips") == [(at("06:01"), "submitted"), (at("06:02"), "skipped")]
    first = jobs_of(spool, "skips")[0].id
    assert first in history.events(spool.layout, "skips")[0].reason
    waiting = jobs_of(spool, "waits")
    assert [job.labels["event"] for job in waiting] == [at("06:01"), at("06:02")]
    claimed = [limits.take(spool.layout, job) for job in waiting]
    assert claimed[0] is not None and claimed[1] is None, "the second waits for the first"
    assert [job.limits for job in jobs_of(spool, "allows")] == [(), ()]
    end_jobs(spool.settings)
    look(spool, "skips", at("06:03"))
    assert due(spool, "skips") == [at("06:03")]


def test_run_now_is_not_skipped_and_does_not_move_the_schedule(spool: Spool) -> None:
    made(spool, since=MADE)
    look(spool, "nightly", at("06:01"))
    book.ask(spool.layout, "nightly", "bob")
    book.ask(spool.layout, "nightly", "eve")  # asked for twice before it ran
    look(spool, "nightly", f"{DAY}06:01:30.000Z")
    outcomes = [item.outcome for item in history.events(spool.layout, "nightly")]
    assert outcomes == ["submitted", "submitted"] and len(jobs_of(spool, "nightly")) == 2
    assert state.state(spool.layout, "nightly").cursor == at("06:01")
    end_jobs(spool.settings)
    look(spool, "nightly", at("06:02"))
    assert due(spool) == [at("06:02")]


def test_a_request_that_nobody_can_read_is_dropped(spool: Spool) -> None:
    made(spool, since=MADE)
    (spool.layout.triggers / "nightly" / ASKED).write_text("now!")
    look(spool, "nightly", f"{DAY}06:00:45.000Z")
    assert jobs_of(spool, "nightly") == [] and not book.is_asked(spool.layout, "nightly")


def test_what_passes_while_it_is_paused_is_not_made_up_for(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    made(spool, since=MADE)
    book.pause(spool.layout, "nightly", "ann", "maintenance")
    look(spool, "nightly", at("06:05"))
    monkeypatch.setattr(clock, "now_ms", lambda: clock.parse_ms(f"{DAY}06:10:30.000Z"))
    book.resume(spool.layout, "nightly", "ann")
    look(spool, "nightly", f"{DAY}06:10:40.000Z")
    assert due(spool) == [] and told(spool, "nightly") == []
    look(spool, "nightly", at("06:11"))
    assert due(spool) == [at("06:11")]


def test_a_clock_set_back_just_after_a_pause_ended_does_not_make_the_pause_count(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    made(spool, since=MADE, on={"schedule": "* * * * *", "catch_up": "all"}, overlap="allow")
    look(spool, "nightly", at("06:01"))
    book.pause(spool.layout, "nightly", "ann", "maintenance")
    monkeypatch.setattr(clock, "now_ms", lambda: clock.parse_ms(f"{DAY}09:10:30.000Z"))
    book.resume(spool.layout, "nightly", "ann")
    look(spool, "nightly", f"{DAY}09:10:29.000Z")
    assert due(spool) == [at("06:01")]
    look(spool, "nightly", at("09:12"))
    assert due(spool) == [at("06:01"), at("09:11"), at("09:12")]


def test_a_moment_to_count_from_that_a_wrong_clock_wrote_keeps_no_schedule_waiting(spool: Spool) -> None:
    made(spool, since="2036-01-01T00:00:00.000Z")
    for minute in ("06:00", "06:01", "06:02"):
        look(spool, "nightly", at(minute))
    assert due(spool)[0] == at("06:01")


def test_another_schedule_counts_from_its_change_and_other_changes_lose_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(spool, since=MADE)
    monkeypatch.setattr(clock, "now_ms", lambda: clock.parse_ms(f"{DAY}06:10:30.000Z"))
    again = book.save(spool.settings, first.model_copy(update={"priority": 1}), "bob")
    assert (again.since, again.uid, again.by) == (MADE, first.uid, "bob")
    other = book.save(spool.settings, again.model_copy(update={"on": {"schedule": "*/5 * * * *"}}), "bob")
    assert other.since == f"{DAY}06:10:30.000Z"
    look(spool, "nightly", f"{DAY}06:14:59.000Z")
    assert due(spool) == []


def test_a_clock_that_was_set_back_neither_doubles_nor_stops_the_schedule(spool: Spool) -> None:
    made(spool, since=MADE)
    look(spool, "nightly", "2036-01-01T00:00:00.000Z")
    wrong = due(spool)
    assert len(wrong) == 1
    end_jobs(spool.settings)
    look(spool, "nightly", f"{DAY}06:01:30.000Z")
    assert due(spool) == [], "it goes on from now"
    look(spool, "nightly", at("06:02"))
    assert due(spool) == [at("06:02")]
    look(spool, "nightly", f"{DAY}06:01:30.000Z")  # back again, by less than a minute
    look(spool, "nightly", at("06:02"))
    assert due(spool) == [at("06:02")]


def test_jitter_spreads_the_starts_and_stays_the_same_for_one_moment(spool: Spool) -> None:
    trigger = made(spool, since=MADE, overlap="allow", on={"schedule": "* * * * *", "jitter_s": 3600, "catch_up": "all"})
    look(spool, "nightly", at("06:20"))
    first = [cron.event(trigger, clock.parse_ms(at(f"06:{minute:02}"))).not_before for minute in range(1, 21)]
    late = [clock.parse_ms(text) - clock.parse_ms(at(f"06:{minute:02}")) for minute, text in enumerate(first, 1) if text]
    assert len(late) == len(set(late)) == 20 and all(0 <= item <= 3_600_000 for item in late) and max(late) - min(late) > 600_000
    assert [job.not_before for job in jobs_of(spool, "nightly") if job.not_before] == first


def test_a_moment_whose_job_cannot_be_is_refused_in_words_and_the_next_may_be(spool: Spool, home: Path) -> None:
    toml = home / "connections.toml"
    toml.write_text('[shop]\nkind = "s3"\nregion = "eu-central-1"\n')
    made(spool, since=MADE, params={"source": "s3://sales/", "source_connection": "shop"})
    toml.write_text("")
    look(spool, "nightly", at("06:01"))
    (refused,) = history.events(spool.layout, "nightly")
    problem = state.state(spool.layout, "nightly").problem
    assert refused.outcome == "refused" and "shop" in refused.reason and problem and problem.of == "event" and "shop" in problem.text
    toml.write_text('[shop]\nkind = "s3"\nregion = "eu-central-1"\n')
    look(spool, "nightly", at("06:02"))
    assert due(spool) == [at("06:02")] and state.state(spool.layout, "nightly").problem is None


def test_a_queue_that_takes_no_jobs_delays_a_moment_and_loses_none(spool: Spool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(spool, since=MADE)
    with monkeypatch.context() as patched:
        patched.setattr("portal.spool.submitting.disk.refuse_when_full", _full)
        with pytest.raises(DiskNearlyFull):
            look(spool, "nightly", at("06:01"))
    assert told(spool, "nightly") == []
    look(spool, "nightly", f"{DAY}06:01:50.000Z")
    assert due(spool) == [at("06:01")]


def _full(_: object) -> None:
    raise DiskNearlyFull


def test_the_next_times_are_told_in_the_zone_of_the_schedule(home: Path) -> None:
    trigger = a_trigger(home, on={"schedule": "30 6 * * mon-fri", "time_zone": "Europe/Berlin"})
    times = cron.next_times(trigger, 3, datetime(2026, 11, 20, 12, tzinfo=UTC))
    assert [item.isoformat() for item in times] == ["2026-11-23T06:30:00+01:00", "2026-11-24T06:30:00+01:00", "2026-11-25T06:30:00+01:00"]


def test_only_the_latest_events_are_kept(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LATEST", 5)
    made(spool, since=MADE, on={"schedule": "* * * * *", "catch_up": "all"})
    look(spool, "nightly", at("06:09"))
    assert [item.event for item in history.events(spool.layout, "nightly")] == [at(f"06:0{minute}") for minute in (9, 8, 7, 6, 5)]
