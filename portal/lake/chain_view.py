"""What came of each table in each step of a chain, told from its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from portal import clock
from portal.jobs import Job, Status
from portal.lake.chain import NAME_LABEL, STEPS, WORDS, Step
from portal.lake.selection import is_pattern
from portal.lake.table_outcome import ARRIVED as ENDS_THAT_ARRIVED
from portal.lake.table_outcome import Ended

State = Literal["done", "unchanged", "excluded", "failed", "running", "waiting", "cancelled", "held"]
"""`held`: it did not come to this step, because it did not arrive in the one before, or nothing follows any more."""

_BEGINS_WITHIN_MS = 24 * 3_600_000
_RETRIED = (Status.PARTIAL, Status.FAILED, Status.CANCELLED, Status.REJECTED)


@dataclass(frozen=True)
class Cell:
    """A table in a step."""

    state: State
    job_id: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict)
    """As in `TableOutcome`; empty while there is none."""
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """A table on its way, by its name where the chain began."""

    table: str
    cells: Mapping[Step, Cell]

    def ended(self, *states: State) -> bool:
        """Whether it has one of these states in any step."""
        return any(cell.state in states for cell in self.cells.values())

    @property
    def troubled(self) -> bool:
        return self.ended("failed", "cancelled")


@dataclass(frozen=True)
class StepView:
    """A step with its jobs, the latest last: a retry is another job of the same step."""

    step: Step
    jobs: tuple[Job, ...]

    @property
    def latest(self) -> Job | None:
        return self.jobs[-1] if self.jobs else None

    @property
    def state(self) -> str:
        """Status of the latest job, or `waiting`."""
        return self.latest.status.value if self.latest and not self.idle else "waiting"

    @property
    def idle(self) -> bool:
        """Whether its job was given no table, because none arrived in the step before: an engine rejects that."""
        return self.latest is not None and self.latest.status is Status.REJECTED and self.latest.params.get("tables") == []

    @property
    def to_retry(self) -> Job | None:
        """The job that a restart of this step would do again."""
        return self.latest if self.latest and self.latest.status in _RETRIED and not self.idle else None


@dataclass(frozen=True)
class View:
    """A chain."""

    mark: str
    name: str
    steps: tuple[StepView, ...]
    rows: tuple[Row, ...]

    @property
    def way(self) -> str:
        """The places it leads through, as `Hive → Iceberg → Azure`."""
        words = [WORDS[step.step] for step in self.steps]
        return " → ".join([words[0].partition(" ")[0], *(word.rpartition(" ")[2] for word in words)])

    @property
    def jobs(self) -> list[Job]:
        return [job for step in self.steps for job in step.jobs]

    @property
    def running(self) -> bool:
        return any(not job.status.finished for job in self.jobs) or self.expects

    @property
    def expects(self) -> bool:
        """Whether a step is still to begin by itself: its parent has just ended, or runs."""
        return any(_will_begin(self.steps, place) for place in range(1, len(self.steps)))

    @property
    def state(self) -> str:
        """`running`, or how all of it ended: succeeded, partial, failed or cancelled."""
        if self.running:
            return "running"
        ends = [step.latest.status for step in self.steps if step.latest and not step.idle]
        if all(end is Status.SUCCEEDED for end in ends) and (len(ends) == len(self.steps) or any(step.idle for step in self.steps)):
            return "succeeded"
        if self.counts["whole"]:
            return "partial"
        return "cancelled" if ends[-1] is Status.CANCELLED else "failed"

    @property
    def retryable(self) -> Job | None:
        """The job to do again so that what is missing goes all the way: that of the first step that has not gone well."""
        return next((job for step in self.steps if (job := step.to_retry)), None) if not self.running else None

    @property
    def counts(self) -> dict[str, int]:
        """Tables by how far they came: `whole` all the way, `excluded`, `failed` anywhere, `cancelled` and nowhere failed, `open`."""
        last = self.steps[-1].step
        whole = sum(row.cells[last].state in ENDS_THAT_ARRIVED for row in self.rows)
        excluded = sum(row.ended("excluded") for row in self.rows)
        failed = sum(row.ended("failed") for row in self.rows)
        cancelled = sum(row.troubled for row in self.rows) - failed
        known = {"tables": len(self.rows), "whole": whole, "excluded": excluded, "failed": failed, "cancelled": cancelled}
        return {**known, "open": len(self.rows) - whole - excluded - failed - cancelled}


Known = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By job id and name of a table: what is known of it in that job."""


def view(jobs: Sequence[Job], outcomes: Mapping[str, Sequence[Mapping[str, Any]]]) -> View:
    """Put a chain together.

    Args:
        jobs: all jobs of one chain, the first one among them: a chain is known by its id.
        outcomes: by job id, what is known of its tables (see `TableOutcome`), also while it runs.
    """
    ordered = sorted(jobs, key=lambda job: (job.submitted_at, job.id))
    steps = tuple(StepView(step, tuple(job for job in ordered if job.engine == step.value)) for step in _steps_of(ordered))
    known: Known = {job_id: {str(item.get("table")): item for item in items} for job_id, items in outcomes.items()}
    asked = {job.id: frozenset(name for name in _asked(job) if not is_pattern(name)) for job in ordered}
    rows = tuple(_row(name, steps, known, asked) for name in _names(steps, known, asked))
    return View(ordered[0].id, _name(ordered[0]), steps, rows)


def _name(first: Job) -> str:
    """What people call a chain: its own name, else that of its first job unless it is only the step's."""
    own = first.labels.get("name", "")
    return first.labels.get(NAME_LABEL) or ("" if own in WORDS.values() else own)


def _asked(job: Job) -> list[str]:
    tables = job.params.get("tables")
    return [name for name in tables if isinstance(name, str)] if isinstance(tables, list | tuple) else []


def _steps_of(jobs: Sequence[Job]) -> list[Step]:
    """The steps that have a job, or will have one."""
    known = {job.engine for job in jobs}
    for job in jobs:
        items = job.then
        while items:
            known |= {item.engine for item in items}
            items = tuple(child for item in items for child in item.then)
    return [step for step in STEPS if step.value in known]


def _will_begin(steps: Sequence[StepView], place: int) -> bool:
    """Whether the step at a place is about to get a job from the end of the one before."""
    step, parent = steps[place], steps[place - 1].latest
    if parent is None:
        return place > 1 and _will_begin(steps, place - 1)
    if any(job.parent == parent.id for job in step.jobs):
        return False
    if parent.finished_at and parent.finished_at < clock.iso(clock.now_ms() - _BEGINS_WITHIN_MS):
        return False  # its record was deleted: no worker takes so long to start it
    return not parent.status.finished or any(item.engine == step.step.value and item.when.fires(parent.status) for item in parent.then)


def _names(steps: Sequence[StepView], known: Known, asked: Mapping[str, frozenset[str]]) -> list[str]:
    """The tables that the chain began with, as far as they are known: what its first step tells, and what it was asked for by name."""
    found = {name for job in steps[0].jobs for name in (*known.get(job.id, ()), *asked[job.id])}
    return sorted(name for name in found if name)


def _row(name: str, steps: Sequence[StepView], known: Known, asked: Mapping[str, frozenset[str]]) -> Row:
    cells: dict[Step, Cell] = {}
    own: str | None = name
    for place, step in enumerate(steps):
        cell = _cell(step, own, known, asked) if own is not None else None
        if cell is None:
            cell = _untold(steps, place, own is not None, _on_its_way(cells))
        cells[step.step] = cell
        own = str(cell.outcome.get("target") or cell.outcome.get("table")) if cell.state in ENDS_THAT_ARRIVED else None
    return Row(name, cells)


def _untold(steps: Sequence[StepView], place: int, arrived: bool, on_its_way: bool) -> Cell:
    """A table of which no job of a step tells anything."""
    latest = steps[place].latest
    if place == 0 and latest and latest.status.finished:
        return Cell("held", reason="What came of it is not recorded any more.")
    return Cell("waiting" if on_its_way or (arrived and (place == 0 or _will_begin(steps, place))) else "held")


def _on_its_way(cells: Mapping[Step, Cell]) -> bool:
    """Whether the step before has not ended yet for the table."""
    return bool(cells) and list(cells.values())[-1].state in ("running", "waiting")


def _cell(step: StepView, table: str, known: Known, asked: Mapping[str, frozenset[str]]) -> Cell | None:
    """What the latest job that knows anything of a table tells of it."""
    for job in reversed(step.jobs):
        told = known.get(job.id, {}).get(table)
        if told is not None and told.get("outcome") in get_args(Ended):
            return Cell(told["outcome"], job.id, told, str(told.get("reason") or ""))
        if table in asked[job.id] and job.status not in (Status.SUCCEEDED, Status.PARTIAL):  # those told of every table they were asked for
            return _without_outcome(job)
    return None


def _without_outcome(job: Job) -> Cell:
    if job.status is Status.QUEUED:
        return Cell("waiting", job.id)
    if job.status is Status.RUNNING:
        return Cell("running", job.id)
    return Cell("cancelled" if job.status is Status.CANCELLED else "failed", job.id, reason=(job.error or "").partition("\n")[0])
