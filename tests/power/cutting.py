"""Tracing a scenario, cutting the power at every moment of it, recovering from every disk, and counting."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from portal import vault
from portal.jobs import ID_PATTERN, Job
from portal.settings import Settings
from portal.spool import Spool
from tests.faults.calls import Call
from tests.faults.tracer import trace
from tests.power.machine import put, quiet, rebooted, recover
from tests.power.promises import Recovered, Story
from tests.power.scenarios import Act, Scenario, Stage
from tests.power.states import MOST, Cut, Disk, cut
from tests.power.traced import Note, Notebook, Replay, differs, notes
from tests.power.volume import Volume

LEFTOVERS = ("queue/tmp", "archive/.tmp", "queue/locks", "queue/workers")


@dataclass
class Report:
    """What was done for one scenario."""

    name: str
    calls: int = 0
    moments: int = 0
    possible: int = 0
    """Disks before equal ones of one moment, and then those of moments with the same promises, are taken together."""
    disks: int = 0
    sampled: int = 0
    """Moments of which not every disk was visited."""
    faults: dict[str, str] = field(default_factory=dict)
    """What was broken, and where it was seen first."""

    def __str__(self) -> str:
        how = f"{self.sampled} moments sampled" if self.sampled else "all visited"
        return f"{self.name:28} {self.calls:4} calls {self.moments:4} moments {self.possible:7} possible {self.disks:6} disks, {how}"


@dataclass(frozen=True)
class Traced:
    """A scenario that was done once: what was on the disk and promised before, and the calls."""

    before: Volume
    notes: tuple[Note, ...]
    calls: list[Call]


@dataclass
class Lab:
    """Where scenarios are played: a folder in memory with the home and the notebook."""

    settings: Settings
    folder: Path

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Lab]:
        """A lab in memory, where there is such a file system; it is removed in the end."""
        with TemporaryDirectory(prefix="power-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
            folder = Path(name).resolve()
            yield cls(Settings(home=folder / "home", retry_base_s=600.0, min_free_mb=0, min_free_inodes=0), folder)

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def notebook(self) -> Path:
        return self.folder / "notebook"

    def play(self, scenario: Scenario, *, most: int = MOST, thorough: bool = False, enough: int = 20) -> Report:
        """Trace a scenario and recover from every disk that a power cut may leave of it.

        Args:
            most: see `cut`.
            thorough: look at each leftover alone at each moment, not only at the first at which it can be alone.
            enough: stop at a moment by which so many different faults were found.
        """
        report = Report(scenario.name)
        seen: set[tuple[Disk, int]] = set()
        met: set[Hashable] | None = None if thorough else set()
        traced = self.traced(scenario)
        replay = Replay(traced.before, self.home, self.notebook, list(traced.notes))
        with rebooted():
            for call in replay.steps(traced.calls):
                report.calls = replay.operations
                for problem, where in self._cut(replay, call, report, seen, partial(cut, leftovers=LEFTOVERS, most=most, met=met)):
                    report.faults.setdefault(_nameless(problem), f"{problem}\n{where}")
                if len(report.faults) >= enough:
                    break
        return report

    def traced(self, scenario: Scenario) -> Traced:
        """Do a scenario, really, and make sure that the model ends with what is really there."""
        self._begin(scenario)
        jobs = scenario.jobs()
        for act in scenario.before:
            self._do(act, jobs)
        found = Traced(Volume.of(self.home), tuple(notes(self.notebook)), [])
        mirror = Replay(Volume.of(self.home), self.home, self.notebook)
        for act in scenario.acts:
            calls = trace(partial(self._do, act, jobs), within=self.folder)
            found.calls.extend(calls)
            for _ in mirror.steps(calls):
                pass
        wrong = differs(mirror.volume, self.home)
        assert not wrong, f"the model does not know what became of {wrong}"
        return found

    def _do(self, act: Act, jobs: list[Job]) -> None:
        with quiet(), Notebook(self.notebook) as notebook:
            act(Stage(self.settings, notebook, jobs))

    def _begin(self, scenario: Scenario) -> None:
        """An empty home with all its folders, durably. The reserve is there and small."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.notebook.unlink(missing_ok=True)
        (self.home / "queue/reserve").mkdir(parents=True)
        (self.home / "queue/reserve/space").touch()
        Spool(self.settings)
        if scenario.has_keys:
            vault.ensure_keys(self.settings)

    def _cut(
        self, replay: Replay, call: Call, report: Report, seen: set[tuple[Disk, int]], looking: Callable[[Volume], Cut],
    ) -> Iterator[tuple[str, str]]:  # fmt: skip
        found = looking(replay.volume)
        report.moments += 1
        report.possible += found.possible
        report.sampled += found.sampled
        story = Story.of(replay.notes)
        for disk in found.disks:
            if (disk, len(replay.notes)) in seen:
                continue
            seen.add((disk, len(replay.notes)))
            report.disks += 1
            for problem in self.recovered(disk, story):
                yield problem, f"  cut after call {replay.operations}, {_told(call, self.home)}\n{_difference(replay.volume, disk)}"

    def recovered(self, disk: Disk, story: Story) -> list[str]:
        """Put a disk in, let a worker recover, and say which promises are broken."""
        put(disk, self.home)
        engines, stuck = recover(self.settings)
        return list(Recovered(self.settings, story, disk, engines, stuck).broken())


def _nameless(problem: str) -> str:
    """The same for every job."""
    return re.sub(rf"{ID_PATTERN.pattern}|[0-9a-f]{{12,64}}", "…", problem)


def _told(call: Call, home: Path) -> str:
    return str(call).replace(f"{home}/", "")


def _difference(volume: Volume, disk: Disk) -> str:
    """What the disk has otherwise than the programs saw it."""
    content = disk.content
    lines = []
    for path in sorted({*volume.entries, *content, *disk.folders}):
        inode = volume.inodes[volume.entries[path]] if path in volume.entries else None
        if inode and inode.is_folder:
            lines += [] if path in disk.folders else [f"  no folder {path}"]
        elif path not in content:
            lines.append(f"  no file {path}")
        elif inode is None:
            lines.append(f"  still {path}")
        elif content[path] != inode.content:
            lines.append(f"  {path} holds {len(content[path])} of {len(inode.content)} bytes: {content[path][:40]!r}")
    return "\n".join(lines)
