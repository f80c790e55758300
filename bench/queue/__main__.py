"""Runs the comparison: `make bench-queue`, or `python -m bench.queue [--quick] [--folder DIR] [--json FILE]`.

Everything lies in a temporary folder, on the disk that `--folder` names: what is measured is mostly how long that disk takes to say that
it has written. Rounds of all queues take turns. The whole run takes less than ten minutes on two cores, `--quick` less than 90 seconds.
"""
# ruff: noqa: A005 - see the package

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.queue import crash, promises, redis_server, scale, speed
from bench.queue.contenders import NAMES, load
from bench.queue.measuring import ROOT, end_strays
from bench.queue.table import Figure, figures, rate, table
from portal import processes


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    submits: int
    through_rounds: int
    through: dict[str, int]
    """No-op jobs a round: ours, a forking peer, any other peer."""
    starts: int
    warm: int
    cold: int
    claims: int
    waiting: int
    archived: int
    page_waiting: int
    crashes: int
    patience_s: float


FULL = Size(
    rounds=5, submits=300, through_rounds=3, through={"portal": 100, "rq": 200, "peer": 1000}, starts=20, warm=200, cold=30, claims=1000,
    waiting=100_000, archived=100_000, page_waiting=10_000, crashes=3, patience_s=5.0,
)  # fmt: skip
QUICK = Size(
    rounds=3, submits=100, through_rounds=1, through={"portal": 20, "rq": 30, "peer": 200}, starts=8, warm=20, cold=5, claims=100,
    waiting=10_000, archived=5_000, page_waiting=1_000, crashes=1, patience_s=2.0,
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shorter queues: a look, no measurement")
    parser.add_argument("--folder", type=Path, help="folder on the disk to measure (default: the system's for temporary files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", choices=sorted(PARTS), action="append", help="one part alone; may be given several times")
    given = parser.parse_args()
    names = [name for name in NAMES if name != "rq" or redis_server.available()]
    if "rq" not in names:
        print(f"There is no redis-server, so RQ is left out. Install it with:\n  {redis_server.HOW}\n", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes.become_subreaper()
    began = time.monotonic()
    with _folder(given.folder) as root:
        print(_about(root), flush=True)
        bench = Bench(root, QUICK if given.quick else FULL, names)
        for part in given.only or PARTS:
            begun = time.monotonic()
            getattr(bench, part)()
            print(f"── {part}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    bench.tell()
    print(f"\nin {time.monotonic() - began:.0f} s")
    if given.json:
        given.json.write_text(json.dumps([asdict(item) for item in bench.found], indent=1))
    return 0


@contextmanager
def _folder(where: Path | None) -> Iterator[Path]:
    """A temporary folder; whatever was started is ended before it goes."""
    with tempfile.TemporaryDirectory(prefix="bench-queue-", dir=where) as folder:
        try:
            yield Path(folder)
        finally:
            end_strays()


def _about(root: Path) -> str:
    kind = subprocess.run(["stat", "-f", "-c", "%T", root], capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    version = "unknown"
    with suppress(OSError, subprocess.CalledProcessError):
        version = subprocess.run(["git", "log", "-1", "--format=%h %s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    load_1 = os.getloadavg()[0]
    return f"{version}\nPython {platform.python_version()}, {os.cpu_count()} cores, load {load_1:.1f}, {kind} file system\n"


class Bench:
    """The parts of the comparison, and what they found."""

    def __init__(self, root: Path, size: Size, names: list[str]) -> None:
        self.root, self.size, self.names = root, size, names
        self.found: list[Figure] = []
        self.submits: dict[str, speed.Rounds] = {}
        self.through: dict[tuple[str, str], speed.Rounds] = {}
        self.promises: list[promises.Promise] = []

    def _add(self, items: Iterable[Figure]) -> None:
        for item in items:
            self.found.append(item)
            print(f"  {item.what}: {item.ours}", file=sys.stderr, flush=True)

    def submitting(self) -> None:
        self.submits = speed.submits(self.root / "submits", self.names, self.size.submits, self.size.rounds)
        self._add([speed.submit_figure(self.submits)])

    def latency(self) -> None:
        goal_s = 0.050
        self._add(speed.latency_figures("warm", speed.latencies(self.root / "warm", self.size.warm), goal_s))
        self._add(speed.latency_figures("cold", speed.latencies(self.root / "cold", self.size.cold, PORTAL_WARM="0"), None))

    def throughput(self) -> None:
        counts = self.size.through
        wanted = [(name, kind, counts.get(name, counts["peer"])) for name in self.names for kind in load(name).kinds]
        self.through = speed.through(self.root / "through", wanted, self.size.starts, self.size.through_rounds)
        self._add([speed.through_figure(self.through)])

    def claims(self) -> None:
        self._add(scale.claim_figures(*scale.claims(self.root / "claims", self.size.waiting, self.size.claims), self.size.waiting))

    def memory(self) -> None:
        self._add(scale.memory(self.root / "memory", self.size.waiting))

    def crashes(self) -> None:
        self._add(crash.figures(self.root / "crashes", self.size.crashes))

    def pages(self) -> None:
        self._add(scale.pages(self.root / "pages", self.size.archived, self.size.page_waiting, 60))

    def kept(self) -> None:
        self.promises = list(promises.look(self.root / "promises", self.names, self.size.patience_s))

    def tell(self) -> None:
        """Print the tables."""
        print(figures(self.found))
        if self.submits or self.through:
            counts = f"{self.size.rounds} rounds of enqueueing, {self.size.through_rounds} of running through with 2 workers"
            print(f"\nside by side, medians of {counts}; CPU for each job, of all processes, the server's too")
            head = ("queue", "a job runs in", "enqueue", "CPU ms", "through", "CPU ms")
            print(table(head, list(self._side_by_side()), right=(2, 3, 4, 5)))
        if self.promises:
            print("\nwhat each promises, tried")
            print(table(promises.HEAD, [item.cells for item in self.promises]))

    def _side_by_side(self) -> Iterator[tuple[str, ...]]:
        yield ("bare loop", "a fresh interpreter", *_cells(self.submits.get("bare")), *_cells(self.through.get(("bare", ""))))
        for name in self.names:
            for kind in load(name).kinds:
                first = kind == load(name).kinds[0]
                yield (
                    load(name).title if first else "", kind,
                    *_cells(self.submits.get(name) if first else None), *_cells(self.through.get((name, kind))),
                )  # fmt: skip


def _cells(rounds: speed.Rounds | None) -> tuple[str, str]:
    return (rate(rounds.a_second), f"{rounds.cpu_ms:.2f}") if rounds else ("", "")


PARTS = ("submitting", "latency", "throughput", "claims", "memory", "crashes", "pages", "kept")

if __name__ == "__main__":
    sys.exit(main())
