"""When schedules are due: held against a look at every minute, against croniter away from changes of the clocks, and at known changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.errors import BadParameters, PortalError
from portal.triggers.schedule import Schedule, schedule

MINUTE = timedelta(minutes=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu", "Africa/Casablanca",
         "America/Santiago", "Antarctica/Troll", "Europe/London"]  # fmt: skip

minutes = st.sampled_from(["*", "0", "30", "*/15", "5,45", "59", "0-10/5"])
hours = st.sampled_from(["*", "0-23", "2", "1", "*/2", "1-4", "0,23", "3", "2,3"])
days = st.sampled_from(["*", "*", "1", "25-31", "*/2"])
weekdays = st.sampled_from(["*", "*", "sun", "mon-fri", "6,0"])
texts = st.builds(lambda *parts: f"{parts[0]} {parts[1]} {parts[2]} * {parts[3]}", minutes, hours, days, weekdays)
zones = st.sampled_from(ZONES)
parts_of_a_second = st.sampled_from([0, 1, 5_000, 500_000, 999_000, 999_999]) | st.integers(0, 999_999)
"""In microseconds: nobody asks at a whole second but by chance."""


def due(text: str, zone: str, start: datetime, until: datetime) -> list[datetime]:
    """The rules of `portal.triggers.schedule`, told minute by minute."""
    place, found = ZoneInfo(zone), []
    every_hour = text.split()[1] in ("*", "0-23")
    at = start
    while at <= until:
        here = at.astimezone(place)
        local, before = here.replace(tzinfo=None, fold=0), (at - MINUTE).astimezone(place).replace(tzinfo=None, fold=0)
        hit = croniter.match(text, local.replace(tzinfo=UTC)) and (every_hour or not here.fold)
        skipped = []
        while local - before > MINUTE:
            before += MINUTE
            skipped.append(before)
        jumped = not every_hour and any(croniter.match(text, item.replace(tzinfo=UTC)) for item in skipped)
        if hit or jumped:
            found.append(at)
        at += MINUTE
    return found


def found_by(plan: Schedule, start: datetime, until: datetime) -> list[datetime]:
    found, at = [], plan.after(start - MINUTE)
    while at <= until:
        found.append(at)
        at = plan.after(at)
    return found


CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)), ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)), ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)), ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)), ("Africa/Casablanca", datetime(2026, 3, 22, 2, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 4, 5, 3, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1, tzinfo=UTC)), ("Antarctica/Troll", datetime(2026, 10, 25, 1, tzinfo=UTC)),
]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(text=texts, change=st.sampled_from(CHANGES), before=st.integers(0, 8 * 60), part=parts_of_a_second)
@example("30 2 * * *", CHANGES[0], 120, 0)
@example("30 2 * * *", CHANGES[1], 5, 0)
@example("*/15 * * * *", CHANGES[1], 60, 20_000)
@example("0 * * * *", CHANGES[0], 60, 500_000)  # due in the very second in which the clocks change
@example("0 2 * * *", CHANGES[0], 120, 5_000)
@example("30 * 4 4 *", ("America/Santiago", datetime(2026, 4, 5, 3, tzinfo=UTC)), 90, 0)  # the hour that comes twice is the last one for a year
def test_around_a_change_of_the_clocks_no_moment_is_lost_or_doubled(text: str, change: tuple[str, datetime], before: int, part: int) -> None:
    zone, moment = change
    start = moment - before * MINUTE
    until, plan = start + timedelta(hours=9), Schedule(text, zone)
    every = due(text, zone, start, until)
    assert found_by(plan, start, until) == every
    asked = start + timedelta(microseconds=part)
    later = [item for item in every if item > asked]
    assert found_by(plan, asked + MINUTE, until) == later
    assert plan.latest(until, len(every) + 1, asked) == later
    assert all(plan.before(item + timedelta(microseconds=part + 1)) == item for item in every[:3])


@pytest.mark.parametrize("part", [0, 1, 5_000, 500_000, 999_999])
@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_a_change_is_found_to_the_second_wherever_the_span_begins_and_ends(zone: str, change: datetime, part: int) -> None:
    plan = Schedule("0 * * * *", zone)
    for early, late in ((1, 0), (2, 0), (3, 1), (3600, 0), (3600, 7), (86_400, 3600)):
        low, high = change - timedelta(seconds=early), change + timedelta(seconds=late, microseconds=part)
        assert plan._bisected(low, high) == change


def test_what_cannot_be_found_is_an_error_and_no_endless_search(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, start = Schedule("0 2 * * *", "Europe/Berlin"), datetime(2027, 3, 27, 9, tzinfo=UTC)
    with monkeypatch.context() as patched:
        patched.setattr(Schedule, "_change", lambda *_: start)  # never gets further
        with pytest.raises(PortalError, match="'0 2 \\* \\* \\*' in Europe/Berlin is due near 2027-03-27"):
            plan.after(start)
    with monkeypatch.context() as patched:
        patched.setattr(Schedule, "_between", lambda *_: [])  # never due
        with pytest.raises(PortalError, match="gave up"):
            plan.before(start)
    with monkeypatch.context() as patched:
        patched.setattr(Schedule, "after", lambda *_: start)  # always due
        with pytest.raises(PortalError, match="gave up"):
            plan.latest(start, 1)


@settings(max_examples=40, deadline=None)
@given(text=texts, zone=zones, start=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
@example("0 2 * * *", "Europe/Berlin", datetime(2027, 3, 27, 9, 0, 0, 5000, UTC))
def test_moments_ascend_and_are_those_of_croniter_where_the_clocks_stay(text: str, zone: str, start: datetime) -> None:
    plan, place = Schedule(text, zone), ZoneInfo(zone)
    moments = [start]
    for _ in range(5):
        moments.append(plan.after(moments[-1]))
    assert all(earlier < later for earlier, later in pairwise(moments))
    local, offset = start.astimezone(place), start.astimezone(place).utcoffset()
    if all((start + timedelta(hours=hour)).astimezone(place).utcoffset() == offset for hour in range(-24, 24 * 90, 6)):
        walk = croniter(text, local.replace(tzinfo=UTC))
        wanted = [walk.get_next(datetime).replace(tzinfo=None) - offset for _ in range(5)]  # type: ignore[operator]
        near = [item for item in wanted if item < start.replace(tzinfo=None) + timedelta(days=85)]
        assert [item.replace(tzinfo=None) for item in moments[1 : len(near) + 1]] == near


@settings(max_examples=30, deadline=None)
@given(text=texts, zone=zones, until=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), count=st.integers(1, 5),
       back=st.integers(0, 3000))  # fmt: skip
def test_the_latest_moments_are_the_end_of_all_of_them(text: str, zone: str, until: datetime, count: int, back: int) -> None:
    plan, since = Schedule(text, zone), until - back * MINUTE
    every = [item for item in found_by(plan, since, until) if item > since]
    assert plan.latest(until, count, since) == every[-count:]
    before = plan.before(until)
    assert before < until and plan.after(before) >= until


def test_times_that_do_not_come_and_those_that_come_twice() -> None:
    def local(text: str, zone: str, start: datetime, number: int) -> list[str]:
        plan, found = Schedule(text, zone), []
        for _ in range(number):
            start = plan.after(start)
            found.append(start.astimezone(ZoneInfo(zone)).isoformat())
        return found

    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert local("30 2 * * *", "Europe/Berlin", spring, 2) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert local("30 2 * * *", "Europe/Berlin", autumn, 2) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    assert local("30 2,3 * * *", "Europe/Berlin", spring, 2) == ["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]
    assert local("0 2,3 * * *", "Europe/Berlin", spring, 2) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]
    twice = local("30 * * * *", "Europe/Berlin", datetime(2026, 10, 24, 23, 45, tzinfo=UTC), 3)
    assert twice == ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"]
    assert local("0 12 30 12 *", "Pacific/Apia", datetime(2011, 12, 1, tzinfo=UTC), 2) == ["2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"]


@pytest.mark.parametrize(
    ("text", "zone", "told"),
    [
        ("* * * *", "UTC", "4 fields"), ("* * * * * *", "UTC", "6 fields"), ("", "UTC", "0 fields"), ("@reboot", "UTC", "1 fields"),
        ("61 * * * *", "UTC", "cannot be read"), ("* * * * xyz", "UTC", "cannot be read"), ("R * * * *", "UTC", "random"),
        ("H H * * *", "UTC", "random"), ("0 0 30 2 *", "UTC", "never due"), ("0 6 * * *", "Europe/Berln", "no time zone"),
        ("0 6 * * *", "../etc/passwd", "no time zone"), ("0 6 * * *", "", "no time zone"), ("*/0 * * * *", "UTC", "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_in_words(text: str, zone: str, told: str) -> None:
    with pytest.raises(BadParameters, match=told) as caught:
        schedule(text, zone)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(("text", "told"), [
    ("61 6 * * *", "the minute is '61'; it must be 0 to 59"), ("0 24 * * *", "the hour is '24'; it must be 0 to 23"),
    ("0 6 1-32 * *", "the day is '1-32'; it must be 1 to 31"), ("0 6 * 13 *", "the month is '13'; it must be 1 to 12"),
    ("0 6 * * 8", "the weekday is '8'; it must be 0 to 7"), ("0 6 * * mon-fry", "the weekday is 'mon-fry'"), ("*/0 * * * *", "the minute is '*/0'"),
])  # fmt: skip
def test_the_field_that_is_wrong_is_named_with_its_range(text: str, told: str) -> None:
    with pytest.raises(BadParameters) as caught:
        schedule(text, "UTC")
    assert caught.value.message.startswith(f"The schedule {text!r} cannot be read: {told}")


def test_the_time_zone_that_was_meant_is_named() -> None:
    with pytest.raises(BadParameters) as caught:
        schedule("0 6 * * *", "Europe/Berln")
    assert caught.value.hint == "Did you mean Europe/Berlin?"


def test_names_of_schedules_are_known() -> None:
    start = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
    assert schedule("@hourly", "UTC").after(start) == datetime(2026, 11, 21, 11, tzinfo=UTC)
    assert schedule("@daily", "Asia/Kathmandu").after(start) == datetime(2026, 11, 21, 18, 15, tzinfo=UTC)
    assert schedule("0 0 29 2 *", "UTC").after(start) == datetime(2028, 2, 29, tzinfo=UTC)
    assert schedule("0 0 29 2 *", "UTC").before(start) == datetime(2024, 2, 29, tzinfo=UTC)
