"""Schedules: each due moment is one event, named by the moment, and one job, however late it is found and however often.

How far the schedule was followed is the cursor in state.json, written after what was due has its job. Ids follow from due moments, so whoever
finds a moment again, after a crash or because the clock was set back, finds its job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property

from portal import clock
from portal.triggers.events import Event
from portal.triggers.history import Happened
from portal.triggers.places import Asked
from portal.triggers.schedule import Schedule, schedule
from portal.triggers.trigger import Cron, Trigger
from portal.triggers.watching import Watch

ON_TIME_MS = 60_000
"""A moment that is found within this time is no missed one, whatever `catch_up` says: a worker may just have been started again."""

_LONGEST_S = 30.0
"""The clock may be set, or the machine sleep."""


def check(trigger: Trigger) -> None:
    """Raises BadParameters when the schedule cannot be read or is never due, or there is no such time zone."""
    on: Cron = trigger.waits_for()
    schedule(on.schedule.strip(), on.time_zone.strip())


def next_times(trigger: Trigger, n: int, now: datetime) -> list[datetime]:
    """Return the next `n` moments after `now` at which a schedule is due, in its time zone, without jitter. Raises BadParameters."""
    return list(_coming(trigger, n, now))


def _coming(trigger: Trigger, n: int, now: datetime) -> Iterator[datetime]:
    plan = _plan(trigger)
    for _ in range(n):
        now = plan.after(now)
        yield now.astimezone(plan.zone)


def _plan(trigger: Trigger) -> Schedule:
    on: Cron = trigger.waits_for()
    return schedule(on.schedule.strip(), on.time_zone.strip())


def event(trigger: Trigger, due_ms: int) -> Event:
    """Return the event of a due moment."""
    due = clock.iso(due_ms)
    return Event(due, due_ms, _facts(trigger, due_ms), not_before=_start(trigger, due_ms))


def _facts(trigger: Trigger, due_ms: int) -> dict[str, str]:
    before = _plan(trigger).before(_moment(due_ms))
    return {"due_at": clock.iso(due_ms), "previous_due_at": clock.iso(_ms(before))}


def _start(trigger: Trigger, due_ms: int) -> str | None:
    """When a job is to start that is not to start at once: always the same moment for the same event."""
    on: Cron = trigger.waits_for()
    if not on.jitter_s:
        return None
    chance = int.from_bytes(hashlib.sha256(f"{trigger.uid}/{due_ms}/jitter".encode()).digest()[:8], "big")
    return clock.iso(due_ms + chance % (on.jitter_s * 1000 + 1))


class CronWatch(Watch):
    """One schedule. All of a look's reading and writing is in the queue's own folder."""

    _known = (0, 0)
    """A moment, and when the schedule is due next after it."""

    @cached_property
    def _schedule(self) -> Schedule:
        return _plan(self.trigger)

    def look(self, now_ms: int) -> float:
        if asked := self.home.asked():
            self._run_now(asked)
            self.home.answered(asked)
        if self.trigger.paused:
            return _LONGEST_S
        cursor_ms = self._cursor_ms(now_ms)
        next_ms = self._after(cursor_ms)
        if next_ms <= now_ms:
            self._catch_up(cursor_ms, now_ms)
            next_ms = self._after(now_ms)
        self.home.change(next_due=clock.iso(next_ms))
        return min(_LONGEST_S, (next_ms - now_ms) / 1000)

    def _after(self, moment_ms: int) -> int:
        """When it is due next after a moment; most looks ask for the same one."""
        known_ms, next_ms = self._known
        if not known_ms <= moment_ms < next_ms:
            next_ms = _ms(self._schedule.after(_moment(moment_ms)))
            self._known = moment_ms, next_ms
        return next_ms

    def _cursor_ms(self, now_ms: int) -> int:
        """Moments up to this one are done with: never one to come, so after the clock was set back it is now; what comes again has its job already.

        The trigger's `since` counts once, when it is new. Later it may lie ahead, written by a clock that was, and would keep the schedule waiting.
        """
        cursor, since = self.home.state.cursor, self.trigger.since
        done_ms = clock.parse_ms(cursor or since)
        found_ms = done_ms if self.home.state.since == since else max(done_ms, clock.parse_ms(since))
        if found_ms > now_ms or self.home.state.since != since:
            self.home.change(cursor=clock.iso(min(found_ms, now_ms)), since=since)
        return min(found_ms, now_ms)

    def _run_now(self, asked: Asked) -> None:
        """A job beside the schedule. It is never skipped: somebody wants it; it waits for the one before unless they may overlap."""
        at_ms = clock.parse_ms(asked.at)
        facts = {**_facts(self.trigger, at_ms), "due_at": asked.at}
        self.fire(Event(f"run-now-{asked.key}", at_ms, facts), reason=f"{asked.by} asked for it")

    def _catch_up(self, cursor_ms: int, now_ms: int) -> None:
        on: Cron = self.trigger.waits_for()
        most = on.max_catch_up if on.catch_up == "all" else 1
        found = [_ms(item) for item in self._schedule.latest(_moment(now_ms), most + 1, since=_moment(cursor_ms))]
        due = [item for item in found[-most:] if on.catch_up != "none" or now_ms - item <= ON_TIME_MS]
        if len(due) < len(found):
            self._tell_missed(cursor_ms, due[0] if due else now_ms + 1)
        for due_ms in due:
            # Who wants all that was missed wants each of them: they wait for one another, and are not skipped.
            skips = self.trigger.overlap == "skip" and not (on.catch_up == "all" and now_ms - due_ms > ON_TIME_MS)
            self.fire(event(self.trigger, due_ms), skip_while=self.open_jobs() if skips else ())
            self.home.change(cursor=clock.iso(due_ms))
        self.home.change(cursor=clock.iso(max([*due, found[-1]])))

    def _tell_missed(self, cursor_ms: int, until_ms: int) -> None:
        """Write down, in one line, which moments passed."""
        last_ms = _ms(self._schedule.before(_moment(until_ms)))
        first_ms = _ms(self._schedule.after(_moment(cursor_ms)))
        on: Cron = self.trigger.waits_for()
        span = f"those from {clock.iso(first_ms)} on" if first_ms < last_ms else "it"
        reason = f"Nothing looked at the schedule then, and catch_up={on.catch_up} makes up for {_MADE_UP[on.catch_up]}: {span} passed without a job."
        now = clock.iso(clock.now_ms())
        self.home.tell(Happened(event=clock.iso(last_ms), due_at=clock.iso(last_ms), at=now, outcome="missed", reason=reason))


_MADE_UP = {"none": "none", "last": "the last one only", "all": "the latest ones only (max_catch_up)"}


def _moment(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms // 1000, UTC) + timedelta(milliseconds=moment_ms % 1000)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
