"""Keeps what the service looks at in step with what is in queue/triggers/: made, changed, paused, asked to run, removed."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from portal import clock
from portal.errors import PortalError, explain
from portal.spool import records
from portal.triggers import book, kinds
from portal.triggers.places import ASKED, DEFINITION, REMOVED, WANTED, TriggerFolder
from portal.triggers.rounds import Done, Item, Rounds
from portal.triggers.trigger import NAME_PATTERN, Trigger
from portal.triggers.watching import Context, Watch

log = logging.getLogger("portal.triggers")

Mark = tuple[int, int, int]
"""Inode, size and time of a file that is always replaced."""


class Serving:
    """Which triggers there are, as the service knows them."""

    def __init__(self, ctx: Context, rounds: Rounds) -> None:
        self.ctx, self.rounds = ctx, rounds
        self.layout = ctx.spool.layout
        self._definitions: dict[str, Mark] = {}
        self._asked: dict[str, Mark] = {}
        self._told: set[str] = set()
        """Names of what was removed and cannot be ended."""
        self._is_wanted = False

    def __len__(self) -> int:
        return len(self._definitions)

    def needed(self) -> bool:
        """Tell whether there is anything to serve."""
        return bool(self._definitions) or self._is_wanted

    def scan(self) -> None:
        """Take in every change since the last scan."""
        found = records.names(self.layout.triggers)
        self._is_wanted = WANTED in found or any(name.startswith(REMOVED) for name in found)
        there = {name for name in found if NAME_PATTERN.fullmatch(name)}
        for name in [name for name in self._definitions if name not in there]:
            self._forget(name)
        for name in found:
            if name in there:
                self._take(name)
            elif name.startswith(REMOVED):
                self._end_removed(name)

    def _forget(self, name: str) -> None:
        self._definitions.pop(name, None)
        self._asked.pop(name, None)
        self.rounds.drop(name)

    def _take(self, name: str) -> None:
        folder = self.layout.triggers / name
        mark = _mark(folder / DEFINITION)
        if mark is None:
            if name in self._definitions:
                self._forget(name)
            return
        if self._definitions.get(name) != mark:
            self._define(name, mark)
        asked = _mark(folder / ASKED)
        if asked is None:
            self._asked.pop(name, None)
        elif self._asked.get(name) != asked:
            self._asked[name] = asked
            self.rounds.hurry(name)

    def _define(self, name: str, mark: Mark) -> None:
        self._definitions[name] = mark
        self._asked.pop(name, None)
        try:
            trigger = book.load(self.layout, name)
        except PortalError as error:
            log.error("the trigger %s is not served: %s", name, explain(error))
            self.rounds.drop(name)
            return
        home = TriggerFolder(self.layout, name, trigger.uid)
        self.rounds.add(_Looking(trigger, home, self.ctx).item(), resting=_rests(trigger))

    def _end_removed(self, name: str) -> None:
        """End what a removed trigger began, then remove the rest of it."""
        if name in self.rounds:
            return
        folder = self.layout.triggers / name
        try:
            trigger = Trigger.from_json((folder / DEFINITION).read_bytes())
        except (PortalError, OSError) as error:
            if not book.has_begun(folder):
                shutil.rmtree(folder, ignore_errors=True)
            elif name not in self._told:
                self._told.add(name)
                log.error("%s: what a removed trigger began cannot be ended: %s", folder, explain(error))
            return
        home = TriggerFolder(self.layout, trigger.name, trigger.uid, place=folder)
        self.rounds.add(_Settling(trigger, home, self.ctx).item(name))


def _mark(path: Path) -> Mark | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _rests(trigger: Trigger) -> bool:
    """Whether a trigger is looked at only when somebody asks it to run."""
    return trigger.paused is not None and not kinds.WATCHES[trigger.kind].even_paused


class _Looking:
    """The looks at one trigger: its watch is made in the first, so that nothing slow happens elsewhere."""

    def __init__(self, trigger: Trigger, home: TriggerFolder, ctx: Context) -> None:
        self.trigger, self.home, self.ctx = trigger, home, ctx
        self._watch: Watch | None = None

    def item(self, name: str | None = None) -> Item:
        return Item(name or self.trigger.name, self.trigger.kind, self._look, self._descriptors, self._close, about=self.trigger.name)

    def watch(self) -> Watch:
        if self._watch is None:
            self._watch = kinds.WATCHES[self.trigger.kind](self.trigger, self.home, self.ctx)
        return self._watch

    def _look(self) -> float:
        watch = self.watch()
        try:
            seconds = self.act(watch)
        except Done:
            raise
        except Exception as error:
            self._tell(watch, error)
            raise
        return seconds

    def act(self, watch: Watch) -> float:
        now_ms = clock.now_ms()
        if _rests(self.trigger) and not self.home.asked():
            return 0.0
        before = self.home.state.problem
        if before and before.of == "event" and before.since < self.trigger.at:
            self.home.change(problem=None)  # it was changed since: perhaps for that reason
        seconds = watch.look(now_ms)
        if (problem := self.home.state.problem) and problem.of == "look" and problem == before:
            self.home.change(problem=None)
            log.info("%s: all is well again", self.trigger.name)
        self.home.looked(now_ms)
        return seconds

    def _tell(self, watch: Watch, error: Exception) -> None:
        if not self.home.path.is_dir():
            return  # it was removed meanwhile
        if not isinstance(error, PortalError | OSError):
            log.error("%s: a mistake of the portal's own", self.trigger.name, exc_info=error)
        try:
            watch.problem(explain(error))
        except OSError as second:  # on a full disk it is told in the log at least
            log.error("%s: %s (not written down: %s)", self.trigger.name, explain(error), explain(second))

    def _descriptors(self) -> list[int]:
        try:
            return [number for number in self._watch.descriptors if number >= 0] if self._watch else []
        except Exception as error:  # a hint that cannot be had stops nobody
            log.error("%s: %s", self.trigger.name, explain(error), exc_info=True)
            return []

    def _close(self) -> None:
        try:
            if self._watch:
                self._watch.close()
        except Exception as error:
            log.error("%s: %s", self.trigger.name, explain(error), exc_info=True)


class _Settling(_Looking):
    """The same for a trigger that was removed while something was under way."""

    def act(self, watch: Watch) -> float:
        if book.has_begun(self.home.path):
            watch.settle()
        if book.has_begun(self.home.path):
            raise PortalError(f"What {self.trigger.name} began could not be ended.")
        shutil.rmtree(self.home.path, ignore_errors=True)
        raise Done
