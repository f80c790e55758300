"""The worker: claims jobs, starts a runner for each, and brings those whose runner has gone to where they belong.

Its body is one callable turn: settle → cancel → promote → claim and start. Nothing it knows about the running jobs is in its
memory alone, so a turn of any worker does what the dead one would have done.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from portal import clock, processes, vault
from portal.durable import make_folder, sweep
from portal.errors import PortalError, explain
from portal.jobs import Attempt, Job, Status
from portal.sealer import Sealer
from portal.settings import Settings
from portal.spool import Spool, claiming, disk, keys, limits, records, settling, workers
from portal.spool.claiming import Claim
from portal.spool.finishing import finish, freeze
from portal.spool.locks import holder
from portal.spool.outcome import Verdict
from portal.starting import Starter

log = logging.getLogger("portal.worker")

_TIDY_EVERY_MS = 60_000
_MIB = 1 << 20


@dataclass(frozen=True)
class Turn:
    """What one turn did: ids of jobs by what became of them."""

    settled: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    promoted: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    troubled: tuple[str, ...] = ()
    """Jobs that could not be worked on: the disk was full, a process could not be started. They are tried again later."""

    @property
    def idle(self) -> bool:
        """Nothing more can be done at once."""
        return bool(self.troubled) or not (self.settled or self.cancelled or self.promoted or self.started)


class Worker:
    """One worker of a queue. `engines` is the package that the engines are modules of."""

    def __init__(self, settings: Settings, *, slots: int | None = None, name: str | None = None, engines: str = "engines") -> None:
        """Enter the queue. Raises SettingError, QueueRefused."""
        self.settings, self.engines = settings, engines
        self.spool = Spool(settings)
        self.layout = self.spool.layout
        self.registration = workers.register(self.layout, slots or settings.slots, name)
        self._starter = Starter(settings, self.layout, engines)
        self._sealer = Sealer(settings)
        self._backlog = limits.Backlog()
        self._tidied_ms = 0
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
        self._troubled = []
        if not 0 <= now_ms - self._tidied_ms < _TIDY_EVERY_MS:  # the clock may have been set back
            with self._guard("the housekeeping"):
                self._tidy(now_ms)
        settled = tuple(self._settle())
        cancelled = tuple(self._cancel())
        promoted = tuple(claiming.promote(self.layout, now_ms, self._guard))
        started = tuple(self._start_jobs()) if claim else ()
        self.registration.tell(len(self.mine()))
        return Turn(settled, cancelled, promoted, started, tuple(self._troubled))

    def _tidy(self, now_ms: int) -> None:
        """What needs to be done only now and then."""
        self._tidied_ms = now_ms
        vault.ensure_keys(self.settings)
        sweep(self.layout.tmp)
        sweep(self.layout.archive_tmp)
        settling.sweep_locks(self.layout)
        keys.forget_old(self.layout, now_ms)
        workers.forget_dead(self.layout, now_ms)
        disk.restore_reserve(self.layout)
        self._sealer.tick(now_ms)

    def _settle(self) -> Iterator[str]:
        """Collect what has ended, whoever started it, and recover what was cut off."""
        self._starter.reap()
        for job_id in records.running_ids(self.layout):
            with self._guard(job_id):
                if job := settling.settle(self.layout, job_id):
                    _tell(job)
                    yield job_id

    def _cancel(self) -> Iterator[str]:
        for job_id in records.names(self.layout.cancel):
            with self._guard(job_id):
                if job := settling.cancel_waiting(self.layout, job_id):
                    _tell(job)
                    yield job_id

    def _start_jobs(self) -> Iterator[str]:
        claiming.tidy_names(self.layout, self._guard)
        free = self.registration.info.slots - len(self.mine())
        if free <= 0:
            return
        for claim in claiming.claims(self.layout, self._guard, self._backlog):
            with self._guard(claim.job.id):
                if self._start(claim):
                    free -= 1
                    yield claim.job.id
            if free <= 0:
                return

    def mine(self) -> list[str]:
        """Return the ids of the jobs in running/ that a worker of this name started."""
        return [job.id for job in self.spool.running() if job.open_attempt and job.open_attempt.worker == self.name]

    def _start(self, claim: Claim) -> bool:
        """Start a claimed job, or finish it at once when it cannot start; True when a runner has it now."""
        job = claim.job
        try:
            if problem := self._starter.problem(job):
                log.warning("%s is rejected: %s", job.id, problem)
                finish(self.layout, freeze(self.layout, job, Status.REJECTED, problem))
                claim.lock.remove()
                return False
            if self.layout.marker(job.id).exists():
                _tell(settling.settle_held(self.layout, job.id, claim.lock))
                return False
            self._run(claim)
            return True
        finally:
            claim.let_go()

    def _run(self, claim: Claim) -> None:
        """Record the attempt, then hand the job and its locks to a runner."""
        number = max((attempt.number for attempt in claim.job.attempts), default=0) + 1
        attempt = Attempt(number, self.name, self.registration.info.host, clock.iso(clock.now_ms()))
        job = claim.job.evolve(status=Status.RUNNING, attempts=(*claim.job.attempts, attempt), error=None)
        records.save(self.layout, job)
        make_folder(self.layout.folder(job.id))
        try:
            self._starter.start(job, claim)
        except PortalError as error:
            job = settling.close_attempt(self.layout, job, Verdict("failed", explain(error), error.retryable))
            _tell(job)
            return
        log.info("%s %s: attempt %d started", job.id, job.engine, number)

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

    def empty(self) -> bool:
        """Tell whether nothing is running, ready or waiting for its next attempt."""
        if records.running_ids(self.layout) or any(records.ready(self.layout)):
            return False
        due_ms = claiming.next_due_ms(self.layout)
        return due_ms is None or due_ms > clock.now_ms() + self.settings.retry_max_s * 1000

    def leave(self) -> None:
        """Leave the queue; running jobs stay with their runners."""
        self._starter.leave()
        self._sealer.leave()
        self.registration.leave()


def _tell(job: Job | None) -> None:
    if job is not None:
        log.info("%s %s: %s%s", job.id, job.engine, job.status.value, f" ({job.error.splitlines()[0]})" if job.error else "")
