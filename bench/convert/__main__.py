"""Runs the comparison: `make bench-convert`, or `python -m bench.convert [--quick] [--only WORK] [--rounds N] [--data DIR] [--json FILE]`.

Files are made once and kept in `--data` (two gigabytes; default: a folder of the system's for temporary files). Rounds of all contenders take turns,
each run is a process of its own; figures are medians, without the start-up (what a file of a few rows takes). `--quick` takes a minute and measures
nothing that can be trusted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.convert import correctness
from bench.convert.data import WORKS, Work
from bench.convert.verdicts import PEERS, Line, figures_of
from bench.queue.measuring import ROOT
from bench.queue.table import Figure, figures, table
from bench.transfer.measuring import Command, Run, measured, told

TITLES = {
    "ours-unproved": "ours, inference and strict writing", "ours": "ours, with the whole proof", "duckdb": "DuckDB COPY",
    "polars": "polars sink_parquet", "pyarrow": "pyarrow streaming", "pandas": "pandas chunks",
}  # fmt: skip
_HEAD = ("work", "who", "wall s", "CPU s", "start-up s", "peak MiB", "output MiB", "MiB/s", "wall / best peer")
_TINY_ROWS = 20


@dataclass
class Bench:
    """What is measured, and what was found."""

    folder: Path
    data: Path
    rounds: int
    quick: bool
    who: Sequence[str]
    lines: list[Line] = field(default_factory=list)
    found: list[Figure] = field(default_factory=list)
    outcomes: list[correctness.Outcome] = field(default_factory=list)

    def work(self, work: Work) -> None:
        """Let everybody convert a file, by turns. Who cannot is told, and runs no more."""
        source, tiny = work.path(self.data, work.quick_rows if self.quick else work.rows), work.path(self.data, _TINY_ROWS)
        _read_once(source)
        lines = {name: Line(work.title, name, TITLES[name], source.stat().st_size) for name in self.who}
        for _ in range(self.rounds):
            for line in lines.values():
                if not line.error:
                    self._run(line, tiny, line.starts)
                    self._run(line, source, line.runs)
        self.lines += lines.values()
        self.found += figures_of(work.title, lines)

    def _run(self, line: Line, source: Path, runs: list[Run]) -> None:
        place = self.folder / "run"
        place.mkdir()
        target = place / "out.parquet"
        run = measured(Command([sys.executable, "-m", "bench.convert.contender", line.name, str(source), str(target)], {}), place)
        if run.code or not target.exists():
            line.error = told(place).strip().rpartition("\n")[2][:150] or f"ended with {run.code}"
        else:
            runs.append(run)
            line.output_bytes = target.stat().st_size
        _say(f"{line.work}, {line.title}, {source.stat().st_size >> 20} MiB: {line.error or _short(run)}")
        shutil.rmtree(place)

    def correct(self) -> None:
        names = [("ours", TITLES["ours"]), *((name, TITLES[name]) for name in PEERS if name in self.who)]
        for outcome in correctness.outcomes(self.folder / "hard", names):
            self.outcomes.append(outcome)
            _say(f"hard files, {outcome.who}: {len(outcome.silent)} changed, lost or taken though broken, of {len(outcome.verdicts)}")
        ours = self.outcomes[0]
        self.found.append(Figure("hard files: changed, lost or taken though broken", str(len(ours.silent)), "0", None, not ours.silent))

    def tell(self) -> None:
        print(figures(self.found))
        if self.lines:
            print(f"\nside by side, medians of {self.rounds} rounds, each a process of its own, what a file of a few rows takes taken off, zstd")
            print(table(_HEAD, [_cells(line, self.lines) for line in self.lines], right=range(2, 9)))
        if self.outcomes:
            print("\nhard files, each reader as it comes (told the delimiter): value by value")
            print(table(correctness.HEAD, [outcome.cells for outcome in self.outcomes], right=range(1, 7)))


def _cells(line: Line, lines: list[Line]) -> tuple[str, ...]:
    if not line.runs:
        return (line.work, line.title, "failed", "", "", "", "", "", line.error[:80])
    net, start = line.net, line.start_up
    best = min((other.net.wall_s for other in lines if other.work == line.work and other.name in PEERS and other.runs), default=0.0)
    return (
        line.work, line.title, f"{net.wall_s:.2f}", f"{net.cpu_s:.2f}", f"{start.wall_s:.2f}", f"{net.peak_bytes / 2**20:,.0f}",
        f"{line.output_bytes / 2**20:,.1f}", f"{line.source_bytes / 2**20 / net.wall_s:,.0f}", f"{net.wall_s / best:.2f}" if best else "",
    )  # fmt: skip


def _read_once(path: Path) -> None:
    """Nobody shall be the one who waits for the disk."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def _short(run: Run) -> str:
    return f"{run.wall_s:.2f} s, {run.cpu_s:.2f} s CPU, {run.peak_bytes >> 20} MiB"


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _about() -> str:
    known = "unknown"
    with suppress(OSError, subprocess.CalledProcessError):
        known = subprocess.run(["git", "log", "-1", "--format=%h %s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    kernel = subprocess.run([sys.executable, "-c", _KERNEL], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    names = ", ".join(f"{name} {_version(name)}" for name in ("duckdb", "polars", "pyarrow", "pandas"))
    return f"{known}\nPython {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {names}; our kernel: {kernel}\n"


_KERNEL = "from portal.native import library; print('there' if library.library() else library.absence())"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small files, one round: a look, no measurement")
    parser.add_argument("--rounds", type=int, help="how often each contender runs (default: 5)")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "bench-convert-data", help="where the files are kept")
    parser.add_argument("--folder", type=Path, help="folder that results are written in, and removed (default: the system's for temporary files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", action="append", choices=[*WORKS, "correct"], help="one part alone; may be given several times")
    parser.add_argument("--who", action="append", choices=list(TITLES), help="this contender alone; may be given several times")
    given = parser.parse_args()
    began = time.monotonic()
    print(_about(), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-convert-", dir=given.folder) as folder:
        bench = Bench(Path(folder), given.data, given.rounds or (1 if given.quick else 5), given.quick, given.who or list(TITLES))
        for name in given.only or [*WORKS, "correct"]:
            if name == "correct":
                bench.correct()
            else:
                bench.work(WORKS[name])
    bench.tell()
    print(f"\nin {time.monotonic() - began:.0f} s")
    if given.json:
        known = {name: [asdict(item) for item in getattr(bench, name)] for name in ("found", "lines", "outcomes")}
        given.json.write_text(json.dumps(known, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
