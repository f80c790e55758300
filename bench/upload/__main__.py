"""Runs the comparison: `make bench-upload`, or `python -m bench.upload [--quick] [--only ROW] [--json FILE]`.

Files and what the servers keep lie in memory; what the contestants write for themselves (journals, ledgers) on the disk that `--folder` names.
Contestants take turns, each run is a fresh process, figures are medians. What an empty folder takes (the interpreter, imports, sign-in) is
measured beside each run and told apart; verdicts are given with it and without. After each run every object is held to its file: read again
from SeaweedFS; the null server keeps no bytes, so there its size and the checksums that came with it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.queue.measuring import ROOT, Taken
from bench.queue.table import Figure, figures, table
from bench.transfer.measuring import Run, measured, middle_of, told
from bench.transfer.null_server import NoCompiler, memory_folder
from bench.transfer.racing import WrongResult, say
from bench.upload import files
from bench.upload.contestants import Aws, Contestant, Ours, Rclone, S5cmd, Task, installed_aws
from bench.upload.files import Files
from bench.upload.targets import Target, null_target, weed_target

ROWS = ("small-null", "large-null", "small-weed", "large-weed")


@dataclass
class Line:
    """One contestant's runs of one piece of work, and of an empty folder."""

    row: str
    who: str
    files: Files
    runs: list[Run] = field(default_factory=list)
    start_ups: list[Run] = field(default_factory=list)
    said: str = ""

    @property
    def whole(self) -> Run:
        return middle_of(self.runs)

    @property
    def start_up(self) -> Run:
        return middle_of(self.start_ups)

    @property
    def net(self) -> Run:
        """The median without the start-up."""
        return self.whole.without(self.start_up)

    def seconds(self, *, net: bool, wall: bool) -> float:
        run = self.net if net else self.whole
        return run.wall_s if wall else run.cpu_s

    @property
    def cells(self) -> tuple[str, ...]:
        run, start, net = self.whole, self.start_up, self.net
        rate, mib_s = self.files.count / net.wall_s, self.files.total_bytes / 2**20 / net.wall_s
        times = " ".join(f"{one.wall_s:.2f}" for one in self.runs)
        return (
            self.row, self.who, f"{run.wall_s:.2f}", f"{run.cpu_s:.2f}", f"{start.wall_s:.2f}", f"{start.cpu_s:.2f}", f"{net.wall_s:.2f}",
            f"{net.cpu_s:.2f}", f"{rate:,.0f}", f"{mib_s:,.0f}", f"{run.peak_bytes / 2**20:,.0f}", times, self.said,
        )  # fmt: skip


_HEAD = (
    "work", "who", "wall s", "CPU s", "start-up s", "its CPU s", "net wall s", "net CPU s", "objects/s", "MiB/s", "peak MiB", "each run, wall s",
    "proof",
)  # fmt: skip


class Bench:
    """The rows of the comparison, and what they found."""

    def __init__(self, folder: Path, memory: Path, rounds: int, sizes: Sequence[Files], contestants: Sequence[Contestant]) -> None:
        self.folder, self.memory, self.rounds, self.contestants = folder, memory, rounds, contestants
        self.sizes = {one.name: one for one in sizes}
        self.lines: list[Line] = []
        self.found: list[Figure] = []
        self.failed: list[str] = []
        self._runs = 0

    def row(self, name: str, target: Target) -> None:
        """Measure one row; a contestant that fails is told and does not end it."""
        work = self.sizes[name.partition("-")[0]]
        row = f"{work.title} → {target.title}"
        lines = {one.name: Line(row, one.title, work) for one in self.contestants}
        if target.keeps and len(self.contestants) > 1:
            self._run(self.contestants[1], target, work)  # who writes first to a fresh server waits twice as long: not counted
        for number in range(self.rounds):
            for one in [one for one in self.contestants if one.name in lines]:
                try:
                    self._round(one, target, lines[one.name], first=not number)
                except (WrongResult, RuntimeError) as error:
                    self.failed.append(f"{row}, {one.title}: {error}")
                    del lines[one.name]
        self.lines += lines.values()
        self._judge(row, lines)

    def _round(self, one: Contestant, target: Target, line: Line, *, first: bool) -> None:
        """A run, and before it one that finds nothing to do; raises WrongResult, RuntimeError."""
        if first:
            self._run(one, target, files.EMPTY)  # compiles, and fills the caches
        line.start_ups.append(self._run(one, target, files.EMPTY))
        run = self._run(one, target, line.files, line)
        line.runs.append(run)
        say(f"{line.row}, {one.title}: {run.wall_s:.2f} s, {run.cpu_s:.2f} s CPU, {run.peak_bytes >> 20} MiB")

    def _run(self, one: Contestant, target: Target, work: Files, line: Line | None = None) -> Run:
        """One upload into a bucket of its own, every object looked at afterwards. Raises WrongResult."""
        self._runs += 1
        with target.bucket(f"upload-{work.name}-{self._runs}") as bucket:
            task = Task(target, bucket, work, self.memory / work.name, self.folder / bucket)
            run = measured(one.command(task), task.folder)
            if run.code:
                raise WrongResult(f"it ended with {run.code}. It said:\n{told(task.folder)}")
            said = one.said(task)
            target.look(bucket, work, task.source)
        if line:
            line.said = said
        shutil.rmtree(task.folder, ignore_errors=True)
        return run

    def _judge(self, row: str, lines: dict[str, Line]) -> None:
        peers = [line for name, line in lines.items() if name != Ours.name]
        if Ours.name not in lines or not peers:
            return
        ours, taken = lines[Ours.name], Taken(lines[Ours.name].whole.wall_s, lines[Ours.name].whole.cpu_s)
        for what, net in (("without start-up", True), ("start-up included", False)):
            for title, wall in (("wall", True), ("client CPU", False)):
                best = min(peers, key=lambda line: line.seconds(net=net, wall=wall))
                mine, peer = ours.seconds(net=net, wall=wall), best.seconds(net=net, wall=wall)
                told = f"{mine:.2f} s ({best.who}: {peer:.2f} s)"
                goal, reached = ("≥ the best", peer >= mine) if wall else ("", None)
                self.found.append(Figure(f"{row}: {title}, {what}", told, goal, peer / mine, reached, taken))

    def tell(self) -> None:
        print(figures(self.found))
        print(f"\nside by side, medians of {self.rounds} whole runs")
        print(table(_HEAD, [line.cells for line in self.lines], right=range(2, 11)))
        for text in self.failed:
            print(f"\nFAILED {text}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.upload", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and small files, one round: a look, no measurement")
    parser.add_argument("--rounds", type=int, help="how often each contestant runs (default: 5)")
    parser.add_argument("--folder", type=Path, help="folder on the disk that journals and ledgers go to (default: the system's for temporary files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", action="append", metavar="ROW", choices=ROWS, help=f"one row alone; may be given several times: {', '.join(ROWS)}")
    parser.add_argument("--without", action="append", metavar="WHO", default=[], choices=("aws", "rclone", "s5cmd"), help="leave one out")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        bench = _measured(given)
    except NoCompiler as error:
        print(f"bench-upload: {error}", file=sys.stderr)
        return 2
    bench.tell()
    print(f"\nin {time.monotonic() - began:.0f} s")
    if given.json:
        lines = [asdict(line) for line in bench.lines]
        given.json.write_text(json.dumps({"figures": [asdict(item) for item in bench.found], "lines": lines, "failed": bench.failed}, indent=1))
    return 1 if bench.failed else 0


def _measured(given: argparse.Namespace) -> Bench:
    sizes = (files.QUICK_SMALL, files.QUICK_LARGE) if given.quick else (files.SMALL, files.LARGE)
    with tempfile.TemporaryDirectory(prefix="bench-upload-", dir=given.folder) as disk, _memory() as room:
        folder, memory = Path(disk), Path(room)
        # Where compiled modules may not be kept beside the sources, each start would pay for compiling them: no installation does.
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for one in (*sizes, files.EMPTY):
            one.make(memory / one.name)
        bench = Bench(folder, memory, given.rounds or (1 if given.quick else 5), sizes, _contestants(given.without))
        print(_about(bench.contestants), flush=True)
        rows = given.only or ROWS
        if null := [row for row in rows if row.endswith("-null")]:
            with null_target(memory) as target:
                for row in null:
                    bench.row(row, target)
        if weed := [row for row in rows if row.endswith("-weed")]:
            with weed_target(memory) as target:
                for row in weed:
                    bench.row(row, target)
    return bench


def _memory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="bench-upload-", dir=memory_folder())


def _contestants(without: Sequence[str]) -> list[Contestant]:
    aws = [] if "aws" in without else [Aws(installed_aws(ROOT / ".venv" / "awscli"))]
    peers = [one for one in (S5cmd(), Rclone()) if one.name not in without]
    return [Ours(), *peers, *aws]


def _about(contestants: Sequence[Contestant]) -> str:
    machine = f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, plain HTTP over loopback"
    return "\n".join([machine, *(one.versions() for one in contestants)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
