"""When a schedule is due, across changes of the clocks. No I/O but the time zone's data.

A schedule is read in local time. What croniter finds there becomes a moment by these rules, which are cron's own:

- A time that the clocks jump over (02:30, when 02:00 becomes 03:00) is due at the moment they jump, once.
- A time that comes twice (02:30, when 03:00 becomes 02:00) is due the first time it comes.
- A schedule that is due in every hour of a day goes by the hours that pass: it is due in the hour that comes twice, twice, and is not due in one
  that there is not.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadDateError, CroniterError, croniter

from portal.errors import BadParameters, PortalError

_WORDS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_NEAR = timedelta(hours=26)
"""Longer than any change of the clocks."""
_STEP = timedelta(seconds=1)
_MOST_STEPS, _MOST_SPANS, _MOST_MOMENTS = 1_000, 12, 100_000
"""More than any schedule needs: whoever asks gets an error rather than no answer."""
_EVERY_HOUR = list(range(24))
_ALLOWED = {
    "minute": "0 to 59", "hour": "0 to 23", "day": "1 to 31 or L for the last one", "month": "1 to 12 or jan to dec",
    "weekday": "0 to 7 (0 and 7: Sunday) or sun to sat",
}  # fmt: skip
"""The fields of a schedule, in their order, and what each may be."""
_UNREADABLE = (CroniterError, ValueError, KeyError, IndexError)


class Schedule:
    """Five fields of cron (or @daily, …) in a time zone. Moments are aware datetimes in UTC.

    Raises:
        BadParameters: it cannot be read, or is never due.
        PortalError: moments are asked for that cannot be found in a bounded number of steps: a mistake of the portal's own.
    """

    def __init__(self, text: str, zone: str) -> None:
        self.text, self.zone = text, _zone(zone)
        fields = _fields(text)
        self.every_hour = fields[1] in (["*"], _EVERY_HOUR)

    def after(self, moment: datetime) -> datetime:
        """Return the first moment after another."""
        at = moment.astimezone(UTC).replace(microsecond=0)  # what is due is due at whole seconds
        for _ in range(_MOST_STEPS):
            local = self._local(at)
            wanted = _next(self.text, local)
            reached = at + (wanted - local)
            change = self._change(at, reached)
            if change is None:
                if self.every_hour or not self._fold(reached):
                    return reached
                at = reached
                continue
            before, now = local + (change - at), self._local(change)
            if not self.every_hour and before <= wanted < now:
                return change
            if self._is_due(now) and (self.every_hour or not self._fold(change)):
                return change
            at = change
        raise self._lost(moment)

    def before(self, moment: datetime) -> datetime:
        """Return the last moment before another."""
        return self.latest(moment - timedelta.resolution, 1)[0]

    def latest(self, until: datetime, count: int, since: datetime | None = None) -> list[datetime]:
        """Return the last moments up to one, that included, oldest first: at most `count`, and only those after `since`."""
        span = timedelta(hours=1)
        for _ in range(_MOST_SPANS):
            start = until - span
            cut = since is not None and start <= since
            found = self._between(since if cut and since is not None else start, until)
            if cut or len(found) >= count:
                return found[-count:]
            span *= 4
        raise self._lost(until)

    def _between(self, start: datetime, until: datetime) -> list[datetime]:
        found: list[datetime] = []
        at = self.after(start)
        while at <= until:
            if len(found) == _MOST_MOMENTS:
                raise self._lost(until)
            found.append(at)
            at = self.after(at)
        return found

    def _lost(self, moment: datetime) -> PortalError:
        return PortalError(
            f"When the schedule {self.text!r} in {self.zone.key} is due near {moment.isoformat()} cannot be found: the portal gave up looking.",
            hint="Write it another way, or in UTC, and report this.",
        )

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _fold(self, moment: datetime) -> int:
        return moment.astimezone(self.zone).fold

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta(0)

    def _change(self, after: datetime, until: datetime) -> datetime | None:
        """Return when the clocks change between two moments, the first such change that matters.

        One that is far from `after` and undone before `until` does not: local times that come twice, or not at all, between two
        moments of a schedule are no moments of it. Near `after`, what comes twice may lie before it.
        """
        for start, end in ((after, min(until, after + _NEAR)), (after + _NEAR, until)):
            if start < end and self._offset(start) != self._offset(end):
                return self._bisected(start, end)
        return None

    def _bisected(self, low: datetime, high: datetime) -> datetime:
        """Return the first second at which the clocks are not what they are at `low`, a whole second."""
        first = self._offset(low)
        seconds = range(-((low - high) // _STEP) + 1)
        return low + bisect_left(seconds, True, key=lambda second: self._offset(low + second * _STEP) != first) * _STEP

    def _is_due(self, local: datetime) -> bool:
        return local.second == 0 and _next(self.text, local - _STEP) == local


def _next(text: str, local: datetime) -> datetime:
    found: datetime = croniter(text, local.replace(tzinfo=UTC)).get_next(datetime)
    return found.replace(tzinfo=None)


@lru_cache(maxsize=4096)
def schedule(text: str, zone: str) -> Schedule:
    """Return a schedule that is known to be due sometimes. Raises BadParameters."""
    found = Schedule(text, zone)
    try:
        found.after(datetime.now(UTC))
    except CroniterBadDateError:
        raise BadParameters(f"The schedule {text!r} is never due: there is no such day.") from None
    return found


def _fields(text: str) -> list[list[object]]:
    hint = 'Write five fields, like "30 6 * * mon-fri" for 6:30 on working days, or @hourly, @daily, @weekly, @monthly.'
    words = text.split()
    if text.lower() not in _WORDS and len(words) != 5:
        raise BadParameters(f"The schedule {text!r} has {len(words)} fields; it must have five: minute, hour, day, month, weekday.", hint=hint)
    if len(words) == 5 and any(letter in "rh" for letter in f"{words[0]} {words[1]} {words[2]}".lower()):
        raise BadParameters(f"The schedule {text!r} cannot be read: hashed and random fields are not known here.", hint=f"{hint} jitter_s spreads.")
    try:
        found: list[list[object]] = croniter(text).expanded
    except _UNREADABLE:
        raise BadParameters(f"The schedule {text!r} cannot be read: {_wrong(words)}.", hint=hint) from None
    return found


def _wrong(words: list[str]) -> str:
    """Which field is wrong, and what it may be: each is read with nothing beside it."""
    for place, (name, allowed) in enumerate(_ALLOWED.items()):
        alone = ["*"] * len(_ALLOWED)
        alone[place] = words[place]
        try:
            croniter(" ".join(alone))
        except _UNREADABLE:
            return f"the {name} is {words[place]!r}; it must be {allowed}, or *, a list (1,2), a range (1-5) or steps (*/2) of that"
    return "its fields do not fit together"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        near = get_close_matches(name, available_timezones(), 1)
        hint = f"Did you mean {near[0]}?" if near else "Write it like Europe/Berlin, America/New_York or UTC."
        raise BadParameters(f"There is no time zone {name!r}.", hint=hint) from None
