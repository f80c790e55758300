"""`triggers`: what makes jobs by itself: list, show, make, change, pause, run and remove them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from portal import clock
from portal.cli import trigger_making
from portal.cli.parsing import PROGRAM, add_json, add_user, parser
from portal.cli.text import as_json, printable, short, table
from portal.cli.watch import nobody_works
from portal.errors import BadParameters
from portal.settings import Settings
from portal.spool import Spool
from portal.spool.reasons import NO_WORKER
from portal.triggers import book, cron, history, submitting, telling
from portal.triggers import state as states
from portal.triggers.history import Happened
from portal.triggers.state import State
from portal.triggers.trigger import Trigger

_ABOUT = f"""What makes jobs by itself: a schedule, a watched folder or an SQS queue. Without an ACTION: list them.

actions:
  list             list the triggers
  show NAME        show everything about one
  add KIND NAME    make one; `{PROGRAM} triggers add --help` tells how
  edit NAME        change one
  pause NAME       make no jobs of it until resume; what runs goes on
  resume NAME      make jobs again
  run NAME         run it now, once, whatever it waits for
  remove NAME      remove it; its jobs stay
  history NAME     list its latest events and what became of them
  next [NAME]      list when schedules are due next

Workers serve the triggers: one of them fires each event, exactly once."""

_TOLD = {"submitted": "a job was submitted", "skipped": "left out", "missed": "passed while no worker ran", "refused": "no job can be made of it"}


def triggers(arguments: list[str], settings: Settings) -> int:
    """Do one action with the triggers."""
    if not arguments or arguments[0] in ("--json", "list"):
        return _list([word for word in arguments if word != "list"], Spool(settings), settings)
    made = parser("triggers", _ABOUT, "[ACTION] [NAME] [--json]")
    made.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=argparse.SUPPRESS)
    made.parse_args(arguments[:1])
    return _ACTIONS[arguments[0]](arguments[1:], Spool(settings), settings)


def _list(arguments: list[str], spool: Spool, settings: Settings) -> int:
    made = parser("triggers list", "List the triggers.", "[--json]")
    add_json(made)
    given = made.parse_args(arguments)
    found = [(trigger, states.state(spool.layout, trigger.name)) for trigger in book.triggers(spool.layout)]
    if given.json:
        print(as_json([_told(trigger, now) for trigger, now in found]))
    elif found:
        rows = [[trigger.name, trigger.kind, telling.waits(trigger), telling.does(trigger), *_how(spool, trigger, now)] for trigger, now in found]
        print(table(["name", "kind", "waits for", "runs", "state", "last event (UTC)", "next (UTC)"], rows))
    else:
        print(f"No triggers. `{PROGRAM} triggers add --help` tells how to make one.")
    for name, why in book.damaged(spool.layout).items():
        print(f"{name}: {why}", file=sys.stderr)
    _warn(spool, any(trigger.paused is None for trigger, _ in found))
    return 0


def _how(spool: Spool, trigger: Trigger, now: State) -> list[str]:
    last = next(iter(history.events(spool.layout, trigger.name)), None)
    how = telling.standing(trigger, now)
    why = trigger.paused.why if trigger.paused else now.problem.text.partition("\n")[0] if now.problem else ""
    words = f"{how}: {why[:60]}" if why else how
    return [words, f"{short(last.at)} {last.outcome}" if last else "", _next_due(trigger, now)]


def _next_due(trigger: Trigger, now: State) -> str:
    """When a schedule is due next, UTC; also while no service has written it down."""
    if trigger.paused:
        return ""
    return short(now.next_due) or "".join(f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for when in _due(trigger, 1))


def _told(trigger: Trigger, now: State) -> dict[str, Any]:
    """A trigger for a script: the definition, how it is, and what the service knows of it."""
    return {**json.loads(trigger.to_json()), "standing": telling.standing(trigger, now), "state": json.loads(now.to_json())}


def _warn(spool: Spool, needed: bool) -> None:
    if needed and nobody_works(spool):
        print(NO_WORKER, file=sys.stderr)


def _show(arguments: list[str], spool: Spool, settings: Settings) -> int:
    made = parser("triggers show", "Show everything about one trigger.", "NAME [--json | --definition]")
    made.add_argument("name", metavar="NAME")
    made.add_argument("--definition", action="store_true", help="print only what `add --file` and `edit --file` take")
    add_json(made)
    given = made.parse_args(arguments)
    trigger, now = book.load(spool.layout, given.name), states.state(spool.layout, given.name)
    if given.definition:
        print(as_json(trigger_making.definition(trigger)))
    elif given.json:
        past = [item.model_dump() for item in history.events(spool.layout, given.name)]
        print(as_json({**_told(trigger, now), "next": [clock.iso(round(when.timestamp() * 1000)) for when in _due(trigger, 5)], "history": past}))
    else:
        print("\n".join(printable(line) for line in _page(spool, trigger, now)))
        _warn(spool, trigger.paused is None)
    return 0


def _page(spool: Spool, trigger: Trigger, now: State) -> Iterator[str]:
    yield f"{trigger.kind} {trigger.name}"
    for label, value in _facts(spool, trigger, now):
        if value:
            yield f"  {label:<13}{value}"
    if now.problem:
        yield from ["", f"problem, {now.problem.times} times since {short(now.problem.since)} UTC"]
        yield from (f"  {line}" for line in now.problem.text.splitlines())
    yield from ["", "parameters", *(f"  {line}" for line in as_json(dict(trigger.params)).splitlines())]
    if now.told:
        yield from ["", "told by the service", *(f"  {line}" for line in as_json(dict(now.told)).splitlines())]
    if past := history.events(spool.layout, trigger.name)[:5]:
        yield from ["", "latest events", *(f"  {line}" for line in _history_table(past).splitlines())]


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
        yield "next", ", ".join(_local(when) for when in _due(trigger, 3))


def _due(trigger: Trigger, count: int) -> list[datetime]:
    return list(cron.next_times(trigger, count, datetime.now(UTC))) if trigger.kind == "cron" else []


def _local(when: datetime) -> str:
    return f"{when:%a %Y-%m-%d %H:%M %Z}"


def _add(arguments: list[str], spool: Spool, settings: Settings) -> int:
    trigger, given = trigger_making.new(arguments)
    return _saved(spool, book.save(settings, trigger, given.user, new=True), given, "Made")


def _edit(arguments: list[str], spool: Spool, settings: Settings) -> int:
    if not arguments or arguments[0].startswith("-"):
        about = "Change a trigger. `triggers edit NAME --help` shows the flags of its kind; what is not given stays as it is."
        made = parser("triggers edit", about, "NAME [flags] [--run ENGINE [flags]] | NAME --file FILE")
        made.add_argument("name", metavar="NAME")
        made.parse_args(arguments)
    before = book.load(spool.layout, arguments[0])
    trigger, given = trigger_making.changed(before, arguments)
    if trigger == before:
        print(as_json(_told(before, states.state(spool.layout, before.name))) if given.json else
              f"Nothing to change: {before.name} is so already. `{PROGRAM} triggers edit {before.name} --help` shows its flags.")  # fmt: skip
        return 0
    return _saved(spool, book.save(settings, trigger, given.user), given, "Changed")


def _saved(spool: Spool, trigger: Trigger, given: argparse.Namespace, verb: str) -> int:
    if given.json:
        print(as_json(_told(trigger, states.state(spool.layout, trigger.name))))
        return 0
    print(f"{verb}: {trigger.name} waits for {telling.waits(trigger)} and runs {telling.does(trigger)}.")
    if times := _due(trigger, 3):
        print(f"Next: {', '.join(_local(when) for when in times)}")
    _warn(spool, True)
    return 0


def _pause(arguments: list[str], spool: Spool, settings: Settings) -> int:
    made = parser("triggers pause", "Make no jobs of a trigger until `triggers resume`. Jobs that are there run to their end.", "NAME… [--why TEXT]")
    made.add_argument("names", nargs="+", metavar="NAME")
    made.add_argument("--why", metavar="TEXT", default="", help="the reason, shown wherever somebody asks")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    return _each(spool, given, lambda name: book.pause(spool.layout, name, given.user, given.why), "Paused: {}.")


def _resume(arguments: list[str], spool: Spool, settings: Settings) -> int:
    made = parser("triggers resume", "Make jobs of a trigger again. Times that passed meanwhile are not made up for.", "NAME…")
    made.add_argument("names", nargs="+", metavar="NAME")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    return _each(spool, given, lambda name: book.resume(spool.layout, name, given.user), "Resumed: {}.")


def _each(spool: Spool, given: argparse.Namespace, act: Callable[[str], Trigger], told: str) -> int:
    """Do it with each, or with none when one of them is not there."""
    for name in given.names:
        book.load(spool.layout, name)
    done = [act(name) for name in given.names]
    print(as_json([json.loads(item.to_json()) for item in done]) if given.json else "\n".join(told.format(item.name) for item in done))
    return 0


def _run(arguments: list[str], spool: Spool, settings: Settings) -> int:
    about = "Run a trigger now, once, also when it is paused. The request is on the disk: without a worker it waits for one."
    made = parser("triggers run", about, "NAME")
    made.add_argument("name", metavar="NAME")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    book.ask(spool.layout, given.name, given.user)
    print(as_json({"name": given.name, "asked": True}) if given.json else
          f"Asked: {given.name} runs now.\nTo see what came of it: {PROGRAM} triggers history {given.name}")  # fmt: skip
    _warn(spool, True)
    return 0


def _remove(arguments: list[str], spool: Spool, settings: Settings) -> int:
    about = "Remove a trigger with its history. Its jobs stay as they are, and files that it has taken become a job still."
    made = parser("triggers remove", about, "NAME")
    made.add_argument("name", metavar="NAME")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    gone = book.remove(spool.layout, given.name)
    print(as_json(gone and json.loads(gone.to_json())) if given.json else f"Removed: {given.name}.")
    return 0


def _history(arguments: list[str], spool: Spool, settings: Settings) -> int:
    made = parser("triggers history", f"List the latest events of a trigger and what became of them:\n{_outcomes()}", "NAME [--limit N] [--json]")
    made.add_argument("name", metavar="NAME")
    made.add_argument("--limit", type=int, default=20, metavar="N", help=f"at most so many, up to {history.LATEST} (default: 20)")
    add_json(made)
    given = made.parse_args(arguments)
    book.load(spool.layout, given.name)
    past = history.events(spool.layout, given.name)[: max(0, given.limit)]
    if given.json:
        print(as_json([item.model_dump() for item in past]))
    else:
        print(_history_table(past) if past else f"{given.name} has had no event yet.")
    return 0


def _outcomes() -> str:
    return "\n".join(f"  {name:<11}{words}" for name, words in _TOLD.items())


def _history_table(past: Sequence[Happened]) -> str:
    rows = [[short(item.due_at), short(item.at), item.outcome, item.job, item.reason] for item in past]
    return table(["due (UTC)", "handled (UTC)", "outcome", "job", "reason"], rows)


def _next(arguments: list[str], spool: Spool, settings: Settings) -> int:
    made = parser("triggers next", "List when schedules are due next: of one trigger, or of all that are not paused.", "[NAME] [--limit N] [--json]")
    made.add_argument("name", nargs="?", metavar="NAME")
    made.add_argument("--limit", type=int, default=10, metavar="N", help="at most so many (default: 10)")
    add_json(made)
    given = made.parse_args(arguments)
    chosen = [book.load(spool.layout, given.name)] if given.name else [item for item in book.triggers(spool.layout) if not item.paused]
    if given.name and chosen[0].kind != "cron":
        raise BadParameters(f"{given.name} has no schedule: it waits for {telling.waits(chosen[0])}.")
    limit = max(0, given.limit)
    times = sorted(((when, item) for item in chosen for when in _due(item, limit)), key=lambda pair: (pair[0], pair[1].name))[:limit]
    if given.json:
        print(as_json([{"name": item.name, "due_at": clock.iso(round(when.timestamp() * 1000))} for when, item in times]))
    elif times:
        print(table(["due", "due (UTC)", "trigger", "runs"],
                    [[_local(when), f"{when.astimezone(UTC):%Y-%m-%d %H:%M}", item.name, telling.does(item)] for when, item in times]))  # fmt: skip
    else:
        print("No schedule is due.")
    if given.name and chosen[0].paused and not given.json:
        print(f"{given.name} is paused: it makes no jobs until `{PROGRAM} triggers resume {given.name}`.")
    return 0


_ACTIONS: Mapping[str, Callable[[list[str], Spool, Settings], int]] = {
    "list": _list, "show": _show, "add": _add, "edit": _edit, "pause": _pause, "resume": _resume, "run": _run, "remove": _remove,
    "history": _history, "next": _next,
}  # fmt: skip
