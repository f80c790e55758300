"""What a kind of trigger is to the service: something to look at, again and again.

A module for each kind has a class that follows `Watch`; `portal.triggers.kinds` names them. The service makes a watch in the thread that
looks, so that even a folder that hangs delays nobody, and makes another one when the definition changes. At any moment at most one thread is in
a trigger's watch, and at most one service in the queue's triggers. The process may be killed between any two instructions.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, field

from portal import clock
from portal.errors import BadParameters, explain
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers import submitting
from portal.triggers.events import Event
from portal.triggers.history import Happened, Outcome
from portal.triggers.places import TriggerFolder
from portal.triggers.state import Problem
from portal.triggers.trigger import Trigger

log = logging.getLogger("portal.triggers")

_REMEMBERED = 20
"""Jobs that have not ended, of one trigger: more are open only where they may run side by side or wait for each other."""


@dataclass(frozen=True)
class Context:
    """What every watch works with."""

    settings: Settings
    spool: Spool
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the service is to end: long work looks at it now and then, and may wait on it instead of sleeping."""


class Looker(ABC):
    """Something the service looks at as long as it runs. Making one costs next to nothing and cannot fail."""

    @abstractmethod
    def look(self, now_ms: int) -> float:
        """Do everything there is to do; returns the seconds until the next look. What it raises is told in the log, and tried again later."""

    @property
    def descriptors(self) -> Collection[int]:
        """Descriptors of which one becomes readable when a look is worth while earlier; asked for after each look, which has to read from them."""
        return ()

    def close(self) -> None:
        """Give back what it holds; nothing is called afterwards."""
        return


class Watch(Looker):
    """One trigger as the service sees it."""

    even_paused = False
    """Whether it has something to tell while its trigger is paused, and is looked at then."""

    def __init__(self, trigger: Trigger, home: TriggerFolder, ctx: Context) -> None:
        self.trigger, self.home, self.ctx = trigger, home, ctx

    @abstractmethod
    def look(self, now_ms: int) -> float:
        """Do everything there is to do; returns the seconds until the next look.

        It ends what an earlier process began, first. It answers a request to run now: `home.asked()`, and `home.answered(…)` when that is done. A
        trigger that is paused makes no other job, and unless `even_paused` is looked at only while there is such a request. Whatever it raises is
        written down as the trigger's problem, and the next look comes after a back-off. Other triggers of its kind may wait for it, so it goes back
        to the service after a while even if there is more to do, returning 0.
        """

    def settle(self) -> None:
        """End what was begun (`home.batches`) and begin nothing: the trigger was removed. Raising tries it again later."""
        return

    def fire(self, event: Event, *, skip_while: Collection[str] = (), reason: str = "") -> Happened:
        """Make the job of an event, exactly one however often this is called, and write down what became of it.

        Args:
            skip_while: jobs that had not ended: the event is skipped and the first one named.
            reason: what is to be told of a job that was submitted, like who asked for it.

        Returns:
            What happened: submitted, skipped, or refused when the parameters do not fit; that is the trigger's problem, too.

        Raises:
            PortalError, OSError: nothing is decided, and the event has to be tried again: the queue takes no jobs now, a setting is wrong, …
        """
        job_id = submitting.job_id(self.trigger, event)
        if skip_while and job_id not in skip_while:
            return self._told(event, "skipped", reason=f"The job {min(skip_while)} had not ended.")
        try:
            job = submitting.job(self.ctx.settings, self.trigger, event)
        except BadParameters as error:
            return self.refuse(event, error)
        return self.submit(event, job, reason)

    def submit(self, event: Event, job: Job, reason: str = "") -> Happened:
        """The same for a job that `submitting.job` made. Its id is written down before, so that the next look knows of it whatever happens."""
        self.home.change(jobs=tuple(dict.fromkeys((*self.open_jobs(), job.id)))[-_REMEMBERED:])
        self.ctx.spool.submit(job)
        happened = self._told(event, "submitted", job=job.id, reason=reason)
        if (problem := self.home.state.problem) and problem.of == "event":
            self.home.change(problem=None)
        log.info("%s: job %s for %s", self.trigger.name, job.id, event.name)
        return happened

    def refuse(self, event: Event, error: BadParameters) -> Happened:
        """Write down that no job can be made of an event."""
        text = explain(error)
        self.problem(f"No job can be made of the event {event.name}: {text}", of_event=True)
        return self._told(event, "refused", reason=text)

    def open_jobs(self) -> list[str]:
        """Return the ids of this trigger's jobs that have not ended."""
        return submitting.not_ended(self.ctx.spool, self.home.state.jobs)

    def problem(self, text: str, *, of_event: bool = False) -> None:
        """Write down what is wrong. What is no event's is forgotten with the next look that ends well."""
        before = self.home.state.problem
        kind = "event" if of_event else "look"
        now = clock.iso(clock.now_ms())
        fresh = before.again(text) if before and before.of == kind else Problem(text=text, since=now, of="event" if of_event else "look")
        self.home.change(problem=fresh)
        if before is None or before.text != text:
            log.warning("%s: %s", self.trigger.name, text)

    def _told(self, event: Event, outcome: Outcome, *, job: str | None = None, reason: str = "") -> Happened:
        due_at, now = clock.iso(event.moment_ms), clock.iso(clock.now_ms())
        happened = Happened(event=event.name, due_at=due_at, at=now, outcome=outcome, job=job, reason=reason)
        self.home.tell(happened)
        return happened
