"""`pause`, `resume`, `priority` and `limits`: what is started, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from portal import catalog
from portal.cli.parsing import PROGRAM, add_json, add_user, find, parser
from portal.cli.text import as_json, table
from portal.errors import BadParameters
from portal.settings import Settings
from portal.spool import Pause, Spool

_PAUSE = """Start no new jobs until `resume`: of one engine, or at all. Submitting goes on, running jobs run to their end, and cancelling works.

A pause is on the disk: it holds when workers or the machine are started again. A job that a worker is claiming in the same instant may still start.
Pausing what is paused changes nothing, except that another --why replaces the reason."""


def pause(arguments: list[str], settings: Settings) -> int:
    """Pause the queue or one engine."""
    made = parser("pause", _PAUSE, "[--engine NAME] [--why TEXT]")
    made.add_argument("--engine", metavar="NAME", help="pause only the jobs of this engine (default: everything)")
    made.add_argument("--why", metavar="TEXT", default="", help="the reason, shown wherever somebody asks why a job waits")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    _known(given.engine)
    spool = Spool(settings)
    before = spool.pauses()
    held = spool.pause(given.engine, by=given.user, why=given.why)
    already = " already" if held in before else ""
    print(as_json(_paused(spool.pauses())) if given.json else f"Paused{already}: {held.told}.\nTo go on: {PROGRAM} resume{_flag(given.engine)}")
    return 0


def resume(arguments: list[str], settings: Settings) -> int:
    """End a pause."""
    made = parser("resume", "Start jobs again: of an engine that was paused, or everything.", "[--engine NAME | --all]")
    scope = made.add_mutually_exclusive_group()
    scope.add_argument("--engine", metavar="NAME", help="end the pause of this engine (default: the pause of the whole queue)")
    scope.add_argument("--all", action="store_true", help="end every pause there is")
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    wanted = [item.engine for item in spool.pauses()] if given.all else [given.engine]
    ended = [item for engine in wanted if (item := spool.resume(engine))]
    left = spool.pauses()
    if given.json:
        print(as_json({"resumed": _paused(ended), "paused": _paused(left)}))
        return 0
    what = f"The engine {given.engine}" if given.engine else "The queue"
    lines = [f"Resumed: {item.told}." for item in ended] or ["Nothing was paused." if given.all else f"{what} was not paused."]
    print("\n".join([*lines, *(f"Still paused: {item.told}." for item in left)]))
    return 0


def _known(engine: str | None) -> None:
    """Raises BadParameters for what is no engine: a pause of it would do nothing, silently."""
    if engine is not None and engine not in catalog.names():
        raise BadParameters(f"There is no engine {engine!r}.", hint=f"Engines: {', '.join(catalog.names())}.")


def _flag(engine: str | None) -> str:
    return f" --engine {engine}" if engine else ""


def _paused(items: Sequence[Pause]) -> list[dict[str, str | None]]:
    return [{"engine": item.engine, "by": item.by, "at": item.at, "why": item.why} for item in items]


def priority(arguments: list[str], settings: Settings) -> int:
    """Change the priority of a job that waits."""
    about = "Change the priority of a job that waits, whether it is ready or delayed. 0 is most urgent, 9 least, 5 what a job gets by itself."
    made = parser("priority", about, "ID 0-9")
    made.add_argument("id", metavar="ID")
    made.add_argument("priority", type=int, metavar="0-9", choices=range(10))
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    job = spool.priority(find(spool, given.id).id, given.priority)
    print(as_json({"id": job.id, "priority": job.priority}) if given.json else f"{job.id}  priority {job.priority}")
    return 0


_LIMITS = """List the limits. A job that names a limit runs only while it holds one of its places.
A limit has one place unless PORTAL_LIMITS tells another number:

  PORTAL_LIMITS={"table:sales": 1, "engine:migrate": 2}

"engine:NAME" limits every job of an engine. A change counts when the workers are started again."""


def limits(arguments: list[str], settings: Settings) -> int:
    """List the limits."""
    made = parser("limits", _LIMITS, "[--json]")
    add_json(made)
    given = made.parse_args(arguments)
    found = Spool(settings).limits()
    if given.json:
        print(as_json([asdict(item) for item in found]))
    elif found:
        print(table(["limit", "places", "held", "waiting", "held by"], [
            [item.name, item.places, len(item.held_by), item.waiting if item.all_counted else f"{item.waiting} or more", ", ".join(item.held_by)]
            for item in found
        ]))  # fmt: skip
    else:
        print("No limit is configured, and no job names one.")
    return 0
