"""The triggers of a queue, as people and pages use them: listed, made, changed, paused, asked to run, removed.

A definition is replaced atomically, so that the service reads an old or a new one. Who changes one holds the book's lock, so that of two
changes at once neither is lost without a word. Under the lock nothing is read but the queue's own folder: a watched one that hangs keeps nobody
from pausing.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ulid import ULID

from portal import clock
from portal.durable import make_folder, publish, sync_folder
from portal.errors import BadParameters, PortalError, TriggerNotFound
from portal.settings import Settings
from portal.spool import records
from portal.spool.layout import Layout
from portal.spool.locks import is_held
from portal.triggers import checking
from portal.triggers.defined import damaged, each, load, missing, names, triggers
from portal.triggers.places import ASKED, BATCHES, BELL, DEFINITION, REMOVED, SERVICE_LOCK
from portal.triggers.trigger import Pause, Trigger

__all__ = ["ask", "damaged", "each", "has_begun", "is_asked", "load", "names", "pause", "remove", "resume", "ring", "save", "triggers"]

_LOCK = ".book"
_LONGEST = 300
_TRIES = 100


def save(settings: Settings, trigger: Trigger, by: str, *, new: bool = False) -> Trigger:
    """Make a trigger or change the one of its name, durably; returns what was saved.

    Args:
        new: refuse a name that is taken.

    Raises:
        BadParameters: something in it is wrong: its schedule, its folder, a parameter of its job, a connection; or the name is taken.
        SettingError: `connections.toml` is wrong.
        TriggerNotFound: it was removed since it was loaded.
        PortalError: others change watched folders all the time.
    """
    layout = Layout(settings)
    layout.make()
    for _ in range(_TRIES):
        _as_saved(layout, trigger, by, new)
        others = _watchers(layout, trigger)
        checked = checking.checked(settings, trigger, others)
        with _changing(layout):
            fresh = _as_saved(layout, checked, by, new)
            if [item.on for item in _watchers(layout, trigger)] == [item.on for item in others]:
                _write(layout, fresh)
                return fresh
    raise PortalError("Watched folders are being added and changed all the time.", hint="Try again.")


def _as_saved(layout: Layout, trigger: Trigger, by: str, new: bool) -> Trigger:
    """Return a trigger as it would be saved now. Raises as `save`."""
    before = _known(layout, trigger.name)
    if new and before:
        raise BadParameters(f"There is a trigger {trigger.name!r} already.", hint="Choose another name, or edit that one.")
    if trigger.uid and (before is None or before.uid != trigger.uid):
        raise TriggerNotFound(f"The trigger {trigger.name!r} was removed meanwhile.", hint="Make it anew.")
    now = clock.iso(clock.now_ms())
    same = before is not None and (before.kind, dict(before.on)) == (trigger.kind, dict(trigger.on))
    since = before.since if same and before and not (before.paused and not trigger.paused) else now
    return trigger.model_copy(update={"uid": before.uid if before else str(ULID()), "by": _line(by), "at": now, "since": since})


def _watchers(layout: Layout, trigger: Trigger) -> list[Trigger]:
    """The other triggers whose folders a trigger's own must not overlap with."""
    if trigger.kind != "folder":
        return []
    return [item for _, item in each(layout) if isinstance(item, Trigger) and item.kind == "folder" and item.name != trigger.name]


def _known(layout: Layout, name: str) -> Trigger | None:
    """The trigger that has a name now; one that cannot be read gives it up to who defines it anew."""
    try:
        return load(layout, name)
    except (TriggerNotFound, BadParameters):
        return None


def remove(layout: Layout, name: str) -> Trigger | None:
    """Remove a trigger, durably; returns it, None when its definition could not be read. Its jobs stay, and a batch that is being moved is
    ended by the service. Raises TriggerNotFound."""
    with _changing(layout):
        if name not in names(layout):
            raise missing(name)
        try:
            found = load(layout, name)
        except BadParameters:
            found = None
        gone = layout.triggers / f"{REMOVED}{name}-{secrets.token_hex(4)}"
        (layout.triggers / name).rename(gone)
        sync_folder(layout.triggers)
    if not is_held(layout.triggers / SERVICE_LOCK) and not has_begun(gone):
        shutil.rmtree(gone, ignore_errors=True)  # otherwise the service does, when the look that may go on has ended
    ring(layout)
    return found


def has_begun(folder: Path) -> bool:
    """Tell whether a trigger's folder holds something that has to be ended."""
    return bool(records.names(folder / BATCHES))


def pause(layout: Layout, name: str, by: str, why: str = "") -> Trigger:
    """Let a trigger make no more jobs until `resume`; one that is paused stays as it was. Raises TriggerNotFound, BadParameters."""
    with _changing(layout):
        found = load(layout, name)
        if found.paused is None:
            found = found.model_copy(update={"paused": Pause(by=_line(by), at=clock.iso(clock.now_ms()), why=_line(why))})
            _write(layout, found)
    return found


def resume(layout: Layout, name: str, by: str) -> Trigger:
    """End a pause: times of a schedule that passed meanwhile are not made up for. Raises TriggerNotFound, BadParameters."""
    with _changing(layout):
        found = load(layout, name)
        if found.paused is not None:
            found = found.model_copy(update={"paused": None, "since": clock.iso(clock.now_ms()), "by": _line(by)})
            _write(layout, found)
    return found


def ask(layout: Layout, name: str, by: str) -> None:
    """Have a trigger run now, once, durably; asking again before that changes nothing. Raises TriggerNotFound, BadParameters."""
    load(layout, name)
    asked = {"by": _line(by), "at": clock.iso(clock.now_ms()), "key": str(ULID())}
    try:
        publish(layout.triggers / name / ASKED, (json.dumps(asked) + "\n").encode(), layout.tmp)
    except FileNotFoundError:
        raise missing(name) from None
    ring(layout)


def is_asked(layout: Layout, name: str) -> bool:
    """Tell whether somebody asked a trigger to run and it has not yet."""
    return (layout.triggers / name / ASKED).exists()


def _write(layout: Layout, trigger: Trigger) -> None:
    folder = layout.triggers / trigger.name
    make_folder(folder)
    publish(folder / DEFINITION, trigger.to_json().encode(), layout.tmp, replace=True)
    ring(layout)


def ring(layout: Layout) -> None:
    """Wake the service: it hears of a name that comes into queue/triggers/."""
    bell = layout.triggers / BELL
    with suppress(OSError):  # it looks every second anyway
        bell.unlink(missing_ok=True)
        bell.touch()
        bell.unlink(missing_ok=True)


@contextmanager
def _changing(layout: Layout) -> Iterator[None]:
    make_folder(layout.triggers)
    descriptor = os.open(layout.triggers / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _line(text: str) -> str:
    """One line of a text, with nothing in it that drives a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))[:_LONGEST]
