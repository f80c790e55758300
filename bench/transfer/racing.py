"""Rounds of contestants by turns over the same work, and what came of each; every run is checked at the sink before it counts."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.transfer.contestants import Contestant, Ours, Place, Task
from bench.transfer.measuring import Run, measured, middle_of, told
from bench.transfer.null_server import Bucket, NullServer

_COUNTED = {
    "s3_list": "list", "s3_head": "HEAD", "s3_get": "GET", "list_blobs": "List Blobs", "head_blob": "HEAD blob", "put_blob": "Put Blob",
    "put_block": "Put Block", "put_block_list": "Put Block List", "get_block_list": "Get Block List", "from_url": "From URL",
}  # fmt: skip


class WrongResult(RuntimeError):
    """A contestant did not do the work: what it took would mean nothing."""


@dataclass
class Line:
    """One contestant's runs of one piece of work, and what an empty run takes it."""

    row: str
    who: str
    objects: int
    bytes: int
    start_up: Run
    runs: list[Run] = field(default_factory=list)
    requests: str = ""
    said: str = ""

    @property
    def whole(self) -> Run:
        return middle_of(self.runs)

    @property
    def net(self) -> Run:
        """The median without the start-up."""
        return self.whole.without(self.start_up)

    @property
    def a_second(self) -> float:
        return self.objects / self.net.wall_s

    @property
    def cpu_us(self) -> float:
        """CPU microseconds an object."""
        return self.net.cpu_s * 1e6 / self.objects


@dataclass
class Track:
    """Where it runs: the ends, a folder on the disk, one in memory, and what is known of start-ups already."""

    server: NullServer
    folder: Path
    memory: Path
    rounds: int
    lines: list[Line] = field(default_factory=list)
    start_ups: dict[tuple[str, str], Run] = field(default_factory=dict)
    empty: Bucket = field(default_factory=lambda: Bucket("empty", 0, 0))

    def place(self, tls: bool = False) -> Place:
        url = self.server.tls_url if tls else self.server.url
        return Place(url, f"{url}/benchaccount", ca_file=str(self.server.ca_file) if tls else "")

    def start_up(self, one: Contestant, place: Place) -> Run:
        """What a run takes that finds nothing: the median of as many as there are rounds, after one that is not counted."""
        if not one.start_up_apart:
            return Run(0.0, 0.0)
        kind = one.name.partition("-")[0]
        if (kind, place.s3_url) not in self.start_ups:
            tasks = [Task(place, self.empty, "empty", self.folder / f"empty-{kind}-{number}") for number in range(self.rounds + 1)]
            found = middle_of([self.run(one, task) for task in tasks][1:])
            self.start_ups[kind, place.s3_url] = found
            say(f"{kind}: start-up {found.wall_s:.2f} s, {found.cpu_s:.2f} s CPU")
        return self.start_ups[kind, place.s3_url]

    def run(self, one: Contestant, task: Task, *, until: Callable[[], bool] | None = None) -> Run:
        """Run once. Raises WrongResult when it says that it failed (unless it was killed)."""
        run = measured(one.command(task), task.folder, until=until)
        if run.code and run.code != -9:
            raise WrongResult(f"{one.title} ended with {run.code}. It said:\n{told(task.folder)}")
        return run


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"  {text}", file=sys.stderr, flush=True)


def race(track: Track, row: str, starters: Sequence[tuple[Contestant, Bucket]], *, tls: bool = False, **options: object) -> dict[str, Line]:
    """Full copies into empty containers, contestants by turns; each is checked at the sink.

    Args:
        row: what the lines are called in the table.
        options: parameters for our engine.
    """
    place = track.place(tls)
    lines = {one.name: Line(row, one.title, bucket.count, bucket.total_bytes, track.start_up(one, place)) for one, bucket in starters}
    for number in range(track.rounds):
        for one, bucket in starters:
            container = f"c{len(track.lines)}r{number}{one.name}"
            task = Task(place, bucket, container, track.folder / container, options=options)
            lines[one.name].runs.append(copied(track, one, task, lines[one.name]))
            track.server.forget(container)
            shutil.rmtree(task.folder, ignore_errors=True)
    track.lines += lines.values()
    return lines


def copied(track: Track, one: Contestant, task: Task, line: Line) -> Run:
    """One full copy, checked: every object is in the container, none was written twice."""
    track.server.zero()
    run = track.run(one, task)
    check(track, task, task.bucket.count, one)
    counters = track.server.counters()
    line.requests = ", ".join(f"{counters[name]:,} {title}" for name, title in _COUNTED.items() if counters[name])
    line.said = one.said(task)
    say(f"{line.row}, {one.title}: {run.wall_s:.2f} s, {run.cpu_s:.2f} s CPU, {run.peak_bytes >> 20} MiB")
    return run


def check(track: Track, task: Task, blobs: int, one: Contestant) -> None:
    """Raises WrongResult unless the container holds so many whole objects, and our ledger agrees."""
    found = track.server.container(task.container)
    log = track.folder / "nullsrv.log"
    wanted = (blobs, blobs * task.bucket.size_bytes)
    if (found["blobs"], found["bytes"]) != wanted:
        said = f"{told(task.folder)}\n{log.read_text('utf-8', 'replace')[-500:]}"
        raise WrongResult(f"{one.title} left {found} in {task.container} instead of {wanted[0]:,} objects of {wanted[1]:,} bytes. It said:\n{said}")
    if isinstance(one, Ours):
        outcome = one.result(task).get("outcome")
        if outcome != "succeeded":
            raise WrongResult(f"{one.title} says {outcome}:\n{told(task.folder)}")
