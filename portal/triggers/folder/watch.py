"""A watched folder as the service sees it: each look ends what was begun, then takes what is complete, a job's worth at a time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ulid import ULID

from portal import clock
from portal.errors import AccessDenied, NotFound, explain
from portal.spool import disk
from portal.triggers import history, submitting
from portal.triggers.checking import local_path, queued_url
from portal.triggers.events import Event
from portal.triggers.failing import Failing, failing
from portal.triggers.folder import beneath, recovery
from portal.triggers.folder.batch import Batch, each_open, facts
from portal.triggers.folder.behind import Behind
from portal.triggers.folder.ends import Ends, ends, opened
from portal.triggers.folder.hints import Hints
from portal.triggers.folder.later import Later
from portal.triggers.folder.left import CHANGED, Left, Stayed
from portal.triggers.folder.moving import remove_empty
from portal.triggers.folder.pace import Pace
from portal.triggers.folder.scan import Scan, Seen, Sight
from portal.triggers.folder.still import Stillness
from portal.triggers.folder.taking import Stays, unwritten
from portal.triggers.folder.wanted import Wanted
from portal.triggers.places import Asked, TriggerFolder
from portal.triggers.state import Problem
from portal.triggers.trigger import Folder, Trigger
from portal.triggers.watching import Context, Watch

log = logging.getLogger("portal.triggers")

_BUSY_S = 2.0
"""So long a look goes on making jobs before others get their turn."""
_WITH_HINTS_S = 5.0
_BLOCKED_S = 1.0
_PAUSED_S = 5.0
_FAILING_S = 10.0
"""Half of the pause after a job that failed; it doubles with each that follows."""
_TOLD_EVERY_S, _ENDS_EVERY_S = 5.0, 30.0


class FolderWatch(Watch):
    """One watched folder. `ticks` tells seconds, and never goes back."""

    even_paused = True

    def __init__(self, trigger: Trigger, home: TriggerFolder, ctx: Context, ticks: Callable[[], float] = time.monotonic) -> None:
        super().__init__(trigger, home, ctx)
        on: Folder = trigger.waits_for()
        self._on, self._ticks = on, ticks
        self._still = Stillness(on.still_s, ticks)
        self._later, self._pace, self._hints = Later(ticks), Pace(ticks), Hints()
        self._asked: tuple[Asked, float] | None = None
        self._tidied: set[str] = set()
        self._places: tuple[Ends, float] | None = None
        self._behind = Behind(ctx.spool, trigger)
        self._told_at = self._behind_due = -math.inf

    @property
    def descriptors(self) -> Collection[int]:
        return self._hints.descriptors

    def close(self) -> None:
        self._hints.close()

    def settle(self) -> None:
        """Give the files back that are on their way to a job that is not in the queue."""
        if error := each_open(self.home.batches, lambda batch: recovery.undo(self.home, self.ctx.spool, batch)):
            raise error

    def look(self, now_ms: int) -> float:
        self._hints.read()
        if early_s := self._pace.early_s():
            return early_s
        why_not = Left()
        error = each_open(self.home.batches, lambda batch: self._go_on(batch, why_not))
        asked = self._request()
        next_s = self._look_paused(why_not) if self.trigger.paused and asked is None else self._look(now_ms, asked, why_not)
        if error:
            raise error
        return next_s

    def _look_paused(self, why_not: Left) -> float:
        """Jobs that there are go on when a trigger is paused: what they leave behind is told."""
        why_not.take_in(self._left_behind(local_path(self.ctx.settings, "queued", queued_url(self._on))))
        self._tell({"left": why_not.facts()}, why_not.problem())
        return max(_PAUSED_S, self._behind_due - self._ticks())

    def _look(self, now_ms: int, asked: float | None, why_not: Left) -> float:
        """Look at the folder. `asked` is when somebody's wish to run now was seen first, on the monotonic clock."""
        places = self._ends()
        with opened(places.watched) as root:
            with self._pace:
                sight = self._scan(places).look(root)
                ready, next_s = (sight.files, math.inf) if self._on.ready == "marker" else self._still.look(sight.files)
            self._later.forget_but(sight.files)
            hinted = self._hints.listen(places.watched, sight.folders)
            going_on = self._tidy(places)
            blocked = going_on and self.trigger.overlap != "allow"
            found = self._failing(ready)
            held = bool(found.events) and asked is None and (going_on or now_ms < found.again_ms)
            taken, more = (0, False) if blocked or held else self._take(places, root, ready, sight.left, one=bool(found.events))
        if asked is not None and (taken or not (blocked or self._ticks() - asked < self._on.still_s)):
            self._answer()
        sight.left.take_in(why_not)
        sight.left.take_in(self._left_behind(places.queued))
        self._tell_of(sight, len(sight.files) - len(ready), len(ready) - taken, found)
        if more:
            return 0.0
        if (blocked or taken) and len(ready) > taken:
            return min(_BLOCKED_S, self.ctx.settings.poll_s, next_s)
        idle_s = _WITH_HINTS_S if hinted and len(ready) == taken else self.ctx.settings.poll_s
        return min(next_s, idle_s)

    def _scan(self, places: Ends) -> Scan:
        return Scan(
            self._wanted, recursive=self._on.recursive, markers=self._on.ready == "marker", spare_bytes=places.spare_bytes(), skipped=places.skipped()
        )

    @cached_property
    def _wanted(self) -> Wanted:
        return Wanted(self._on.include, self._on.exclude)

    def _failing(self, ready: Sequence[Seen]) -> Failing:
        """How the latest jobs ended, if there are files for another one."""
        return failing(self.ctx.spool, self.trigger, history.events(self.home.layout, self.home.path.name), _FAILING_S) if ready else Failing()

    def _take(self, places: Ends, root: int, ready: Sequence[Seen], why_not: Left, *, one: bool) -> tuple[int, bool]:
        """Make jobs of files that are ready, at most one if so told; returns how many files went, and whether to go on at once."""
        waiting = sorted(self._later.due(ready, why_not), key=lambda file: (file.identity.mtime_ns, file.name), reverse=True)
        until, taken = self._ticks() + _BUSY_S, 0
        while chosen := self._chosen(root, waiting, why_not):
            batch = Batch(str(ULID()), clock.now_ms(), self.trigger.uid, str(places.watched), str(places.queued), tuple(chosen))
            submitting.job(self.ctx.settings, self.trigger, self._event(batch, chosen))  # what is wrong with it is told before a file is moved
            disk.refuse_when_full(self.ctx.spool.layout)
            recovery.begin(self.home, batch)
            went = self._finish(batch, why_not)
            taken += went
            if went and (one or self.trigger.overlap != "allow"):
                return taken, False
            if self._ticks() > until or self.ctx.stop.is_set():
                return taken, bool(waiting)
        return taken, False

    def _chosen(self, root: int, waiting: list[Seen], why_not: Left) -> list[Seen]:
        """Return the files of the next job, and take them from the end of those that wait."""
        chosen: list[Seen] = []
        while waiting and len(chosen) < self._on.max_files:
            file = waiting.pop()
            folder, _, name = file.name.rpartition("/")
            try:
                with beneath.folder(root, folder) as here, unwritten(here, name, file.identity):
                    chosen.append(file)
            except Stays as reason:
                why_not.add(str(reason), file.name)
            except OSError:
                continue  # its folder is gone, or is none any more
        return chosen

    def _go_on(self, batch: Batch, why_not: Left) -> None:
        """Bring a batch that was begun to its end. A folder of it that cannot be used is no trouble of the folder that is watched now."""
        try:
            self._finish(batch, why_not)
        except (NotFound, AccessDenied) as error:
            why_not.add(explain(error), batch.job_id)

    def _finish(self, batch: Batch, why_not: Left) -> int:
        """Bring a batch to its end; returns how many files went to its job."""
        went: set[str] = set()

        def submit(files: Sequence[Seen]) -> None:
            went.update(file.name for file in files)
            event = self._event(batch, files)
            self.submit(event, submitting.job(self.ctx.settings, self.trigger, event), _size(event))

        if batch.uid != self.trigger.uid:
            recovery.undo(self.home, self.ctx.spool, batch)
        elif recovery.is_submitted(self.ctx.spool, batch):
            event = self._event(batch, batch.files)
            self._told(event, "submitted", job=batch.job_id, reason=_size(event))
            recovery.end(self.home, batch)
        else:
            stayed = Stayed()
            recovery.finish(self.home, batch, submit, stayed)
            why_not.take_in(stayed)
            for file in batch.files:
                if file.name not in went:
                    self._later.stayed(file, stayed.why.get(file.name, CHANGED))
        return len(went)

    @staticmethod
    def _event(batch: Batch, files: Sequence[Seen]) -> Event:
        return Event(batch.job_id, batch.at_ms, facts(batch, files), batch.job_id)

    def _tidy(self, places: Ends) -> bool:
        """Remove the folders of ended jobs that hold nothing any more; returns whether there are jobs that have not ended."""
        going_on = set(self.open_jobs())
        ended = set(self.home.state.jobs) - going_on
        for job_id in ended - self._tidied:
            remove_empty(places.queued, job_id)
        self._tidied = ended
        return bool(going_on)

    def _ends(self) -> Ends:
        """Where files come from and go, looked at anew now and then: the settings may have changed, or a disk come or gone."""
        now = self._ticks()
        if self._places is None or now - self._places[1] > _ENDS_EVERY_S or not self._places[0].queued.is_dir():
            self._places = ends(self.ctx.settings, self.trigger), now
        return self._places[0]

    def _left_behind(self, queued: Path) -> Left:
        """What ended jobs left behind, looked for now and then."""
        if self._ticks() >= self._behind_due:
            self._behind_due = self._ticks() + self._behind.look(queued)
        found = Left()
        self._behind.tell(found)
        return found

    def _request(self) -> float | None:
        """Return since when somebody's wish to run now is known; None when there is none."""
        asked = self.home.asked()
        if asked is None:
            self._asked = None
        elif self._asked is None or self._asked[0] != asked:
            self._asked = asked, self._ticks()
        return self._asked[1] if self._asked else None

    def _answer(self) -> None:
        if self._asked:
            self.home.answered(self._asked[0])
            self._asked = None

    def _tell_of(self, sight: Sight, changing: int, waiting: int, found: Failing) -> None:
        told: dict[str, Any] = {"files": len(sight.files), "changing": changing, "waiting": waiting, "left": sight.left.facts()}
        if found.events:
            told |= {"failed_jobs": found.events, "next_at": clock.iso(found.again_ms)}
        self._tell(told, " ".join(filter(None, (_held(found), sight.left.problem()))))

    def _tell(self, told: Mapping[str, Any], lasting: str) -> None:
        """Write down what lies there and what is wrong with it, not oftener than people care."""
        known = self.home.state.problem
        told_now = known.text if known and known.of == "left" else ""
        if self._ticks() - self._told_at < _TOLD_EVERY_S and bool(lasting) == bool(told_now):
            return
        self._told_at = self._ticks()
        self.home.change(told=told)
        if lasting and lasting != told_now:
            self.home.change(problem=Problem(text=lasting, since=known.since if known and told_now else clock.iso(clock.now_ms()), of="left"))
            log.warning("%s: %s", self.trigger.name, lasting)
        elif not lasting and told_now:
            self.home.change(problem=None)


def _held(found: Failing) -> str:
    """Say why files wait though nothing is wrong with them; '' when they do not."""
    if not found.events:
        return ""
    many = "The latest job failed" if found.events == 1 else f"The latest {found.events} jobs failed one after the other"
    at = f"{clock.iso(found.again_ms)[:19].replace('T', ' ')} UTC"
    return f"{many}: files wait in the folder, and one more job is tried at {at}, or as soon as somebody runs the trigger or edits it."


def _size(event: Event) -> str:
    return f"{_many(event.facts['files'], 'file')}, {_many(event.facts['bytes'], 'byte')}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
