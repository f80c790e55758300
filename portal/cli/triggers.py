"""`triggers`: what makes jobs by itself: list, show, make, change, pause, run and remove them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from portal import clock
from portal.cli import trigger_making, trigger_text
from portal.cli.parsing import PROGRAM, add_json, add_user, parser
from portal.cli.text import as_json, printable, table
from portal.cli.watch import nobody_works
from portal.errors import BadParameters
from portal.settings import Settings
from portal.spool import Spool
from portal.spool.reasons import NO_WORKER
from portal.triggers import book, history, telling
from portal.triggers import state as states
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
        rows = [
            [trigger.name, trigger.kind, telling.waits(trigger), telling.does(trigger), *trigger_text.how(spool, trigger, now)]
            for trigger, now in found
        ]
        print(table(["name", "kind", "waits for", "runs", "state", "last event (UTC)", "next (UTC)"], rows))
    else:
        print(f"No triggers. `{PROGRAM} triggers add --help` tells how to make one.")
    for name, why in book.damaged(spool.layout).items():
        print(f"{name}: {why}", file=sys.stderr)
    _warn(spool, any(trigger.paused is None for trigger, _ in found))
    return 0


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
        times = [] if trigger.paused else trigger_text.due(trigger, 5)[0]
        print(as_json({**_told(trigger, now), "next": list(map(_iso, times)), "history": past}))
    else:
        print("\n".join(printable(line) for line in trigger_text.page(spool, trigger, now)))
        _warn(spool, trigger.paused is None)
    return 0


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
    if times := trigger_text.due(trigger, 3)[0]:
        print(f"Next: {', '.join(trigger_text.local(when) for when in times)}")
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
        print(trigger_text.history_table(past) if past else f"{given.name} has had no event yet.")
    return 0


def _outcomes() -> str:
    return "\n".join(f"  {name:<11}{words}" for name, words in _TOLD.items())


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
    found = [(item, *trigger_text.due(item, limit)) for item in chosen]
    times = sorted(((when, item) for item, due, _ in found for when in due), key=lambda pair: (pair[0], pair[1].name))[:limit]
    wrong = [(item, problem) for item, _, problem in found if problem]
    if given.json:
        print(as_json([{"name": item.name, "due_at": _iso(when)} for when, item in times] +
                      [{"name": item.name, "due_at": None, "problem": problem} for item, problem in wrong]))  # fmt: skip
    elif times or wrong:
        rows = [[trigger_text.local(when), f"{when.astimezone(UTC):%Y-%m-%d %H:%M}", item.name, telling.does(item)] for when, item in times]
        rows += [["nobody knows", "", item.name, f"{telling.does(item)}: {problem}"] for item, problem in wrong]
        print(table(["due", "due (UTC)", "trigger", "runs"], rows))
    else:
        print("No schedule is due.")
    if given.name and chosen[0].paused and not given.json:
        print(f"{given.name} is paused: it makes no jobs until `{PROGRAM} triggers resume {given.name}`.")
    return 0


def _iso(when: datetime) -> str:
    return clock.iso(round(when.timestamp() * 1000))


_ACTIONS: Mapping[str, Callable[[list[str], Spool, Settings], int]] = {
    "list": _list, "show": _show, "add": _add, "edit": _edit, "pause": _pause, "resume": _resume, "run": _run, "remove": _remove,
    "history": _history, "next": _next,
}  # fmt: skip
