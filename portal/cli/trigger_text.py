"""Triggers as the command line writes them: a line of the list, the page of one, its events, when a schedule is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from portal.cli.text import as_json, short, table
from portal.errors import PortalError
from portal.spool import Spool
from portal.triggers import book, cron, history, noticed, submitting, telling
from portal.triggers.history import Happened
from portal.triggers.state import State
from portal.triggers.trigger import Trigger


def due(trigger: Trigger, count: int) -> tuple[list[datetime], str]:
    """Return the next moments at which a trigger is due, none of one without a schedule; and why nobody knows them, '' where somebody does."""
    if trigger.kind != "cron":
        return [], ""
    try:
        return cron.next_times(trigger, count, datetime.now(UTC)), ""
    except PortalError as error:  # one bad schedule must not silence the others
        return [], f"{error.message} {error.hint}".strip()


def how(spool: Spool, trigger: Trigger, now: State) -> list[str]:
    """Return three cells of the list: how it is, its last event, and when it is due next."""
    last = next(iter(history.events(spool.layout, trigger.name)), None)
    times, wrong = due(trigger, 1)
    reason = trigger.paused.why if trigger.paused else now.problem.text.partition("\n")[0] if now.problem else wrong
    standing = "problem" if wrong and not trigger.paused else telling.standing(trigger, now)
    words = f"{standing}: {reason[:60]}" if reason else standing
    next_due = "" if trigger.paused else "".join(f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for when in times)
    return [words, f"{short(last.at)} {last.outcome}" if last else "", next_due]


def page(spool: Spool, trigger: Trigger, now: State) -> Iterator[str]:
    """Yield the lines that tell everything about one."""
    yield f"{trigger.kind} {trigger.name}"
    for label, value in _facts(spool, trigger, now):
        if value:
            yield f"  {label:<13}{value}"
    if now.problem:
        often = f"{now.problem.times} times " if now.problem.times > 1 else ""
        yield from ["", f"problem, {often}since {short(now.problem.since)} UTC"]
        yield from (f"  {line}" for line in now.problem.text.splitlines())
    yield from ["", "parameters", *(f"  {line}" for line in as_json(dict(trigger.params)).splitlines())]
    if now.told:
        yield from ["", "seen at the last look", *(f"  {line}" for line in _seen(trigger, now))]
    if past := history.events(spool.layout, trigger.name)[:5]:
        yield from ["", "latest events", *(f"  {line}" for line in history_table(past).splitlines())]


def _seen(trigger: Trigger, now: State) -> Iterator[str]:
    yield from (f"{title:<21}{value}" for title, value in noticed.figures(trigger.kind, now.told))
    for item in noticed.remains(now.told):
        yield f"{item.title}: {item.names},"
        yield f"  because {item.why}"


def _facts(spool: Spool, trigger: Trigger, now: State) -> Iterator[tuple[str, Any]]:
    yield "waits for", telling.waits(trigger)
    yield "runs", telling.does(trigger)
    yield "with", ", ".join(f"{name}={value}" for name, value in trigger.on.items())
    yield "overlap", trigger.overlap
    if trigger.paused:
        why = f": {trigger.paused.why}" if trigger.paused.why else ""
        yield "paused", f"by {trigger.paused.by} since {short(trigger.paused.at)} UTC{why}"
    wishes, others = telling.then(trigger)
    yield "then", ", ".join(str(item["engine"]) for item in others)
    yield "tells", ", ".join(map(str, wishes))
    yield "labels", ", ".join(f"{name}={value}" for name, value in trigger.labels.items())
    yield "changed", f"{short(trigger.at)} UTC by {trigger.by}"
    yield "looked at", f"{short(now.looked_at)} UTC" if now.looked_at else "never yet"
    yield "asked", "to run now; a worker's service does it" if book.is_asked(spool.layout, trigger.name) else ""
    yield "open jobs", ", ".join(submitting.not_ended(spool, now.jobs))
    if not trigger.paused:
        times, wrong = due(trigger, 3)
        yield "next", wrong or ", ".join(local(when) for when in times)


def local(when: datetime) -> str:
    """`Mon 2026-11-23 06:30 CET`."""
    return f"{when:%a %Y-%m-%d %H:%M %Z}"


def history_table(past: Sequence[Happened]) -> str:
    """Return what became of events, one a line."""
    rows = [[short(item.due_at), short(item.at), item.outcome, item.job, item.reason] for item in past]
    return table(["due (UTC)", "handled (UTC)", "outcome", "job", "reason"], rows)
