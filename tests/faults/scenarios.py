"""What is killed: each scenario prepares a home, then does one thing in it; its crash points are found by tracing that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from unittest import mock

from portal import check, clock, durable
from portal.jobs import Attempt, Followup, Job, Status, When
from portal.spool import claiming, keys, settling
from portal.spool.locks import Lock
from portal.worker import Worker
from tests.faults.calls import Stops
from tests.faults.homes import Broken, Home, invariants
from tests.faults.recovery import Stillborn, play, played, quick_time, recover
from tests.queues import ENGINES, a_job, soon

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Scenario:
    """`prepare` fills the home once; `action` is what is killed, each time from there; `expect` looks at the archived jobs by id.

    Attributes:
        least: so many state-changing calls there must be, or nothing was traced.
        allowed: kinds of findings of `portal check` that the scenario itself makes.
        before: what happens between the crash and the recovery.
        live: runners and engines are real processes, in the scenario and in the recovery.
        every: only each so many-th of the different states is recovered from, unless all are asked for.
        long: it has so many calls that only one error is injected at each, and none at those that only open, unless all are asked for.
        guarded: no error comes out of it, whatever fails.
        again: recovery is killed, too: at each so many-th state, in each so many-th of its own.
    """

    prepare: Callable[[Home], None]
    action: Callable[[Home], object]
    least: int
    expect: Callable[[Home, dict[str, Job]], None] = lambda _, __: None
    allowed: frozenset[str] = frozenset()
    before: Callable[[Home], None] | None = None
    live: bool = False
    every: int = 1
    again: tuple[int, int] | None = None
    guarded: bool = False
    long: bool = False

    @property
    def stops(self) -> Stops:
        return "all" if self.live else "changing"


THEN = (
    Followup("act", {"from": {"$result": "/outputs/0/url"}}), Followup("act", {"x": {"$result": "/nowhere"}}), Followup("act", when=When.FAILED),
    Followup("act", when=When.ALWAYS, sealed="SEALED", then=(Followup("act", when=When.ALWAYS),)),
)  # fmt: skip


def expects(*statuses: str, attempts: int | None = None) -> Callable[[Home, dict[str, Job]], None]:
    """The scenario's jobs, in their order, end like this, after so many attempts each."""

    def look(home: Home, found: dict[str, Job]) -> None:
        ended = [found[job.id].status.value for job in home.jobs]
        if ended != list(statuses):
            raise Broken(f"the jobs ended {ended}, not {list(statuses)}")
        numbers = [len(found[job.id].attempts) for job in home.jobs]
        if attempts is not None and set(numbers) != {attempts}:
            raise Broken(f"the jobs had {numbers} attempts, not {attempts}")

    return look


# Submitting


def ready(*jobs: Job, **changes: object) -> Callable[[Home], None]:
    """A home with jobs that wait."""

    def prepare(home: Home) -> None:
        home.jobs = [home.submit(job) for job in jobs or (a_job(**changes),)]

    return prepare


def ours(*jobs: Job) -> Callable[[Home], None]:
    """A home whose queue is made, and jobs that nobody has submitted yet."""

    def prepare(home: Home) -> None:
        home.jobs = list(jobs)
        home.spool.counts()

    return prepare


def submit_all(home: Home) -> None:
    for job in home.jobs:
        home.submit(job)


def submit_twins(home: Home) -> None:
    """Another job with the key of the first, which must come back instead."""
    first = home.submit(home.jobs[0].evolve(id=a_job().id))
    if first.id != home.jobs[0].id:
        raise Broken("a key was given to two jobs")


def cut_off_key(home: Home) -> None:
    """A key file whose job was never placed: its submit was cut off in between."""
    (job,) = home.jobs = [a_job(key="k")]
    path = keys.path_of(home.layout, "k")
    home.spool.counts()
    path.write_text(job.to_json())


def submitted_again(home: Home, found: dict[str, Job]) -> None:
    """Whoever did not get an answer submits again with the same key: the job runs once, whatever was there of it."""
    for job in home.jobs:
        again = home.submit(job.evolve(id=a_job().id))
        if job.key and job.id in found and again.id != job.id:
            raise Broken("a key was given to two jobs")
    recover(home)
    with quick_time() as ahead:
        ahead[0] = _DAY_MS // 2
        ended = invariants(home, home.acknowledged())
    for key in {job.key for job in ended if job.key}:
        if sum(job.key == key for job in ended) != 1:
            raise Broken(f"the key {key} was given to two jobs")


# Claiming and starting


def claim_all(home: Home) -> None:
    for claim in claiming.claims(home.layout):
        claim.let_go()


def one_turn(home: Home) -> None:
    with played(home, Stillborn):
        worker = Worker(home.config, engines=ENGINES)
        worker.turn()
        worker.leave()


def a_busy_worker(home: Home) -> None:
    """A worker that has entered the queue before anything fails, with a job for every part of its turn."""
    ended("failed")(home)
    failed = home.jobs
    ready(a_job(), a_job(limits=("a",)), a_job(not_before=soon(0.01)))(home)
    cancelled = home.submit(a_job(not_before=soon(600)))
    home.spool.cancel(cancelled.id, "me")
    home.jobs = [*failed, *home.jobs]
    with played(home):
        home.worker = Worker(home.config, engines=ENGINES)


def its_turn(home: Home) -> None:
    assert home.worker
    with mock.patch.object(home.worker.registration, "beat"):  # it comes by the clock, and the calls must be the same each time
        home.worker.turn()


def to_the_end(home: Home) -> None:
    recover(home)


# Ending


def ended(
    outcome: str = "succeeded", *, code: int | None = None, cancel: bool = False, silent: bool = False, **changes: object,
) -> Callable[[Home], None]:  # fmt: skip
    """A home with a running job whose runner has ended and left its files."""

    def prepare(home: Home) -> None:
        job = home.submit(a_job(**{"params": {}, **changes}))
        for claim in claiming.claims(home.layout):
            claim.let_go()
        if cancel:
            home.spool.cancel(job.id, "me")
        home.jobs = [run(home, job, outcome, silent=silent, code=code)]

    return prepare


def run(home: Home, job: Job, outcome: str, *, silent: bool = False, code: int | None = None) -> Job:
    """Open an attempt in the running record, and leave what it leaves."""
    attempt = Attempt(1, "w", "h", clock.iso(clock.now_ms()))
    job = job.evolve(status=Status.RUNNING, attempts=(attempt,))
    home.layout.record(job.id).write_text(job.to_json())
    (home.outside / "runs").mkdir(exist_ok=True)
    (home.outside / "runs" / job.id).write_text("1\n")
    if not silent:
        play(home.layout.folder(job.id), job.evolve(params={**job.params, "outcome": outcome}))
    if code is not None:
        path = home.layout.exit_file(job.id, 1)
        durable.make_folder(path.parent)
        path.write_text(json.dumps({"job": job.id, "attempt": 1, "exit_code": code, "ended_by": None}))
    home.layout.log(job.id).write_text("said something\n")
    return job


def settle_all(home: Home) -> None:
    for job in home.jobs:
        settling.settle(home.layout, job.id)


def children_first(home: Home) -> None:
    """Whoever finishes the parent is slow, and dies only when its follow-ups have run: they must not run again."""
    (parent,) = home.jobs
    lock = Lock.take(home.layout.lock(parent.id))
    assert lock
    with played(home), quick_time():
        other = Worker(home.config, engines=ENGINES)
        while not other.turn().idle:
            pass
        other.leave()
    lock.release()


def sealed_parts_are_gone(home: Home, found: dict[str, Job]) -> None:
    if any("SEALED" in job.to_json() for job in found.values()):
        raise Broken("sealed secrets rest in the archive")
    if any(b"SEALED" in path.read_bytes() for path in home.layout.keys.iterdir()):
        raise Broken("sealed secrets rest in a key file")


# Changing one's mind


def cancel_all(home: Home) -> None:
    for job in home.jobs:
        home.spool.cancel(job.id, "me")
        with (home.outside / "cancelled").open("a") as file:
            file.write(f"{job.id}\n")
    for job in home.jobs:
        settling.cancel_waiting(home.layout, job.id)


def cancelled_if_promised(home: Home, found: dict[str, Job]) -> None:
    path = home.outside / "cancelled"
    for job_id in path.read_text().split() if path.exists() else []:
        if found[job_id].status is not Status.CANCELLED:
            raise Broken(f"{job_id} was cancelled and ended {found[job_id].status}")


def more_urgent(home: Home) -> None:
    home.spool.priority(home.jobs[0].id, 1)
    home.spool.priority(home.jobs[0].id, 9)


def promote_all(home: Home) -> None:
    with quick_time() as ahead:
        ahead[0] = 3_600_000
        claiming.promote(home.layout, clock.now_ms())


# Mending


def a_mess(home: Home) -> None:
    """What a power cut or a careless hand leaves."""
    ended(then=THEN)(home)
    finished = home.jobs
    ready()(home)
    (twice,) = home.jobs
    renamed = home.spool.submit(a_job())  # not acknowledged: under its wrong name nobody finds it until somebody looks
    recovered = a_job()
    layout = home.layout
    layout.marker(recovered.id).write_text("{}")
    (layout.queue / f"7-{twice.id}.json").write_text(twice.to_json())
    (layout.queue / f"5-{renamed.id}.json").rename(layout.queue / "mine.json")
    (layout.queue / f"5-{recovered.id}.json").write_text("{")
    for folder in (layout.tmp, layout.archive_tmp):
        (folder / "half").write_text("ha")
    layout.lock(recovered.id).touch()
    home.jobs = [*finished, twice, renamed]


def mend(home: Home) -> None:
    check.repair(home.config)


def swept(home: Home) -> None:
    home.spool.counts()
    for folder in (home.layout.tmp, home.layout.archive_tmp):
        for number in range(3):
            (folder / f"half-{number}").write_text("ha")


def sweep_all(home: Home) -> None:
    for folder in (home.layout.tmp, home.layout.archive_tmp):
        durable.sweep(folder)


def an_old_key(home: Home) -> None:
    home.submit(a_job(key="k").evolve(submitted_at="2026-01-01T00:00:00.000Z"))
    recover(home)
    path = keys.path_of(home.layout, "k")
    os.utime(path, (1_700_000_000, 1_700_000_000))


def forget_keys(home: Home) -> None:
    keys.forget_old(home.layout, clock.now_ms())


def a_broken_file(home: Home) -> None:
    ready()(home)
    (home.layout.queue / f"0-{a_job().id}.json").write_text("{")


def new_queue(home: Home) -> None:
    """A home without any folder of the queue."""
    home.jobs = [a_job()]


ORPHAN = frozenset({"key"})
"""A key whose submit was cut off before it returned: nobody was promised anything, and the next submit with the key completes it."""
SUBMITS = {
    "first submit of all": Scenario(new_queue, submit_all, 30, allowed=frozenset({"missing"}), long=True),
    "submit": Scenario(ours(a_job(), a_job()), submit_all, 16),
    "submit with a key": Scenario(ours(a_job(key="a", sealed="SEALED")), submit_all, 16, submitted_again, ORPHAN),
    "submit a key again": Scenario(ready(key="a"), submit_twins, 8),
    "complete a cut-off submit": Scenario(cut_off_key, submit_twins, 16, submitted_again, ORPHAN),
    "submit for later": Scenario(ours(a_job(not_before=soon(600)), a_job(not_before=soon(600), key="d")), submit_all, 24, allowed=ORPHAN),
}
STARTS = {
    "claim": Scenario(ready(limits=("a", "b")), claim_all, 8, expects("succeeded")),
    "start": Scenario(ready(limits=("a", "b")), one_turn, 20, expects("succeeded"), long=True),
    "reject": Scenario(ready(a_job("nowhere", then=(Followup("act", when=When.ALWAYS),))), one_turn, 30, expects("rejected")),
    "a worker from start to end": Scenario(
        ready(a_job(), a_job(params={"fail_in": [1]})), to_the_end, 100, expects("succeeded", "succeeded"), every=3
    ),
}
ENDS = {
    "finish: succeeded": Scenario(ended(), settle_all, 20, expects("succeeded", attempts=1)),
    "finish: partial": Scenario(ended("partial"), settle_all, 20, expects("partial", attempts=1), every=2),
    "finish: failed": Scenario(ended("failed", max_attempts=1), settle_all, 20, expects("failed", attempts=1)),
    "finish: rejected": Scenario(ended("rejected"), settle_all, 20, expects("rejected", attempts=1), every=2),
    "finish: crashed engine": Scenario(ended(silent=True, code=-11, max_attempts=1), settle_all, 20, expects("failed", attempts=1), every=2),
    "finish: cancelled": Scenario(ended(silent=True, code=-15, cancel=True), settle_all, 20, expects("cancelled", attempts=1)),
    "finish: too late to cancel": Scenario(ended(cancel=True), settle_all, 20, expects("succeeded", attempts=1), every=2),
    "finish: key and secrets": Scenario(ended(key="a", sealed="SEALED"), settle_all, 25, sealed_parts_are_gone),
    "chain": Scenario(ended(then=THEN, key="a", sealed="SEALED"), settle_all, 60, sealed_parts_are_gone, long=True),
    "chain that goes on": Scenario(ended(then=THEN), settle_all, 50, expects("succeeded", attempts=1), before=children_first),
    "chain of a failure": Scenario(ended("failed", then=THEN, max_attempts=1), settle_all, 40, expects("failed", attempts=1)),
    "interrupted": Scenario(ended(silent=True), settle_all, 8, expects("succeeded", attempts=2)),
    "retry": Scenario(ended("failed"), settle_all, 8, expects("succeeded", attempts=2)),
}
CHANGES = {
    "cancel waiting": Scenario(ready(a_job(), a_job(not_before=soon(600))), cancel_all, 40, cancelled_if_promised, long=True),
    "cancel running": Scenario(ended(silent=True), cancel_all, 20, cancelled_if_promised),
    "promote": Scenario(ready(a_job(not_before=soon(600))), promote_all, 5, expects("succeeded")),
    "change the priority": Scenario(ready(), more_urgent, 8, expects("succeeded")),
}
MENDS = {
    "check --repair": Scenario(a_mess, mend, 60, expects("succeeded", "succeeded", "succeeded"), allowed=frozenset({"corrupt"}), long=True),
    "sweep": Scenario(swept, sweep_all, 12),
    "forget keys": Scenario(an_old_key, forget_keys, 2),
    "set aside": Scenario(a_broken_file, claim_all, 15, expects("succeeded"), allowed=frozenset({"corrupt"})),
}
TURN = {"a worker's turn": Scenario(a_busy_worker, its_turn, 60, expects(*["succeeded"] * 4), guarded=True)}
AGAIN = {
    "recovery of a chain": replace(ENDS["chain"], again=(12, 6)),
    "recovery of a cancel": replace(CHANGES["cancel waiting"], again=(10, 4)),
    "recovery of a start": replace(STARTS["start"], again=(8, 4)),
}
SCENARIOS = {**SUBMITS, **STARTS, **ENDS, **CHANGES, **MENDS, **AGAIN}
