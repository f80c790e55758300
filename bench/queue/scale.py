"""What a long queue and a long archive cost: claims, a worker's memory, the Jobs page and `portal jobs`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.queue.measuring import ROOT, Taken, memory_bytes, middle, running, taking, until
from bench.queue.ours import Portal
from bench.queue.speed import WORKERS, consumers
from bench.queue.table import Figure, ms
from bench.queue_scale import put_records, put_waiting
from portal import processes, settings
from portal.spool import Spool
from portal.ui import health, job_rows, job_search
from portal.ui.job_search import Filters
from portal.worker import Worker

FEW, MANY = 100, 100_000
_BLOCK = 100
_MIB = 1 << 20
_LOOKS_S = 3.0
"""A worker with a full queue is watched for so long: several looks at everything."""


@dataclass
class Claims:
    """Seconds of the turns in which a worker claimed jobs, or tried to."""

    turns: list[float] = field(default_factory=list)
    claimed: int = 0

    @property
    def each_s(self) -> float:
        return sum(self.turns) / self.claimed


class _Claimer:
    """A worker that claims as it always does, and whose jobs end the moment they start."""

    def __init__(self, home: Path, waiting: int) -> None:
        home.mkdir(parents=True)
        self.spool, self.waiting, self.found = Spool(settings.load(home)), waiting, Claims()
        put_waiting(self.spool, waiting + _BLOCK)
        self.worker = Worker(self.spool.settings, slots=WORKERS, engines="engines")
        self.worker._starter.start = lambda job, claim: None  # type: ignore[method-assign]
        self.worker.turn(claim=False)

    def block(self) -> None:
        """Claim `_BLOCK` jobs, two a turn; then make up for them."""
        goal = self.found.claimed + _BLOCK
        while self.found.claimed < goal:
            began = time.perf_counter()
            turn = self.worker.turn()
            self.found.turns.append(time.perf_counter() - began)
            self.found.claimed += len(turn.started)
            if turn.troubled:
                raise RuntimeError(f"jobs could not be started: {turn.troubled}")
            for job_id in turn.started:
                self.spool.layout.record(job_id).unlink()
                self.spool.layout.lock(job_id).unlink(missing_ok=True)
            if not turn.started:
                time.sleep(0.02)  # it has claimed what it knew and has not looked again
        put_waiting(self.spool, _BLOCK)


def claims(root: Path, many: int, count: int) -> tuple[Claims, Claims, Taken]:
    """Claim `count` jobs from a short and from a long queue, by turns; returns the short one's, the long one's, and what it took."""
    claimers = [_Claimer(root / str(waiting), waiting) for waiting in (FEW, many)]
    try:
        with taking() as taken:
            for _ in range(count // _BLOCK):
                for claimer in claimers:
                    claimer.block()
    finally:
        for claimer in claimers:
            claimer.worker.leave()
    return claimers[0].found, claimers[1].found, taken


def claim_figures(few: Claims, many: Claims, taken: Taken, waiting: int) -> Iterator[Figure]:
    ratio = many.each_s / few.each_s
    told = f"{ms(many.each_s)} against {ms(few.each_s)}"
    yield Figure(f"a claim, {waiting:,} waiting against {FEW}, over {many.claimed:,} claims", told, "≤ 1.5 ×", ratio, ratio <= 1.5, taken)
    yield Figure("  … the longest turn with a claim (a rescan) / the middle one", f"{ms(max(many.turns))} / {ms(middle(many.turns))}")


def memory(home: Path, waiting: int) -> Iterator[Figure]:
    """The worker process with a full queue and both slots taken; what it keeps ready for starting engines apart."""
    home.mkdir(parents=True)
    ours = Portal(home)
    put_waiting(ours.spool, waiting)
    for _ in range(WORKERS):
        ours.submit("hold", priority=0)
    with taking() as taken, running(consumers("portal", home, Portal.kinds[0], WORKERS), home, PORTAL_HOME=str(home)) as (worker,):
        _started(home, WORKERS)
        time.sleep(_LOOKS_S)
        resident, highest = memory_bytes(worker.pid), memory_bytes(worker.pid, "VmHWM")
        ready = sum(_own_bytes(pid) for pid in processes.descendants(worker.pid)) - sum(_own_bytes(pid) for pid in _of_jobs(home))
        (home / "go").touch()
    yield Figure(
        f"worker's memory, {waiting:,} waiting: resident / its highest", f"{resident / _MIB:.0f} / {highest / _MIB:.0f} MiB", "< 100 MB",
        resident / 100e6, resident < 100e6, taken,
    )  # fmt: skip
    yield Figure("  … and of the processes it keeps ready for the next jobs (their own part)", f"{max(ready, 0) / _MIB:.0f} MiB")


def _started(home: Path, count: int) -> None:
    place = home / "started"
    if not until(lambda: place.exists() and len(place.read_text().splitlines()) >= count, 60):
        raise RuntimeError("no job started:\n" + (home / "output.log").read_text("utf-8", "replace")[-2000:])


def _of_jobs(home: Path) -> set[int]:
    """The runners of what runs, and all below them."""
    runners = {job.attempts[-1].pid or 0 for job in Spool(settings.load(home)).running()}
    return runners | processes.descendants(*runners)


def _own_bytes(pid: int) -> int:
    """Memory that is in no other process (proc_pid_smaps(5))."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def pages(home: Path, archived: int, waiting: int, days: int) -> Iterator[Figure]:
    """The first and the next look of the Jobs page, and the command; each with the job files that it opens."""
    home.mkdir(parents=True)
    spool = Spool(settings.load(home))
    put_records(spool, archived, days)
    put_waiting(spool, waiting)
    about = f"{archived:,} archived, {waiting:,} waiting"
    counter = _Opened(home)

    def page() -> Any:
        health.look(spool.settings, spool)
        return job_rows.rows(spool, job_search.page(spool, Filters(), 1).jobs, may_act=True)

    yield _looked(f"Jobs page, {about}", page, counter)
    yield _looked("  … at the next poll", page, counter)
    yield _looked("  … page 300: the archive's", lambda: job_search.page(spool, Filters(), 300), counter)
    yield _command(home, f"`portal jobs`, {about}")


def _looked(what: str, work: Callable[[], Any], counter: _Opened) -> Figure:
    with taking() as taken, counter.counting():
        work()
    return Figure(what, f"{ms(taken.wall_s)}, opens {counter.count} job files", "< 1 s", taken.wall_s, taken.wall_s < 1, taken)


class _Opened:
    """Counts the job files below a folder that this process opens (an audit hook stays for ever: it counts only when told to)."""

    def __init__(self, home: Path) -> None:
        self.count, self._on, self._home = 0, False, str(home)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._on and event == "open" and str(arguments[0]).startswith(self._home) and str(arguments[0]).endswith(".json"):
            self.count += 1

    @contextmanager
    def counting(self) -> Iterator[None]:
        self.count, self._on = 0, True
        yield
        self._on = False


_COUNTED = """
import json, sys
from bench.queue.scale import _Opened
from pathlib import Path
from portal.cli import main
counter = _Opened(Path(sys.argv[1]))
with counter.counting():
    main(["jobs"])
print(json.dumps(counter.count), file=sys.stderr)
"""


def _command(home: Path, what: str) -> Figure:
    environment = {**os.environ, "PORTAL_HOME": str(home)}
    with taking() as taken:
        subprocess.run([sys.executable, "-m", "portal", "jobs"], cwd=ROOT, env=environment, check=True, capture_output=True)
    counted = subprocess.run(
        [sys.executable, "-c", _COUNTED, str(home)], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stderr
    opened = json.loads(counted.splitlines()[-1])
    return Figure(what, f"{ms(taken.wall_s)}, opens {opened} job files", "< 1 s", taken.wall_s, taken.wall_s < 1, taken)
