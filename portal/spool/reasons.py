"""Why a job waits: told from what a worker would look at before it claims the job, reading only what that takes.

One look lists queue/ once and reads the workers' entries, the running records and, while a slot is free, as many jobs at the head of the queue
as could take it before. A moment later the answer may be another one.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

from portal import clock
from portal.errors import BadJobFile
from portal.jobs import Job, Status
from portal.spool import limits, pausing
from portal.spool.layout import READY_LENGTH, Layout, Waiting, ready_name
from portal.spool.records import names, read
from portal.spool.workers import WorkerInfo, workers

NO_WORKER = "No worker is running on this queue: start one with `python worker.py`."

Kind = Literal["cancel-requested", "delay", "retry", "paused", "engine-paused", "no-worker", "draining", "limit", "slots", "next"]

_READ_AT_MOST = 200
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job waits: `kind` for programs, `text` for people (a sentence)."""

    kind: Kind
    text: str


def reasons(layout: Layout, jobs: Iterable[Job]) -> dict[str, Reason]:
    """Return why each of these jobs waits, by id; a job that does not wait is left out."""
    look = _Look(layout)
    return {job.id: look.reason(job) for job in jobs if job.status is Status.QUEUED}


def why(layout: Layout, job: Job) -> Reason | None:
    """Return why a job waits, None when it does not."""
    return reasons(layout, [job]).get(job.id)


def next_up(layout: Layout) -> list[Path]:
    """Return the files of the ready jobs that nothing holds back and that a slot is free for: a worker takes them at its next look."""
    look = _Look(layout)
    return [layout.queue / name for name, can in look.head if can] if look.free else []


class _Look:
    """What one look at the queue found, each part found when it is first asked for."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.settings = layout, layout.settings
        self._now_ms = clock.now_ms()

    @cached_property
    def _ready(self) -> list[str]:
        """Names of the ready jobs in the order of claims; parting each costs more than it tells here."""
        return sorted(name for name in os.listdir(self.layout.queue) if len(name) == READY_LENGTH and name.endswith(".json"))

    @cached_property
    def _cancelled(self) -> set[str]:
        return set(names(self.layout.cancel))

    @cached_property
    def _pauses(self) -> pausing.Pauses:
        return pausing.holds(self.layout)

    @cached_property
    def _workers(self) -> list[WorkerInfo]:
        return [worker for worker in workers(self.layout) if worker.alive]

    @cached_property
    def _holders(self) -> dict[str, list[str]]:
        return limits.holders(self.layout)

    def reason(self, job: Job) -> Reason:
        steps = (self._cancel, self._delay, self._pause, self._worker, self._limit, self._slot)
        return next((found for step in steps if (found := step(job))), Reason("next", "A worker takes it at its next look."))

    def _cancel(self, job: Job) -> Reason | None:
        if job.id not in self._cancelled:
            return None
        return Reason("cancel-requested", "It is to be cancelled; a worker does that at its next look." + ("" if self._workers else f" {NO_WORKER}"))

    def _delay(self, job: Job) -> Reason | None:
        if not job.not_before or clock.parse_ms(job.not_before) <= self._now_ms or self._place(job) is not None:
            return None
        when = f"{job.not_before[:19].replace('T', ' ')} UTC"
        if not job.attempts:
            return Reason("delay", f"It starts not before {when}.")
        cause = (job.error or job.attempts[-1].error or job.attempts[-1].outcome or "").partition("\n")[0]
        return Reason("retry", f"Attempt {len(job.attempts) + 1} starts not before {when}. The one before: {cause or 'failed'}")

    def _pause(self, job: Job) -> Reason | None:
        held = self._pauses.of(job.engine)
        if held is None:
            return None
        return Reason("engine-paused" if held.engine else "paused", f"Paused is {held.told}." + ("" if self._workers else f" {NO_WORKER}"))

    def _worker(self, _: Job) -> Reason | None:
        if any(worker.takes_jobs for worker in self._workers):
            return None
        if not self._workers:
            return Reason("no-worker", NO_WORKER)
        if stuck := [worker.name for worker in self._workers if worker.stopped or worker.hanging]:
            return Reason("no-worker", f"No worker works: {_listed(stuck)} lives and does nothing. See `python -m portal health`.")
        return Reason("draining", f"Every worker is being drained ({_listed([worker.name for worker in self._workers])}) and takes no more jobs.")

    def _limit(self, job: Job) -> Reason | None:
        for name in limits.of(self.settings, job):
            held, room = self._holders.get(name, []), limits.places(self.settings, name)
            if len(held) >= room:
                by = f", held by {_listed(held)}" if held else ""
                return Reason("limit", f"The limit {name!r} has {room} place{'' if room == 1 else 's'}{by}.")
        return None

    def _slot(self, job: Job) -> Reason | None:
        place = self._place(job)
        if place is None or (self.free and self._overtaken_by(job) < self.free):
            return None
        before = f"{place} {'job is' if place == 1 else 'jobs are'} before it" if place else "it is the first in the queue"
        slots = sum(worker.slots for worker in self._workers if worker.takes_jobs)
        if self.free:
            return Reason("slots", f"{before[:1].upper()}{before[1:]}, and {self.free} of {slots} slots {'is' if self.free == 1 else 'are'} free.")
        return Reason("slots", f"The only slot is busy; {before}." if slots == 1 else f"All {slots} slots are busy; {before}.")

    @cached_property
    def free(self) -> int:
        return sum(worker.free for worker in self._workers)

    def _place(self, job: Job) -> int | None:
        """How many ready jobs come before this one, told from names; None when it is not ready."""
        place = bisect_left(self._ready, ready_name(job))
        return place if place < len(self._ready) and self._ready[place] == ready_name(job) else None

    def _overtaken_by(self, job: Job) -> int:
        """How many of the jobs before this one can be claimed now; the count ends where it makes no difference any more."""
        return sum(can for name, can in self.head if name < ready_name(job))

    @cached_property
    def head(self) -> list[tuple[str, bool]]:
        """The names at the head of the queue, each with whether its job can be claimed; as many as could take the free slots."""
        found, left = [], self.free
        for name in islice(self._ready, _READ_AT_MOST):
            can = self._can_start(name)
            found.append((name, can))
            left -= can
            if left <= 0:
                break
        return found

    def _can_start(self, name: str) -> bool:
        try:
            job = read(self.layout.queue / name) if Waiting.ready(name) else None
        except BadJobFile:
            return False
        return job is not None and not any(step(job) for step in (self._cancel, self._pause, self._limit))


def _listed(ids: list[str]) -> str:
    more = len(ids) - _NAMED
    return ", ".join(ids[:_NAMED]) + (f" and {more} more" if more > 0 else "")
