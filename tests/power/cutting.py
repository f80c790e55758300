"""Tracing a scenario, cutting the power at every moment of it, recovering from every disk, and counting."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
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
from tests.power.states import MOST, Cut, Disk, cut, extremes, live
from tests.power.traced import Note, Notebook, Replay, differs, read_notes
from tests.power.volume import Volume

_PASSING = ("queue/tmp/", "archive/.tmp/", "queue/locks/", "queue/workers/")


@cache
def is_leftover(path: str) -> bool:
    """Tell of a path in a home whether the queue decides nothing by it: what is swept away, and of logs/ all but results and exits."""
    folder, _, name = path.rpartition("/")
    shown = folder.startswith("logs") and ("." in name and not name.startswith(("result-", "exit-")))
    return path.startswith(_PASSING) or name.startswith(".") or shown


@dataclass
class Report:
    """What was done for one scenario."""

    name: str
    calls: int = 0
    """Calls after which the power was cut: those that change something, and the notes."""
    possible: int = 0
    """Disks before equal ones of one moment, and then those of moments with the same promises, are taken together."""
    disks: int = 0
    sampled: int = 0
    """Calls after which not every disk was visited."""
    alike: int = 0
    """Disks that were left out for others that differ in the contents of leftovers alone."""
    faults: dict[str, str] = field(default_factory=dict)
    """What was broken, and where it was seen first."""

    def __str__(self) -> str:
        how = f"sampled after {self.sampled} calls" if self.sampled else "all visited"
        return f"{self.name:38} {self.calls:5} calls {self.possible:7} disks possible {self.disks:6} different, {self.alike:5} like them, {how}"


@dataclass
class Lab:
    """Where scenarios are played: a folder in memory. Each play has a home of its own, because processes remember what they know of one."""

    folder: Path
    plays: int = 0

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Lab]:
        """A lab in memory, where there is such a file system; it is removed in the end."""
        with TemporaryDirectory(prefix="power-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
            yield cls(Path(name).resolve())

    @property
    def home(self) -> Path:
        return self.folder / f"home-{self.plays}"

    @property
    def settings(self) -> Settings:
        return _settings(self.home)

    @property
    def notebook(self) -> Path:
        return self.folder / "notebook"

    def play(self, scenario: Scenario, *, most: int = MOST, thorough: bool = False, enough: int = 20) -> Report:
        """Trace a scenario and recover from every disk that a power cut may leave of it.

        Args:
            most: see `cut`.
            thorough: look at each leftover alone at each moment, not only at the first at which it can be alone, and at each with each
                content that it may have. Else of the disks with the same promises that differ in the contents of leftovers alone one is
                recovered from: the first, the last, the first, … of those that a moment has.
            enough: stop at a moment by which so many different faults were found.
        """
        jobs, volume, notes = self._begin(scenario)
        before = copy.deepcopy(volume)
        calls = [call for act in scenario.acts for call in self._traced(scenario, act, jobs, before)]
        looking = partial(cut, leftovers=is_leftover, most=most, met=None if thorough else set())
        visit = _Visit(self, Report(scenario.name), looking, thorough=thorough)
        visit.follow(Replay(volume, self.home, self.notebook, notes), calls, enough)
        return visit.report

    def play_on(self, scenario: Scenario, *, most: int = MOST, thorough: bool = False, enough: int = 20) -> Report:
        """Let the process of the first act die, that of the others go on with what it left in memory, and cut the power then.

        Args:
            thorough: let it die after each of its calls, cut the power after each of theirs and recover from every disk. Else it dies after
                each change of entries that means something, and the power is cut after each sync and note and leaves one of the extremes.
        """
        jobs, volume, notes = self._begin(scenario)
        begun = self._traced(scenario, scenario.acts[0], jobs, copy.deepcopy(volume))
        looking = partial(cut, leftovers=is_leftover, most=most, met=set()) if thorough else partial(extremes, leftovers=is_leftover)
        visit = _Visit(self, Report(f"{scenario.name}, killed"), looking, after=None if thorough else ("fsync", "write"), thorough=thorough)
        for number in range(1, len(begun) + 1):
            replay = Replay(copy.deepcopy(volume), self.home, self.notebook, list(notes))
            changed = list(replay.steps(begun[:number]))
            if not changed or changed[-1] is not begun[number - 1] or (not thorough and all(map(is_leftover, replay.volume.just_changed))):
                continue
            put(live(replay.volume), self.home)
            mirror = copy.deepcopy(replay.volume)
            calls = [call for act in scenario.acts[1:] for call in self._traced(scenario, act, jobs, mirror)]
            visit.killed_after = _told(begun[number - 1], self.home)
            visit.follow(replay, calls, enough)
            if len(visit.report.faults) >= enough:
                break
        return visit.report

    def _begin(self, scenario: Scenario) -> tuple[list[Job], Volume, list[Note]]:
        """An empty home with all its folders and a small reserve, and then what comes before the trace."""
        self.plays += 1
        self.notebook.unlink(missing_ok=True)
        (self.home / "queue/reserve").mkdir(parents=True)
        (self.home / "queue/reserve/space").touch()
        Spool(self.settings)
        if scenario.has_keys:
            vault.ensure_keys(self.settings)
        jobs = scenario.jobs()
        for act in scenario.before:
            self._do(act, jobs)
        return jobs, Volume.of(self.home), read_notes(self.notebook)

    def _traced(self, scenario: Scenario, act: Act, jobs: list[Job], mirror: Volume) -> list[Call]:
        """Do an act in a process of its own; `mirror` follows, and must end with what is really there."""
        calls = trace(partial(self._do, act, jobs), within=self.folder, stops="all" if scenario.forks else "changing")
        for _ in Replay(mirror, self.home, self.notebook).steps(calls):
            pass
        wrong = differs(mirror, self.home)
        assert not wrong, f"the model does not know what became of {wrong}"
        return calls

    def _do(self, act: Act, jobs: list[Job]) -> None:
        with quiet(), Notebook(self.notebook) as notebook:
            act(Stage(self.settings, notebook, jobs))

    def recovered(self, disk: Disk, story: Story) -> list[str]:
        """Put a disk in, let a worker recover, and say which promises are broken."""
        settings = _settings(self.folder / "recovered")
        put(disk, settings.home)
        engines, stuck = recover(settings)
        return list(Recovered(settings, story, disk, engines, stuck).broken())


@dataclass
class _Visit:
    """What a play has seen already, and found out."""

    lab: Lab
    report: Report
    looking: Callable[[Volume], Cut]
    after: tuple[str, ...] | None = None
    """Calls after which the power is cut; `write` means notes. None: all."""
    thorough: bool = False
    killed_after: str = ""
    seen: set[tuple[Hashable, int]] = field(default_factory=set)

    def follow(self, replay: Replay, calls: list[Call], enough: int) -> None:
        """Cut the power after each call."""
        with rebooted():
            for call in replay.steps(calls):
                if self.after is None or (call.name in self.after and (call.name != "write" or call.path == str(self.lab.notebook))):
                    self._cut(replay, call)
                if len(self.report.faults) >= enough:
                    return

    def _cut(self, replay: Replay, call: Call) -> None:
        found = self.looking(replay.volume)
        self.report.calls += 1
        self.report.possible += found.possible
        self.report.sampled += found.sampled
        story = Story.of(replay.notes)
        for disk in self._chosen(found.disks, len(replay.notes)):
            self.report.disks += 1
            for problem in self.lab.recovered(disk, story):
                self.report.faults.setdefault(_nameless(problem), f"{problem}\n{self._where(replay, call)}{_difference(replay.volume, disk)}")

    def _chosen(self, disks: Iterable[Disk], promises: int) -> list[Disk]:
        """The disks that are not yet seen with these promises; see `Lab.play` for those that are much the same."""
        alike: dict[Hashable, list[Disk]] = {}
        for disk in disks:
            alike.setdefault(disk if self.thorough else _meant(disk), []).append(disk)
        fresh = [group for key, group in alike.items() if (key, promises) not in self.seen]
        self.seen.update((key, promises) for key in alike)
        self.report.alike += sum(len(group) - 1 for group in fresh)
        return [group[-1 if (self.report.disks + number) % 2 else 0] for number, group in enumerate(fresh)]

    def _where(self, replay: Replay, call: Call) -> str:
        killed = f"  killed after {self.killed_after}\n" if self.killed_after else ""
        return f"{killed}  cut after call {replay.operations}, {_told(call, self.lab.home)}\n"


def _meant(disk: Disk) -> Hashable:
    """A disk without the contents of what the queue decides nothing by."""
    return disk.folders, tuple((path, None if is_leftover(path) else content) for path, content in disk.files), disk.same


@cache
def _settings(home: Path) -> Settings:
    return Settings(home=home, retry_base_s=600.0, min_free_mb=0, min_free_inodes=0)


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
