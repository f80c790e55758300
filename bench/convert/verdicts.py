"""Ours against the best of the others: the goals, and whether they are reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench.queue.table import Figure
from bench.transfer.measuring import Run, middle_of

PEERS = ("duckdb", "polars", "pyarrow", "pandas")
_WRITING, _PROVED, _LARGER = 1.2, 2.5, 1.05


@dataclass
class Line:
    """One contender's runs of one piece of work."""

    work: str
    name: str
    title: str
    source_bytes: int
    runs: list[Run] = field(default_factory=list)
    starts: list[Run] = field(default_factory=list)
    """Runs over a file of a few rows: the interpreter, imports, threads."""
    output_bytes: int = 0
    error: str = ""

    @property
    def start_up(self) -> Run:
        return middle_of(self.starts)

    @property
    def net(self) -> Run:
        """The median without the start-up; the memory is that of all."""
        return middle_of(self.runs).without(self.start_up)


def figures_of(work: str, lines: Mapping[str, Line]) -> Iterator[Figure]:
    """Yield the verdicts of one piece of work; none where we or all others failed."""
    peers = [lines[name] for name in PEERS if name in lines and lines[name].runs]
    for name, goal in (("ours-unproved", _WRITING), ("ours", _PROVED)):
        ours = lines.get(name)
        if ours is None:
            continue
        if not ours.runs:
            yield Figure(f"{work}: {ours.title}", f"failed: {ours.error[:60]}", "", None, False)
        elif peers:
            yield from _compared(ours, peers, goal)


def _compared(ours: Line, peers: list[Line], goal: float) -> Iterator[Figure]:
    fastest = min(peers, key=lambda line: line.net.wall_s)
    yield _figure(f"{ours.work}: {ours.title}", f"{ours.net.wall_s:.2f} s", fastest, ours.net.wall_s / fastest.net.wall_s, goal)
    if ours.name == "ours":
        largest = max((line for line in peers if line.name in ("duckdb", "polars")), key=lambda line: line.net.peak_bytes, default=fastest)
        peak = ours.net.peak_bytes
        yield _figure(f"{ours.work}: peak memory", f"{peak / 2**20:,.0f} MiB", largest, peak / largest.net.peak_bytes, 1.0)
        smallest = min(peers, key=lambda line: line.output_bytes)
        yield _figure(
            f"{ours.work}: output", f"{ours.output_bytes / 2**20:,.1f} MiB", smallest, ours.output_bytes / smallest.output_bytes, _LARGER
        )  # fmt: skip


def _figure(what: str, ours: str, peer: Line, ratio: float, goal: float) -> Figure:
    return Figure(what, ours, f"≤ {goal:g} × {peer.title}", ratio, ratio <= goal)
