"""A trigger in words: what it waits for, what it makes of that, and what of its job it gives by itself. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from portal import catalog
from portal.catalog import EngineSpec
from portal.jobs import followup_from_dict
from portal.notifying import wish
from portal.notifying.wish import Wish
from portal.triggers.events import QUOTE
from portal.triggers.state import State
from portal.triggers.trigger import ON, Trigger

Standing = Literal["active", "paused", "problem"]

GIVEN: Mapping[str, tuple[str, ...]] = {"folder": ("source",), "sqs": ("queue", "queue_connection")}
"""Parameters of the job that the kind gives by itself, where the engine has them."""

USUAL: Mapping[tuple[str, str], Mapping[str, Any]] = {("folder", "upload"): {"after": "move", "overwrite": "apart"}}
"""By kind and engine: parameters that stand for something else than the engine's default while a trigger does not give them."""


def spec(kind: str) -> EngineSpec:
    """What a kind waits for as fields, for a form or flags."""
    return catalog.describe(kind, ON[kind].__doc__ or "", ON[kind])


def waits(trigger: Trigger) -> str:
    """`30 6 * * mon-fri, Europe/Berlin`, `file:///srv/box/Watch/, still for 5 s` or `portal-notices`."""
    on = trigger.waits_for()
    if trigger.kind == "cron":
        return f"{on.schedule}, {on.time_zone}"
    if trigger.kind == "folder":
        return f"{on.folder}, {f'still for {on.still_s:g} s' if on.ready == 'still' else 'with NAME.done beside it'}"
    return f"{on.queue}{f', through {on.connection}' if on.connection else ''}"


def does(trigger: Trigger) -> str:
    """`upload to s3://sales/`: the engine, and where to or from if that is known before."""
    for name, word in (("target", "to"), ("source", "from")):
        place = trigger.params.get(name)
        if isinstance(place, Mapping):
            place = place.get("format")
        if isinstance(place, str):
            return f"{trigger.engine} {word} {place}"
    return trigger.engine


def then(trigger: Trigger) -> tuple[list[Wish], list[dict[str, Any]]]:
    """Who is told of its jobs, and the other follow-ups as they are written. Raises BadJobFile."""
    items = [(dict(item), followup_from_dict(dict(item))) for item in trigger.then]
    wishes, rest = wish.parted([followup for _, followup in items])
    return wishes, [written for written, followup in items if followup in rest]


def quote(value: Mapping[str, Any]) -> str:
    """A quote of the event in words: `due_at -1 days as s3://sales/%Y/`."""
    shift = "".join(f" {value[unit]:+g} {unit}" for unit in ("days", "hours") if value.get(unit))
    return f"{str(value[QUOTE]).removeprefix('/')}{shift}" + (f" as {value['format']}" if value.get("format") else "")


def standing(trigger: Trigger, now: State) -> Standing:
    """How a trigger is: paused wins, because nothing is wrong with what is not meant to run."""
    return "paused" if trigger.paused else "problem" if now.problem else "active"
