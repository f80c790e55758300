"""The worker: claims jobs, starts a runner for each, and brings those whose runner has gone to where they belong.

Its body is one callable turn: settle → cancel → promote → claim and start. Nothing it knows about the running jobs is in its
memory alone, so a turn of any worker does what the dead one would have done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from portal import clock, processes, vault
from portal.durable import sweep, sync_folder
from portal.errors import PortalError, explain
from portal.jobs import Attempt, Job, Status
from portal.sealer import Retainer, Sealer
from portal.settings import Settings
from portal.spool import Spool, claiming, disk, keys, pausing, records, settling, workers
from portal.spool.claiming import Claim
from portal.spool.finishing import ended, finish
from portal.spool.listing import known_names
from portal.spool.locks import holder, is_told
from portal.spool.outcome import Verdict
from portal.spool.ready_index import ReadyIndex
from portal.spool.running import Running
from portal.starting import Starter
from portal.triggers.starting import TriggerService, want_for

log = logging.getLogger("portal.worker")

_TIDY_EVERY_MS = 60_000
_FORGET_KEYS_EVERY_MS = 3_600_000
"""A look at the age of each key takes long where there are a million, and a key lives for days."""
_OVERDUE_S = 0.1
"""Until the next try of a delayed job that is due and that somebody holds."""
_SOON_S = 0.25
"""Until the next look at a job whose runner has not said yet who it is."""


@dataclass(frozen=True)
class Turn:
    """What one turn did: ids of jobs by what became of them."""

    settled: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    promoted: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    troubled: tuple[str, ...] = ()
    """Jobs that could not be worked on: the disk was full, a process could not be started. They are tried again later."""

    unfinished: bool = False
    """There is more of the queue to look at."""

    @property
    def idle(self) -> bool:
        """Nothing more can be done at once."""
        return bool(self.troubled) or not (self.settled or self.cancelled or self.promoted or self.started or self.unfinished)


class Worker:
    """One worker of a queue. `engines` is the package that the engines are modules of."""

    def __init__(self, settings: Settings, *, slots: int | None = None, name: str | None = None, engines: str = "engines") -> None:
        """Enter the queue. Raises SettingError, QueueRefused."""
        self.settings, self.engines = settings, engines
        self.spool = Spool(settings)
        self.layout = self.spool.layout
        self.registration = workers.register(self.layout, slots or settings.slots, name)
        self._starter = Starter(settings, self.layout, engines, self.registration.info.slots)
        self._sealer, self._retainer = Sealer(settings), Retainer(settings)
        self._triggers = TriggerService(settings, self.layout)
        self._ready, self._running = ReadyIndex(self.layout), Running(self.layout)
        self._watched: set[str] = set()
        """Jobs whose end the starter tells."""
        self._unwatched = False
        """A job runs whose runner has not said yet who it is."""
        self._tidied_ms = self._forgot_keys_ms = 0
        self._troubled: list[str] = []

    @property
    def name(self) -> str:
        return self.registration.info.name

    def turn(self, *, claim: bool = True) -> Turn:
        """Do everything there is to do now, without waiting for anything.

        Args:
            claim: False starts nothing new.
        """
        now_ms = clock.now_ms()
        self._troubled, self._ready.unfinished = [], False
        with self._guard("the heartbeat"):
            self.registration.beat()
        if not 0 <= now_ms - self._tidied_ms < _TIDY_EVERY_MS:  # the clock may have been set back
            with self._guard("the housekeeping"):
                self._tidy(now_ms)
        with self._guard("the triggers"):
            self._triggers.tick()
        settled = self._part("queue/running", self._settle)
        cancelled = self._part("queue/cancel", self._cancel)
        promoted = self._part("queue/delayed", lambda: claiming.promote(self.layout, now_ms, self._guard))
        started = self._part("queue", self._start_jobs) if claim else ()
        with self._guard("the worker's own entry"):
            self._watch()
            self.registration.tell(len(self.mine()))
        return Turn(settled, cancelled, promoted, started, tuple(self._troubled), self._ready.unfinished)

    def _part(self, what: str, work: Callable[[], Iterable[str]]) -> tuple[str, ...]:
        """Return the ids of the jobs that a part of the turn got done. What stops it, as a folder that cannot be read now, stops neither
        the other parts nor the worker."""
        done: list[str] = []
        with self._guard(what):
            for job_id in work():
                done.append(job_id)  # what was done before an error counts
        return tuple(done)

    def _may_claim(self) -> bool:
        """Tell whether this worker takes jobs at all now: it is not being drained, and the queue is not paused as a whole."""
        return not self.registration.draining and pausing.holds(self.layout).queue is None

    def drained(self) -> bool:
        """Tell whether this worker was asked to run out of jobs, and has."""
        return self.registration.draining and not self.mine()

    def _watch(self) -> None:
        """Be told of the end of those jobs, too, that others started: whose worker has died is settled as soon as its runner ends."""
        running = self._running.ids()
        for job_id in running:
            lock = self.layout.lock(job_id)
            if job_id not in self._watched and is_told(lock):
                self._starter.watch(holder(lock))
                self._watched.add(job_id)
        self._watched.intersection_update(running)
        self._unwatched = len(self._watched) < len(running)

    def hear(self, names: Collection[str] | None) -> None:
        """Take in the names of files that came into queue/; None when events were lost or none will come."""
        self._ready.hear(names)

    def rest_s(self) -> float:
        """Seconds until the next look at the queue: until a delayed job is due, or until a runner has said who it is, if that is sooner."""
        try:
            due_ms = claiming.next_due_ms(self.layout)
        except OSError:  # the next turn says what is wrong
            due_ms = None
        longest_s = min(self.settings.poll_s, _SOON_S) if self._unwatched else self.settings.poll_s
        return longest_s if due_ms is None else min(longest_s, max(_OVERDUE_S, (due_ms - clock.now_ms()) / 1000))

    def _tidy(self, now_ms: int) -> None:
        """What needs to be done only now and then."""
        self._tidied_ms = now_ms
        for folder in (self.layout.queue, self.layout.running, self.layout.delayed, self.layout.cancel):
            sync_folder(folder)  # removals and returns to the queue that nothing else forced to the disk since
        vault.ensure_keys(self.settings)
        sweep(self.layout.tmp)
        sweep(self.layout.archive_tmp)
        settling.sweep_locks(self.layout)
        if not 0 <= now_ms - self._forgot_keys_ms < _FORGET_KEYS_EVERY_MS:
            self._forgot_keys_ms = now_ms
            keys.forget_old(self.layout, now_ms)
        workers.forget_dead(self.layout, now_ms)
        disk.restore_reserve(self.layout)
        self._sealer.tick(now_ms)
        self._retainer.tick(now_ms)

    def _settle(self) -> Iterator[str]:
        """Collect what has ended, whoever started it, and recover what was cut off."""
        self._starter.tick()
        for job_id in records.running_ids(self.layout):
            self.registration.beat()
            with self._guard(job_id):
                if job := settling.settle(self.layout, job_id):
                    _tell(job)
                    yield job_id

    def _cancel(self) -> Iterator[str]:
        for job_id in known_names(self.layout.cancel):
            with self._guard(job_id):
                if job := settling.cancel_waiting(self.layout, job_id):
                    _tell(job)
                    yield job_id

    def _start_jobs(self) -> Iterator[str]:
        free = self.registration.info.slots - len(self.mine())
        if free <= 0 or not self._may_claim():
            return
        for name in self._ready.take_odd():
            claiming.tidy_name(self.layout, name, self._guard)
        paused = pausing.holds(self.layout).engines
        for claim in claiming.claims(self.layout, self._guard, self._ready, opening=self._opened, paused=paused):
            self.registration.beat()
            with self._guard(claim.job.id):
                if self._start(claim):
                    free -= 1
                    yield claim.job.id
            if free <= 0 or not self._may_claim():
                return

    def mine(self) -> list[str]:
        """Return the ids of the jobs in running/ that a worker of this name started."""
        return self._running.of(self.name)

    def _opened(self, job: Job) -> Job | None:
        """The job with its next attempt, as it is recorded before anything starts; None when it cannot start or shall not."""
        if self._starter.problem(job) or os.path.exists(self.layout.marker(job.id)):
            return None
        if job.finished_at or job.open_attempt:
            return None  # somebody moved its record into the queue: it is finished or settled, and not run beside that
        number = max((attempt.number for attempt in job.attempts), default=0) + 1
        while os.path.exists(self.layout.exit_file(job.id, number)) or os.path.exists(self.layout.result_file(job.id, number)):
            number += 1  # the job file is older than what is in logs/: from a backup, or put back by hand
        attempt = Attempt(number, self.name, self.registration.info.host, clock.iso(clock.now_ms()))
        return job.evolve(status=Status.RUNNING, attempts=(*job.attempts, attempt), error=None)

    def _start(self, claim: Claim) -> bool:
        """Start a claimed job, or finish it at once when it cannot start; True when a runner has it now."""
        job = claim.job
        try:
            if claim.opened:
                self._run(claim)
                return True
            if problem := self._starter.problem(job):
                log.warning("%s is rejected: %s", job.id, problem)
                finish(self.layout, ended(job, Status.REJECTED, problem))
                claim.lock.remove()
            else:
                _tell(settling.settle_held(self.layout, job.id, claim.lock))
            return False
        finally:
            claim.let_go()

    def _run(self, claim: Claim) -> None:
        """Hand a job, whose attempt is recorded, and its locks to a runner."""
        job = claim.job
        with self._guard("the triggers"):
            want_for(self.layout, job)
        try:
            records.make_room_for_output(self.layout, job.id)
            self._starter.start(job, claim)
        except PortalError as error:
            _tell(settling.end_unstarted(self.layout, job, Verdict("failed", explain(error), error.retryable)))
            claim.lock.remove()
            return
        except OSError as error:  # no process was made, so nobody else has the lock
            settling.put_off(self.layout, job, f"Its process could not be started: {explain(error)}")
            claim.lock.remove()
            raise
        self._watched.add(job.id)
        log.info("%s %s: attempt %d started", job.id, job.engine, job.attempts[-1].number)

    @contextlib.contextmanager
    def _guard(self, job_id: str) -> Iterator[None]:
        """One job that cannot be worked on does not stop the others; it is tried again later."""
        try:
            yield
        except Exception as error:
            self._troubled.append(job_id)
            log.error("%s cannot be worked on now: %s", job_id, explain(error), exc_info=not isinstance(error, PortalError | OSError))

    def end_running(self) -> list[str]:
        """Tell the runners of this worker's jobs to end them; the jobs are interrupted and run again later. Returns their ids."""
        told = []
        for job_id in self.mine():
            runner = holder(self.layout.lock(job_id))
            if processes.is_alive(runner):
                processes.send({runner["pid"]}, signal.SIGTERM)
                told.append(job_id)
        return told

    def endings(self) -> list[int]:
        """Return descriptors of which one becomes readable when a job has ended that this worker knows to run."""
        return self._starter.endings()

    def empty(self) -> bool:
        """Tell whether nothing is running, ready or waiting for its next attempt."""
        if records.running_ids(self.layout) or any(records.ready(self.layout)):
            return False
        due_ms = claiming.next_due_ms(self.layout)
        return due_ms is None or due_ms > clock.now_ms() + self.settings.retry_max_s * 1000

    def leave(self) -> None:
        """Leave the queue; running jobs stay with their runners."""
        self._starter.leave()
        self._triggers.leave()
        self._sealer.leave()
        self._retainer.leave()
        self.registration.leave()


def _tell(job: Job | None) -> None:
    if job is not None:
        log.info("%s %s: %s%s", job.id, job.engine, job.status.value, f" ({job.error.splitlines()[0]})" if job.error else "")
