"""The queue under any order of events: a state machine (hypothesis) drives real spool and real workers; only the engines are played.

Jobs come and go as the machine likes: submits, workers that die, engines that end in every way, cancels, retries, a clock that jumps by a
day, disorder made by hand. After every step each acknowledged job is somewhere, and in one place unless a hand doubled it; in the end each
has exactly one archive record. `PORTAL_WAR=long` plays many more games.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase
from hypothesis import settings as how
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from portal import check, clock, processes
from portal.check import inspecting
from portal.errors import QueueRefused
from portal.jobs import Followup, Job, Status, When
from portal.settings import Settings
from portal.spool import Spool, keys, records, workers
from portal.spool.claiming import Claim
from portal.spool.finishing import child_ids
from portal.worker import Worker
from tests.queues import ENGINES, a_job

LONG = os.environ.get("PORTAL_WAR") == "long"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Nothing here is about the disk; the machine is quicker without it."""
DAY_MS = 86_400_000
LIMITS = {"one": 1, "two": 2}
WORKERS = ("a", "b")
ENDS: dict[str, tuple[dict[str, Any] | None, str | None]] = {
    "succeeded": ({"exit_code": 0}, "succeeded"), "partial": ({"exit_code": 3}, "partial"), "failed": ({"exit_code": 1}, "failed"),
    "rejected": ({"exit_code": 2}, "rejected"), "crashed": ({"exit_code": -11}, None), "silent": ({"exit_code": 0}, None),
    "timeout": ({"exit_code": -15, "ended_by": "timeout", "timeout_s": 1}, None), "interrupted": ({"exit_code": -15, "ended_by": "interrupt"}, None),
    "runner killed": (None, None), "runner killed after the result": (None, "succeeded"),
}  # fmt: skip
"""What runner and engine leave: the exit file, and the outcome in the result file."""


WHENS = [when for when in When if when is not When.SLOWER]
"""What an end of the parent starts; the service that looks at slow ones is a process of its own."""
LIMITED = st.sampled_from([(), (), ("one",), ("two",), ("one", "two")])


class Killed(BaseException):
    """A worker dies in the middle of a turn."""


@dataclass
class Run:
    """A job that runs: its runner has copies of the locks."""

    job: Job
    held: list[int]


@dataclass
class Runners:
    """Stands in for `Starter`: takes the locks as a runner does, and runs nothing. All workers share one."""

    dies: bool = False
    """The next worker that starts a job dies instead."""
    runs: dict[str, Run] = field(default_factory=dict)
    started: list[tuple[str, int]] = field(default_factory=list)

    def problem(self, job: Job) -> str | None:
        return None if job.engine == "act" else "There is no such engine."

    def start(self, job: Job, claim: Claim) -> None:
        if self.dies:
            self.dies = False
            raise Killed
        assert job.id not in self.runs, "two runners of one job at once"
        self.started.append((job.id, job.attempts[-1].number))
        self.runs[job.id] = Run(job, [os.dup(lock.descriptor) for lock in (claim.lock, *claim.places)])

    def end(self, job_id: str) -> Run:
        run = self.runs.pop(job_id)
        for descriptor in run.held:
            os.close(descriptor)
        return run

    def tick(self) -> None: ...

    def leave(self) -> None: ...

    def watch(self, runner: dict[str, Any]) -> None: ...


class QueueMachine(RuleBasedStateMachine):
    """One game. `acknowledged` is what the queue must never lose."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="portal-machine-", dir=MEMORY))
        self.settings = Settings(
            home=self.home, min_free_mb=1, min_free_inodes=1, retry_base_s=10, retry_max_s=60, slots=3, limits=LIMITS, max_interruptions=3, warm=0,
        )  # fmt: skip
        self.offset_ms = 0
        real_now_ms = clock.now_ms
        self.patches = [
            mock.patch.object(clock, "now_ms", lambda: real_now_ms() + self.offset_ms), mock.patch.object(os, "fsync", lambda _: None),
            mock.patch.object(processes, "end_marked", lambda *_: True), mock.patch.object(inspecting, "_PAUSE_S", 0),
            mock.patch.object(workers, "version", lambda: "as it was"),
        ]  # fmt: skip
        for patch in self.patches:
            patch.start()
        self.spool = Spool(self.settings)
        self.layout = self.spool.layout
        self.runners = Runners()
        self.workers = {name: self.enter(name) for name in WORKERS}
        self.acknowledged: dict[str, Job] = {}
        self.known_keys: dict[str, str] = {}
        self.cut_off: set[str] = set()
        """Keys whose submit was cut off: their job is nowhere, and nobody was told that it is anywhere."""
        self.doubled: set[str] = set()
        self.by_hand: dict[str, Job] = {}
        self.unreadable = 0

    def enter(self, name: str) -> Worker:
        worker = Worker(self.settings, name=name, engines=ENGINES)
        worker._starter = self.runners  # type: ignore[assignment]
        worker._sealer = mock.Mock()
        return worker

    def one_of(self, items: list[Any], pick: int) -> Any:
        return items[pick % len(items)]

    # What happens

    @initialize(jobs=st.lists(LIMITED, min_size=2, max_size=5))
    def begin(self, jobs: list[tuple[str, ...]]) -> None:
        for limits in jobs:
            self.take_in(a_job(limits=limits, max_attempts=2))

    @rule(
        key=st.sampled_from([None, None, "k1", "k2"]), priority=st.integers(0, 9), delay_h=st.sampled_from([None, None, None, 1, 30]),
        limits=LIMITED, then=st.lists(st.sampled_from(WHENS), max_size=2), engine=st.sampled_from(["act", "act", "act", "none"]),
    )  # fmt: skip
    def submit(self, key: str | None, priority: int, delay_h: int | None, limits: tuple[str, ...], then: list[When], engine: str) -> None:
        due = clock.iso(clock.now_ms() + delay_h * 3_600_000) if delay_h else None
        followups = tuple(Followup("act", when=when, priority=priority) for when in then)
        self.take_in(a_job(engine, key=key, priority=priority, not_before=due, limits=limits, then=followups, max_attempts=2))

    def take_in(self, job: Job) -> None:
        stands = self.spool.submit(job)
        if job.key is not None:
            assert self.known_keys.setdefault(job.key, stands.id) == stands.id, "a key stands for one job for ever"
            self.cut_off.discard(job.key)
        self.acknowledged[stands.id] = stands

    @rule(pick=st.integers(0, 99), key=st.sampled_from([None, None, "k1", "k2"]))
    def submit_has_trouble(self, pick: int, key: str | None) -> None:
        """A submit whose acknowledgement nobody heard is repeated; one with a key is cut off before it has put its job anywhere."""
        if key is None:
            job = self.one_of(list(self.acknowledged.values()), pick)
            assert self.spool.submit(job.evolve(status=Status.QUEUED, attempts=(), finished_at=None)).id == job.id
            return
        first = keys.claim(self.layout, a_job(key=key))
        assert self.known_keys.setdefault(key, first.id) == first.id
        if first.id not in self.acknowledged:
            self.cut_off.add(key)

    @rule(names=st.sampled_from([WORKERS, WORKERS, WORKERS[:1], WORKERS[1:]]), heard=st.sampled_from([True, True, False]))
    def turn(self, names: tuple[str, ...], heard: bool) -> None:
        for name in names:
            if heard:
                self.workers[name].hear(None)
            self.workers[name].turn()

    @rule(name=st.sampled_from(WORKERS), starting=st.booleans())
    def worker_is_killed(self, name: str, starting: bool) -> None:
        """Between two turns, or as it starts a job; its runners go on, and it is started again."""
        if starting:
            self.workers[name].hear(None)
            self.runners.dies = True
            with contextlib.suppress(Killed):
                self.workers[name].turn()
            self.runners.dies = False
        self.workers[name].registration.lock.release()
        self.workers[name] = self.enter(name)

    @precondition(lambda self: self.runners.runs)
    @rule(pick=st.integers(0, 99), end=st.sampled_from([*ENDS, "succeeded", "failed"]))
    def engine_ends(self, pick: int, end: str) -> None:
        self.end(self.one_of(sorted(self.runners.runs), pick), end)

    def end(self, job_id: str, end: str) -> None:
        """Leave what a runner leaves, and only then the locks."""
        left, said = ENDS[end]
        number = self.runners.runs[job_id].job.attempts[-1].number
        about = {"job": job_id, "attempt": number}
        if said:
            error = {"message": "no luck"} if said == "failed" else None
            result = {**about, "outcome": said, "outputs": [], "error": error}
            self.layout.result_file(job_id, number).write_text(json.dumps(result))
        if left:
            self.layout.exit_file(job_id, number).write_text(json.dumps({"ended_by": None, **about, **left}))
        self.runners.end(job_id)

    @rule(pick=st.integers(0, 99), what=st.sampled_from(["cancel", "hurry", "retry"]), priority=st.integers(0, 9))
    def somebody_asks(self, pick: int, what: str, priority: int) -> None:
        job_id = self.one_of(sorted(self.acknowledged), pick)
        if what == "cancel":
            self.spool.cancel(job_id, "me")
        elif what == "hurry":
            with contextlib.suppress(QueueRefused):
                self.spool.priority(job_id, priority)
        elif (old := self.spool.find(job_id)) and old.status in (Status.FAILED, Status.CANCELLED, Status.REJECTED):
            self.take_in(a_job(old.engine, retry_of=old.id, parent=old.id, key=f"retry-{old.id}", limits=old.limits))

    @rule(days=st.sampled_from([-1, 0, 1, None, None]), seconds=st.sampled_from([0, 15, 120]))
    def time_goes_on_or_jumps(self, days: int | None, seconds: int) -> None:
        self.offset_ms = (self.offset_ms if days is None else days * DAY_MS) + seconds * 1000

    # What a hand may do

    @rule(pick=st.integers(0, 99), priority=st.integers(0, 9), delayed=st.booleans())
    def job_file_is_put_back(self, pick: int, priority: int, delayed: bool) -> None:
        """From a backup: a second file of a job that is somewhere, as it was when it was submitted."""
        job = self.one_of(list(self.acknowledged.values()), pick)
        path = self.layout.delayed / f"{clock.now_ms():013d}-{job.id}.json" if delayed else self.layout.queue / f"{priority}-{job.id}.json"
        if not path.exists():
            path.write_text(job.evolve(status=Status.QUEUED, attempts=(), finished_at=None).to_json())
            self.doubled.add(job.id)

    @rule(
        what=st.sampled_from(["a job", "a job with another's name", "no job", "leftovers"]), text=st.sampled_from(["", "{", "[]", '{"schema": 99}'])
    )  # fmt: skip
    def something_is_put_in(self, what: str, text: str) -> None:
        """A job counts once a worker has taken it in."""
        job = a_job()
        if what == "no job":
            name = f"0-{job.id}.json" if self.unreadable % 2 else f"{self.unreadable}.json"
            (self.layout.queue / name).write_text(text)
            self.unreadable += 1
        elif what == "leftovers":
            for path in (self.layout.tmp / job.id, self.layout.archive_tmp / job.id, self.layout.lock(job.id), self.layout.marker(job.id)):
                path.touch()
        else:
            name = f"my job {job.id}.json" if what == "a job" else f"3-{a_job().id}.json"
            (self.layout.queue / name).write_text(job.to_json())
            self.by_hand[job.id] = job

    @rule()
    def repair(self) -> None:
        check.repair(self.settings)

    # What always holds

    def places(self, job_id: str) -> list[str]:
        """Where a job is; a running record whose end is frozen and its archive record are steps of one end."""
        found = [path.name for path in (*records.ready_paths(self.layout, job_id), *records.delayed_paths(self.layout, job_id))]
        running = records.read(self.layout.record(job_id)) if self.layout.record(job_id).exists() else None
        archived = [str(path) for path in self.layout.archive.glob(f"[0-9]*/*/*/{job_id}.json")]
        return [*found, *archived, *(["running"] if running and not (running.finished_at and archived) else [])]

    @invariant()
    def each_job_is_in_one_place(self) -> None:
        for job_id in self.acknowledged:
            places = self.places(job_id)
            assert places, f"{job_id} is lost"
            assert len(places) == 1 or job_id in self.doubled, f"{job_id} is in {places}"
            assert sum("/" in place for place in places) <= 1, f"{job_id} has two archive records"
            assert job_id not in self.runners.runs or "running" in places, f"{job_id} runs without a record"

    @invariant()
    def limits_are_kept(self) -> None:
        used = Counter(name for run in self.runners.runs.values() for name in run.job.limits)
        assert all(count <= LIMITS[name] for name, count in used.items()), used

    @invariant()
    def nothing_starts_twice(self) -> None:
        again = [start for start, count in Counter(self.runners.started).items() if count > 1 and start[0] not in self.doubled]
        assert not again, f"started twice: {again}"

    def teardown(self) -> None:
        try:
            self.drain()
            self.settle_accounts()
        finally:
            for job_id in list(self.runners.runs):
                self.runners.end(job_id)
            for worker in self.workers.values():
                worker.leave()
            for patch in self.patches:
                patch.stop()
            shutil.rmtree(self.home)

    def drain(self) -> None:
        """Let everything come to its end, in the future."""
        worker = self.workers["a"]
        until = time.monotonic() + 30
        while self.runners.runs or self.to_do():
            assert time.monotonic() < until, f"it does not come to an end: {self.to_do()}"
            self.offset_ms += DAY_MS
            for job_id in list(self.runners.runs):
                self.end(job_id, "succeeded")
            worker.hear(None)
            worker.turn()
        self.offset_ms += DAY_MS  # a last housekeeping
        worker.turn()

    def to_do(self) -> list[str]:
        folders = (self.layout.queue, self.layout.delayed, self.layout.running, self.layout.cancel)
        return [str(path) for folder in folders for path in folder.iterdir() if path.is_file()]

    def settle_accounts(self) -> None:
        archived = [Job.from_json(path.read_bytes()) for path in self.layout.archive.glob("[0-9]*/*/*/*.json")]
        children = [child for job in archived for child in child_ids(job)]
        found = Counter(job.id for job in archived)
        assert set(found.values()) <= {1}, "one archive record each"
        optional = {self.known_keys[key] for key in self.cut_off}  # nobody was told of them, but a repair may submit them
        assert set(found) - optional == {*self.acknowledged, *self.by_hand, *children}, "exactly what was taken, and its follow-ups"
        assert not [job.id for job in archived if not job.status.finished]
        left = {folder.name: os.listdir(folder) for folder in (self.layout.tmp, self.layout.archive_tmp, self.layout.locks, self.layout.cancel)}
        assert not any(left.values()), left
        assert len(self.spool.corrupt()) == self.unreadable, "what nobody can read is kept, and nothing else is set aside"
        expected = {"clock", "corrupt", *(["key"] if self.cut_off else [])}
        assert not [finding for finding in check.inspect(self.settings) if finding.kind not in expected and not finding.note]


QueueMachine.TestCase.settings = how(
    max_examples=400 if LONG else 60, stateful_step_count=60 if LONG else 30, deadline=None, derandomize=not LONG,
    suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate, Phase.shrink),
)  # fmt: skip
TestQueue = QueueMachine.TestCase
