"""Runs the comparison: `make bench-spark`, or `python -m bench.spark [--quick] [--latency MS] [--rounds N] [--json FILE]`.

A standalone master and two workers run on this machine, source and sink are the null server of `bench/transfer`, whose every answer can be made to
come later, as if it were far away. The engines run as a runner starts them, with one executor of one core and with two. How long a copy took
its ledger tells, from the first object's begin to the last one's end. Of a listing, and of CPU, what a run takes that finds nothing to do (Java, the
session, the executors' start) is measured beside each and taken off. CPU is that of all processes together: engine, master, workers, executors; the
server's is not in it, but it has the same processors. Goal: two executors at least 1.6 times as fast as one with 50 ms.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.queue.measuring import Taken, middle, taking
from bench.queue.table import Figure, figures, table
from bench.transfer.measuring import Command, measured, told
from bench.transfer.null_server import ACCOUNT, Bucket, NoCompiler, NullServer, make_data, memory_folder, serving
from portal.ledger.ledger import LEDGER_FILE
from tests.spark_cluster import Cluster, cluster

GOAL = 1.6
EMPTY = Bucket("empty", 0, 0)
PLACES = ("local", "1 executor", "2 executors")
_HEAD = ("work", "where", "wall s", "CPU s", "start-up s", "objects/s", "CPU µs/object", "of it the driver")


@dataclass(frozen=True)
class Work:
    """One engine over one bucket."""

    name: str
    engine: str
    bucket: Bucket
    latency_ms: int
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Line:
    """The runs of a work at a place, and those that found nothing to do."""

    work: Work
    where: str
    runs: list[Taken] = field(default_factory=list)
    start_ups: list[Taken] = field(default_factory=list)
    drivers: list[float] = field(default_factory=list)
    """CPU seconds of the engine alone, its Java included: what does not grow with the number of executors."""
    idle_drivers: list[float] = field(default_factory=list)
    spans: list[float] = field(default_factory=list)
    """Seconds from the first object's begin to the last one's end, where a ledger tells it."""

    @property
    def driver_s(self) -> float:
        return max(0.0, middle(self.drivers) - middle(self.idle_drivers))

    @property
    def wall_s(self) -> float:
        """Of the work alone: as the ledger tells it, else without the start-up."""
        return middle(self.spans) if self.spans else max(1e-3, middle(run.wall_s for run in self.runs) - self.start_up_s)

    @property
    def cpu_s(self) -> float:
        return max(1e-3, middle(run.cpu_s for run in self.runs) - middle(run.cpu_s for run in self.start_ups))

    @property
    def start_up_s(self) -> float:
        return middle(run.wall_s for run in self.start_ups)

    @property
    def cells(self) -> tuple[str, ...]:
        count = self.work.bucket.count
        return (
            self.work.name, self.where, f"{self.wall_s:.1f}", f"{self.cpu_s:.1f}", f"{self.start_up_s:.1f}", f"{count / self.wall_s:,.0f}",
            f"{self.cpu_s / count * 1e6:,.0f}", f"{self.driver_s / count * 1e6:,.0f}",
        )  # fmt: skip


def works(quick: bool, latency_ms: int) -> list[Work]:
    objects, names = (400, 20_000) if quick else (24_000, 300_000)
    small, flat = Bucket("small", objects, 16 << 10), Bucket("flat", names, 1024)
    return [
        Work(f"copy {objects:,} × 16 KiB, {latency_ms} ms", "migrate", small, latency_ms, {"mode": "stream"}),
        Work(f"copy {objects:,} × 16 KiB, 0 ms", "migrate", small, 0, {"mode": "stream"}),
        Work(f"list {names:,}, {latency_ms} ms", "list", flat, latency_ms),
        Work(f"list {names:,}, 0 ms", "list", flat, 0),
    ]


class Bench:
    def __init__(self, server: NullServer, workers: Cluster, folder: Path) -> None:
        self._server, self._cluster, self._folder = server, workers, folder
        self._runs = 0

    def line(self, work: Work, where: str, rounds: int) -> Line:
        found = Line(work, where)
        for _ in range(rounds):
            self._server.wait(0)
            taken, driver_s, _ = self._run(work, where, EMPTY)
            found.start_ups.append(taken)
            found.idle_drivers.append(driver_s)
            self._server.wait(work.latency_ms)
            try:
                taken, driver_s, span = self._run(work, where, work.bucket)
                found.runs.append(taken)
                found.drivers.append(driver_s)
                found.spans += span
            finally:
                self._server.wait(0)
        print("  ".join(found.cells), file=sys.stderr, flush=True)
        return found

    def _run(self, work: Work, where: str, bucket: Bucket) -> tuple[Taken, float, list[float]]:
        """Returns what all processes took, the CPU seconds of the engine's own, and the seconds that its ledger spans."""
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        home = folder / "home"
        home.mkdir(parents=True)
        container = f"run{self._runs}"
        params = {"source": f"s3://{bucket.name}/", "formats": ["any"], "run_on": "local" if where == "local" else "spark", **work.params}
        if work.engine == "migrate":
            params |= {"target": f"abfss://{container}@{ACCOUNT}/", "allow_empty": True}
        job_id = "01BENCH" + hashlib.md5(container.encode()).hexdigest().upper()[:19]
        order = folder / "order.json"
        order.write_text(json.dumps({"job": {"id": job_id, "params": params}, "folder": str(folder), "attempt": 1}))
        spark = {} if where == "local" else self._cluster.variables(SPARK_EXECUTOR_CORES="1", SPARK_CORES_MAX=where[0])
        environment = {**self._server.environment(), **spark, "PORTAL_HOME": str(home)}
        pids = [child.process.pid for child in (self._cluster.master, *self._cluster.workers)]
        with taking(*pids) as taken:
            run = measured(Command([sys.executable, "-m", f"engines.{work.engine}", "--job-fd", "0"], environment, order), folder)
        self._check(work, bucket, container, folder, run.code)
        self._server.forget(container)
        span = _span(folder / LEDGER_FILE) if bucket.count and work.engine == "migrate" else []
        shutil.rmtree(folder)
        return taken, run.cpu_s, span

    def _check(self, work: Work, bucket: Bucket, container: str, folder: Path, code: int) -> None:
        """Raises RuntimeError when the work was not done, all of it, once."""
        path = folder / "result-1.json"
        counts = json.loads(path.read_text())["counts"] if path.exists() else {}
        done = counts.get("copied" if work.engine == "migrate" else "objects", 0)
        there = self._server.container(container) if work.engine == "migrate" else {"blobs": bucket.count, "committed_again": 0}
        if code or done != bucket.count or there["blobs"] != bucket.count or there["committed_again"]:
            raise RuntimeError(f"{work.name}: {done:,} of {bucket.count:,} done, at the sink {there}, exit code {code}. It said:\n{told(folder)}")


def _span(path: Path) -> list[float]:
    times = pq.read_table(path, columns=["started_at", "finished_at"])
    return [(pc.max(times["finished_at"]).as_py() - pc.min(times["started_at"]).as_py()).total_seconds()]


def compared(lines: Sequence[Line]) -> Iterator[Figure]:
    """How much faster two executors are than one, for each work; the goal is for those that are far away."""
    of = {(line.work.name, line.where): line for line in lines}
    for work in dict.fromkeys(line.work.name for line in lines):
        one, two = of[work, PLACES[1]], of[work, PLACES[2]]
        ratio = one.wall_s / two.wall_s
        goal = GOAL if two.work.latency_ms and two.work.engine == "migrate" else None
        yield Figure(
            f"{work}: 2 executors against 1", f"{two.wall_s:.1f} s ({one.wall_s:.1f} s)", f"≥ {goal:g} × as fast" if goal else "", ratio,
            ratio >= goal if goal else None, Taken(two.wall_s, two.cpu_s),
        )  # fmt: skip


def limits(lines: Sequence[Line]) -> Iterator[str]:
    """What holds each work back: the processors of this machine, or waiting for answers."""
    processors = os.cpu_count() or 1
    for line in lines:
        busy = line.cpu_s / line.wall_s
        why = "processors" if busy > processors * 0.7 else "waiting for answers" if busy < processors * 0.4 else "both"
        yield f"{line.work.name}, {line.where}: {busy:.1f} of {processors} processors busy without the server: limited by {why}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.spark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little work: a look, no measurement")
    parser.add_argument("--latency", type=int, default=50, metavar="MS", help="milliseconds that each answer of both ends comes later (default: 50)")
    parser.add_argument("--rounds", type=int, default=1, help="how often each is run; figures are medians (default: 1)")
    parser.add_argument("--only", choices=("migrate", "list"), help="only this engine")
    parser.add_argument("--folder", type=Path, help="folder on the disk for journals and ledgers (default: the system's for temporary files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    asked = parser.parse_args()
    began = time.monotonic()
    chosen = [work for work in works(asked.quick, asked.latency) if asked.only in (None, work.engine)]
    buckets = list(dict.fromkeys([EMPTY, *(work.bucket for work in chosen)]))
    with tempfile.TemporaryDirectory(dir=asked.folder) as on_disk, tempfile.TemporaryDirectory(dir=memory_folder()) as in_memory:
        data = Path(in_memory) / "known-bytes"
        make_data(data)
        (Path(on_disk) / "cluster").mkdir()
        try:
            with serving(Path(on_disk), buckets, data) as server, cluster(Path(on_disk) / "cluster", workers=2) as workers:
                bench = Bench(server, workers, Path(on_disk))
                lines = [bench.line(work, where, asked.rounds) for work in chosen for where in PLACES]
        except NoCompiler as error:
            print(error, file=sys.stderr)
            return 1
    found = list(compared(lines))
    print(f"{platform.platform()}, {os.cpu_count()} processors, Python {platform.python_version()}\n")
    print(figures(found))
    print(f"\nwithout the start-up, medians of {asked.rounds}")
    print(table(_HEAD, [line.cells for line in lines], right=range(2, 8)))
    print("\n" + "\n".join(limits(lines)))
    print(f"\n{time.monotonic() - began:.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(figure) for figure in found], indent=1))
    return 0 if all(figure.reached is not False for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
