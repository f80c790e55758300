"""What the queue has promised at a moment of a trace, and whether a recovered home keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from portal import check
from portal.errors import BadJobFile
from portal.jobs import Job, Status
from portal.settings import Settings
from portal.spool import corrupt, finishing, reading, records
from portal.spool.layout import Layout, running_id
from tests.power.machine import Engines
from tests.power.states import Disk
from tests.power.traced import Note


@dataclass
class Story:
    """What was begun and what was promised up to a moment."""

    begun: dict[str, str | None] = field(default_factory=dict)
    """Ids of jobs whose submit has begun, with their keys."""
    taken: set[str] = field(default_factory=set)
    """Ids that `submit` has returned."""
    cancelled: set[str] = field(default_factory=set)
    priorities: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    """Attempts that were started, by job."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """Outcome of the last attempt, once engine and runner have ended."""
    delayed: set[str] = field(default_factory=set)
    paused: bool = False
    kept: set[str] = field(default_factory=set)
    """Names of files that nobody can read."""

    @classmethod
    def of(cls, notes: Sequence[Note]) -> Story:
        story = cls()
        for note in notes:
            story._read(note)
        return story

    def _read(self, note: Note) -> None:
        job_id = note["id"]
        match note["what"]:
            case "submitting":
                self.begun[job_id] = note.get("key")
                self.delayed |= {job_id} if note.get("delayed") else set()
            case "submitted":
                self.taken.add(job_id)
            case "cancelled":
                self.cancelled.add(job_id)
            case "changed":
                self.priorities[job_id] = note["priority"]
            case "started":
                self.attempts[job_id] = note["attempt"]
                self.outcomes.pop(job_id, None)
            case "due":
                self.delayed.discard(job_id)
            case "paused":
                self.paused = True
            case "kept":
                self.kept.add(job_id)
            case "ended":
                self.outcomes[job_id] = note["outcome"]


@dataclass
class Recovered:
    """A home after recovery, beside the disk it was recovered from."""

    settings: Settings
    story: Story
    disk: Disk
    engines: Engines
    stuck: list[str]

    def broken(self) -> Iterator[str]:
        """Say which promises are broken."""
        yield from self.stuck
        self.layout = Layout(self.settings)
        try:
            self.records = self._archived()
        except BadJobFile as error:
            yield f"a record of the archive is unreadable: {error}"
            return
        yield from self._places()
        yield from self._jobs()
        yield from self._attempts()
        yield from self._outcomes()
        yield from self._followups()
        yield from self._runs()
        yield from self._set_aside()
        yield from self._findings()

    def _archived(self) -> dict[str, Job]:
        found: dict[str, Job] = {}
        self.doubled = []
        for day in reading.archive_folders(self.layout):
            for job in reading.archived(self.layout, day, day, newest_first=False):
                self.doubled += [job.id] if job.id in found else []
                found[job.id] = job
        return found

    def _places(self) -> Iterator[str]:
        """Everything has come to its end, and nothing is left of the way."""
        layout = self.layout
        yield from (f"{job_id} has two archive records" for job_id in self.doubled)
        for folder in (layout.delayed, layout.running, layout.cancel, layout.locks, layout.tmp, layout.archive_tmp):
            yield from (f"{folder.name}/{name} is left" for name in records.names(folder))
        yield from (f"queue/{name} is left" for name in records.names(layout.queue) if name.endswith(".json"))

    def _jobs(self) -> Iterator[str]:
        story = self.story
        for job_id in story.taken - set(self.records):
            yield f"{job_id} was taken and is lost"
        for job_id in story.cancelled & set(self.records):
            if self.records[job_id].status is not Status.CANCELLED:
                yield f"{job_id} was cancelled and is {self.records[job_id].status.value}"
        for job_id in story.taken & set(self.records):
            if self.records[job_id].status is Status.FAILED:
                yield f"{job_id} failed: {self.records[job_id].error}"
        for job_id, priority in story.priorities.items():
            if job_id in self.records and self.records[job_id].priority != priority:
                yield f"{job_id} was given priority {priority} and has {self.records[job_id].priority}"

    def _attempts(self) -> Iterator[str]:
        story = self.story
        for job_id, attempt in story.attempts.items():
            known = self.records[job_id].attempts if job_id in self.records else ()
            if len(known) < attempt:
                yield f"attempt {attempt} of {job_id} was started and is forgotten"
            if [item.number for item in known] != [*range(1, len(known) + 1)]:
                yield f"the attempts of {job_id} are {[item.number for item in known]}"

    def _outcomes(self) -> Iterator[str]:
        story = self.story
        for job_id, outcome in story.outcomes.items():
            attempt = story.attempts[job_id]
            if job_id in self.records and (found := self.records[job_id].attempts[attempt - 1 : attempt]) and found[0].outcome != outcome:
                yield f"attempt {attempt} of {job_id} had {outcome} and is recorded as {found[0].outcome}"

    def _followups(self) -> Iterator[str]:
        children: Counter[str] = Counter()
        for job in self.records.values():
            children.update(finishing.child_ids(job))
        for job_id in children:
            if job_id not in self.records:
                yield f"the follow-up {job_id} is lost"
        for job_id in set(self.records) - set(self.story.begun) - set(children):
            yield f"nobody submitted {job_id}"

    def _runs(self) -> Iterator[str]:
        """Nothing ran that had ended, and nothing twice."""
        runs = self.engines.runs
        yield from (f"attempt {run.attempt} of {run.job_id} ran {count} times" for run, count in Counter(runs).items() if count > 1)
        ran = {run.job_id for run in runs}
        for path, content in self.disk.files:
            job_id = running_id(Path(path).name)
            if path.startswith("archive/") and job_id in ran and _readable(content):
                yield f"{job_id} was archived and ran again"
        for job_id, outcome in self.story.outcomes.items():
            if job_id in ran and outcome != "failed":
                yield f"{job_id} had {outcome} and ran again"
        yield from (f"{job_id} was cancelled and ran" for job_id in self.story.cancelled & ran)
        yield from (f"{run.job_id} ran while the queue was paused" for run in runs if self.story.paused and not run.later)
        yield from (f"{run.job_id} ran before its moment" for run in runs if run.job_id in self.story.delayed and not run.later)
        for job_id in ran:
            good = [run for run in runs if run.job_id == job_id and run.attempt not in self._failing(job_id)]
            if len(good) > 1:
                yield f"{job_id} ran {len(good)} times"

    def _failing(self, job_id: str) -> Sequence[int]:
        return self.records[job_id].params.get("fail_in", ()) if job_id in self.records else ()

    def _set_aside(self) -> Iterator[str]:
        promised = self.story.taken | {job_id for job in self.records.values() for job_id in finishing.child_ids(job)}
        there = [item.name for item in corrupt.listed(self.layout) if not item.name.endswith(".reason")]
        yield from (f"{name}, which nobody could read, is lost" for name in self.story.kept if not any(item.startswith(name) for item in there))
        for item in corrupt.listed(self.layout):
            if any(job_id in item.name for job_id in promised):
                yield f"{item.name} of a job that was taken is set aside: {item.reason}"

    def _findings(self) -> Iterator[str]:
        open_keys = {key for job_id, key in self.story.begun.items() if key and job_id not in self.story.taken}
        for finding in check.inspect(self.settings):
            if finding.kind == "corrupt" or (finding.kind == "key" and open_keys):
                continue
            yield f"check finds {finding.kind} {finding.path.name}: {finding.text}"


def _readable(content: bytes) -> bool:
    try:
        return Job.from_json(content).finished_at is not None
    except BadJobFile:
        return False
