"""What is traced: the ways of jobs through the queue. Each scenario is a list of processes, one after the other on the same home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from portal import clock, vault
from portal.jobs import Followup, Job, When
from portal.settings import Settings
from portal.spool import Spool
from tests.power.machine import LATER_MS, worker_of
from tests.power.traced import Notebook
from tests.queues import a_job, soon


@dataclass
class Stage:
    """A process of a scenario: what people and workers do, and what they write down about it."""

    settings: Settings
    notebook: Notebook
    jobs: list[Job]

    def submit(self, *jobs: Job) -> None:
        spool = Spool(self.settings)
        for job in jobs:
            self.notebook.note("submitting", job.id, key=job.key, delayed=job.not_before is not None)
            self.notebook.note("submitted", spool.submit(job).id)

    def cancel(self, job: Job) -> None:
        if not Spool(self.settings).cancel(job.id, "me").status.finished:
            self.notebook.note("cancelled", job.id)

    def prioritise(self, job: Job, priority: int) -> None:
        Spool(self.settings).priority(job.id, priority)
        self.notebook.note("changed", job.id, priority=priority)

    def pause(self) -> None:
        Spool(self.settings).pause(by="me")
        self.notebook.note("paused", "")

    def turns(self, count: int = 1, **about: Any) -> None:
        """A worker that takes so many turns and goes; see `Engines`."""
        with worker_of(self.settings, notebook=self.notebook, **about) as (worker, _):
            for _ in range(count):
                worker.hear(None)
                assert not worker.turn().troubled


Act = Callable[[Stage], None]


@dataclass(frozen=True)
class Scenario:
    """`jobs` makes the jobs anew for each run; `before` is done and on the disk when the trace begins; `acts` are traced."""

    name: str
    jobs: Callable[[], list[Job]]
    acts: tuple[Act, ...]
    before: tuple[Act, ...] = ()
    has_keys: bool = True
    """The queue's key pair is there before."""
    forks: bool = False
    """It starts processes, so it is stopped at every call; otherwise only at those that can change something."""


def _one(**changes: Any) -> Callable[[], list[Job]]:
    return lambda: [a_job(**changes)]


def _submit_all(stage: Stage) -> None:
    stage.submit(*stage.jobs)


def _submit_first(stage: Stage) -> None:
    stage.submit(stage.jobs[0])


def _submit_second(stage: Stage) -> None:
    stage.submit(stage.jobs[1])


def _submit_twice(stage: Stage) -> None:
    stage.submit(stage.jobs[0])
    stage.submit(stage.jobs[1])


def _cancel(stage: Stage) -> None:
    stage.cancel(stage.jobs[0])


def _prioritise(stage: Stage) -> None:
    stage.prioritise(stage.jobs[0], 1)


def _turn(stage: Stage) -> None:
    stage.turns(1)


def _turns(stage: Stage) -> None:
    stage.turns(3)


def _start_only(stage: Stage) -> None:
    stage.turns(1, silent=True)


def _turns_later(stage: Stage) -> None:
    now_ms = clock.now_ms
    stage.notebook.note("due", stage.jobs[0].id)
    with patch.object(clock, "now_ms", lambda: now_ms() + LATER_MS):
        stage.turns(2)


def _really_run(stage: Stage) -> None:
    stage.turns(2, real=True)


def _submit_sealed(stage: Stage) -> None:
    (job,) = stage.jobs
    stage.submit(job.evolve(sealed=vault.seal(stage.settings, {"connections": {"s3": {"secret": "x"}}})))


def _pause(stage: Stage) -> None:
    stage.pause()


def _leave_odd_files(stage: Stage) -> None:
    """What people put there by hand: one nobody can read, and one with another's name, which is as good as taken."""
    (job,) = stage.jobs
    for name, text in (("5-01M7Z00000000000000000000X.json", "{"), ("nightly.json", job.to_json())):
        (stage.settings.queue_dir / name).write_text(text)
    stage.notebook.note("kept", "5-01M7Z00000000000000000000X.json")
    stage.notebook.note("submitting", job.id)
    stage.notebook.note("submitted", job.id)


def _everything(stage: Stage) -> None:
    first, second, third = stage.jobs
    stage.submit(first, second)
    stage.prioritise(second, 0)
    stage.submit(third)
    stage.cancel(third)
    stage.turns(3)


THEN = (
    Followup("act", {"from": {"$result": "/outputs/0/url"}}), Followup("act", {"x": {"$result": "/nowhere"}}), Followup("act", when=When.FAILED),
    Followup("act", when=When.ALWAYS, then=(Followup("act"),)),
)  # fmt: skip


def _two_with_a_key() -> list[Job]:
    return [a_job(key="nightly"), a_job(key="nightly")]


def _several() -> list[Job]:
    return [a_job(limits=("a",)), a_job(priority=9, params={"fail_in": [1]}), a_job()]


SCENARIOS = (
    Scenario("submit", _one(), (_submit_all,)),
    Scenario("submit with a key", _two_with_a_key, (_submit_twice,)),
    Scenario("submit delayed", lambda: [a_job(not_before=soon(3600))], (_submit_all,)),
    Scenario("cancel a waiting job", _one(), (_cancel, _turn), (_submit_all,)),
    Scenario("cancel a delayed job", lambda: [a_job(not_before=soon(3600))], (_cancel, _turn), (_submit_all,)),
    Scenario("claim and start", _one(limits=("a",)), (_start_only,), (_submit_all,)),
    Scenario("cancel a running job", _one(), (_cancel,), (_submit_all, _start_only)),
    Scenario("run and finish", _one(), (_turns,), (_submit_all,)),
    Scenario("finish with follow-ups", _one(then=THEN, key="k"), (_turns,), (_submit_all, _turn)),
    Scenario("retry", _one(params={"fail_in": [1]}), (_turns,), (_submit_all,)),
    Scenario("reject", lambda: [a_job("unknown")], (_turn,), (_submit_all,)),
    Scenario("change the priority", _one(), (_prioritise,), (_submit_all,)),
    Scenario("promote", lambda: [a_job(not_before=soon(3600))], (_turns_later,), (_submit_all,)),
    Scenario("run by a real runner", _one(), (_really_run,), (_submit_all,), forks=True),
    Scenario("submit sealed", _one(), (_submit_sealed,), has_keys=False),
    Scenario("pause", _one(), (_pause,), (_submit_all,)),
    Scenario("files left by hand", _one(), (_turn,), (_leave_odd_files,)),
    Scenario("several jobs", _several, (_everything,)),
)

KILLED = (
    Scenario("submit again", _one(), (_submit_all, _submit_all)),
    Scenario("submit a delayed job again", lambda: [a_job(not_before=soon(3600))], (_submit_all, _submit_all)),
    Scenario("submit again with the key", _two_with_a_key, (_submit_first, _submit_second)),
    Scenario("cancel again", _one(), (_cancel, _cancel, _turn), (_submit_all,)),
    Scenario("change the priority again", _one(), (_prioritise, _prioritise), (_submit_all,)),
    Scenario("run and finish", _one(), (_turns, _turns), (_submit_all,)),
    Scenario("finish with follow-ups", _one(then=THEN[:2], key="k"), (_turn, _turn), (_submit_all, _turn)),
    Scenario("retry", _one(params={"fail_in": [1]}), (_turn, _turn), (_submit_all, _turn)),
)
"""The process of the first act is killed; that of the second goes on."""
