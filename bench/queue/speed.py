"""How many jobs a second go in and through, and how long one waits for its start; ours, its peers and the bare loops by turns."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.queue import bare
from bench.queue.contender import Contender
from bench.queue.contenders import load
from bench.queue.filling import put, wait
from bench.queue.measuring import ROOT, Taken, middle, running, share, taking, until
from bench.queue.ours import Portal
from bench.queue.table import Figure, ms, rate

WORKERS = 2
_ROUND_S = 120.0
_QUIET_S = 0.1
"""The system is idle for so long before a sample of the latency."""
_SETTLED_S = 6.0
"""A worker that has just started looks more often."""


@dataclass
class Rounds:
    """What several rounds of one thing took; `count` jobs each."""

    count: int
    taken: list[Taken] = field(default_factory=list)

    @property
    def a_second(self) -> float:
        return self.count / middle(item.wall_s for item in self.taken)

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds a job."""
        return middle(item.cpu_s for item in self.taken) * 1000 / self.count

    @property
    def whole(self) -> Taken:
        return Taken(sum(item.wall_s for item in self.taken), sum(item.cpu_s for item in self.taken))


def submits(root: Path, names: Sequence[str], count: int, rounds: int) -> dict[str, Rounds]:
    """Enqueue `count` no-op jobs a round, each acknowledged before the next; "bare" is the bare loop of our file calls.

    It writes into the folders of our queue: what creating a file costs depends on where its folder lies on the disk, up to three times as much.
    """
    found = {name: Rounds(count) for name in ("bare", *names)}
    with ExitStack() as stack:
        opened = {name: stack.enter_context(_opened(root, name)) for name in names}
        ours = next(item for item, _ in opened.values() if isinstance(item, Portal))
        data = ours.submit("noop").to_json().encode()
        for number in range(rounds):
            with taking() as taken:
                bare.write_files(ours.spool.layout.queue, data, number * count, count)
            found["bare"].taken.append(taken)
            for name, (contender, servers) in opened.items():
                with taking(*servers) as taken:
                    for _ in range(count):
                        contender.put("noop")
                found[name].taken.append(taken)
    return found


@contextmanager
def _opened(root: Path, name: str) -> Iterator[tuple[Contender, tuple[int, ...]]]:
    folder = root / name
    folder.mkdir(parents=True)
    with load(name).serving(folder) as servers:
        yield load(name)(folder), servers


def consumers(name: str, folder: Path, kind: str, workers: int) -> list[list[str]]:
    """Commands of the processes that run a contender's jobs."""
    pooled = load(name).pooled
    command = [sys.executable, "-m", "bench.queue.child", "consume", name, str(folder), "--kind", kind, "--workers", str(workers if pooled else 1)]
    return [command] * (1 if pooled else workers)


def through(root: Path, wanted: Sequence[tuple[str, str, int]], starts: int, rounds: int) -> dict[tuple[str, str], Rounds]:
    """No-op jobs through enqueue, run and done, with two workers; ("bare", "") is the bare loop of interpreters.

    Args:
        wanted: contender, kind of worker, jobs a round.
        starts: interpreters that the bare loop starts a round.
    """
    found = {("bare", ""): Rounds(starts), **{(name, kind): Rounds(count) for name, kind, count in wanted}}
    for number in range(rounds):
        with taking() as taken:
            bare.start_interpreters(starts, WORKERS)
        found["bare", ""].taken.append(taken)
        for name, kind, count in wanted:
            folder = root / f"{number}-{name}-{kind.split()[0]}"
            found[name, kind].taken.append(_through(folder, name, kind, count))
    return found


def _through(folder: Path, name: str, kind: str, count: int) -> Taken:
    folder.mkdir(parents=True)
    if not load(name).apart:
        return _in_one(folder, name, kind, count)
    with load(name).serving(folder) as servers:
        contender = load(name)(folder)
        with running(consumers(name, folder, kind, WORKERS), folder, PORTAL_HOME=str(folder)) as begun:
            warm = 2 * WORKERS
            put(contender, warm)
            wait(contender, warm, folder)
            with taking(*servers, *(process.pid for process in begun)) as taken:
                put(contender, count)
                wait(contender, warm + count, folder)
    return taken


def _in_one(folder: Path, name: str, kind: str, count: int) -> Taken:
    """For a queue that only the threads of one process can share."""
    command = [sys.executable, "-m", "bench.queue.child", "through", name, str(folder), "--kind", kind]
    command += ["--workers", str(WORKERS), "--count", str(count)]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=_ROUND_S).stdout
    return Taken(**json.loads(told))


@dataclass
class Latencies:
    """Seconds from the call of submit to the engine's first line, and to the first line of its `run`; and to the archive record."""

    first_line: list[float] = field(default_factory=list)
    run: list[float] = field(default_factory=list)
    archived: list[float] = field(default_factory=list)
    taken: Taken = field(default_factory=Taken)


def latencies(folder: Path, samples: int, **environment: str) -> Latencies:
    """Submit one job after the other to a worker that has nothing to do."""
    folder.mkdir(parents=True)
    ours, found = Portal(folder), Latencies()
    with running(consumers("portal", folder, Portal.kinds[0], WORKERS), folder, PORTAL_HOME=str(folder), **environment) as begun:
        began = time.monotonic()
        put(ours, 2)
        wait(ours, 2, folder)
        time.sleep(max(_QUIET_S, began + _SETTLED_S - time.monotonic()))
        with taking(*(process.pid for process in begun)) as found.taken:
            for number in range(samples):
                _sample(ours, found, number + 3, folder)
                time.sleep(_QUIET_S)
    return found


def _sample(ours: Portal, found: Latencies, number: int, folder: Path) -> None:
    asked_ns = time.monotonic_ns()
    job_id = ours.submit("noop").id
    wait(ours, number, folder)
    found.archived.append((time.monotonic_ns() - asked_ns) / 1e9)
    until(lambda: (job := ours.spool.find(job_id)) is None or job.status.finished, 30)  # its record in running/ is removed last
    job = ours.spool.find(job_id)
    told = job.result["report"] if job and job.result else {}
    if "run_ns" not in told:
        raise RuntimeError(f"{job_id} did not succeed: {job.error if job else 'it is gone'}")
    found.first_line.append((told["file_ns"] - asked_ns) / 1e9)
    found.run.append((told["run_ns"] - asked_ns) / 1e9)


def latency_figures(title: str, found: Latencies, goal_s: float | None) -> Iterator[Figure]:
    """The goal is asked of the later moment: the first line of `run`, when everything is imported."""
    p95 = share(found.run, 0.95)
    goal = f"p95 < {goal_s * 1000:.0f} ms" if goal_s else ""
    yield Figure(
        f"submit → first line of the engine's run(), idle, {title}, p50 / p95 of {len(found.run)}",
        f"{ms(middle(found.run))} / {ms(p95)}", goal, p95 / goal_s if goal_s else None, p95 < goal_s if goal_s else None, found.taken,
    )  # fmt: skip
    yield Figure(f"  … → first line of its file, {title}", f"{ms(middle(found.first_line))} / {ms(share(found.first_line, 0.95))}")
    yield Figure(f"  … → archive record, {title}", f"{ms(middle(found.archived))} / {ms(share(found.archived, 0.95))}")


def submit_figure(found: dict[str, Rounds]) -> Figure:
    ours, loop = found["portal"], found["bare"]
    ratio = ours.a_second / loop.a_second
    told = f"{rate(ours.a_second)} (loop {rate(loop.a_second)})"
    return Figure("durable submits, against a loop of the same write+fsync+link", told, "≥ 0.8 × loop", ratio, ratio >= 0.8, ours.whole)


def through_figure(found: dict[tuple[str, str], Rounds]) -> Figure:
    ours, loop = found["portal", Portal.kinds[0]], found["bare", ""]
    ratio = ours.a_second / loop.a_second
    told = f"{rate(ours.a_second)} (loop {rate(loop.a_second)})"
    what = "no-op jobs, submit → engine process → archive, 2 slots, against starting such interpreters"
    return Figure(what, told, "≥ 0.8 × loop", ratio, ratio >= 0.8, ours.whole)
