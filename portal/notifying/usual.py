"""How long work of a kind usually takes, as the archive tells it. Only reads (and lets the audit compact closed days, as every report does)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import Any, Self

from portal import audit_days
from portal.jobs import Job, Status
from portal.settings import Settings

FEWEST, _MOST = 5, 20
"""Earlier jobs that are wanted before anything is called usual, and how many of the latest are looked at."""
_DAYS = 30
_COLUMNS = ["name", "engine", "source", "target", "labels", "duration_s", "finished_at"]
_ENDS = (Status.SUCCEEDED.value, Status.PARTIAL.value)


@dataclass(frozen=True)
class Work:
    """What makes jobs alike: their trigger; else their name and engine; of jobs without a name engine, source and target."""

    engine: str
    trigger: str = ""
    name: str = ""
    source: str = ""
    target: str = ""

    @classmethod
    def of(cls, job: Job) -> Self:
        if trigger := job.labels.get("trigger"):
            return cls(job.engine, trigger=trigger)
        if name := job.labels.get("name"):
            return cls(job.engine, name=name)
        return cls(job.engine, source=_text(job.params.get("source")), target=_text(job.params.get("target")))

    def includes(self, row: dict[str, Any], labels: dict[str, Any]) -> bool:
        if labels.get("dry_run") or row["engine"] != self.engine:
            return False
        if self.trigger:
            return bool(labels.get("trigger") == self.trigger)
        if labels.get("trigger") or (labels.get("name") or "") != self.name:
            return False
        return bool(self.name) or (_text(row["source"]), _text(row["target"])) == (self.source, self.target)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Usual:
    """How long the latest `runs` jobs took that succeeded, at least in part."""

    runs: int
    median_s: float
    p95_s: float

    def limit_s(self, factor: float, least_s: float) -> float:
        """Return after how many seconds a job is slower than usual.

        Args:
            factor: times the p95.
            least_s: so much above the median at least: a job of two seconds is not slow because it takes three.
        """
        return max(factor * self.p95_s, self.median_s + least_s)

    def asdict(self) -> dict[str, float]:
        return asdict(self)


def usual(settings: Settings, work: Work) -> Usual | None:
    """Return how long such work takes, None while there are not enough earlier jobs. Raises OSError when a record cannot be read."""
    durations: list[float] = []
    for seconds in _durations(settings, work):
        durations.append(seconds)
        if len(durations) == _MOST:
            break
    if len(durations) < FEWEST:
        return None
    return Usual(len(durations), round(median(durations), 3), round(quantiles(durations, n=20, method="inclusive")[-1], 3))


def _durations(settings: Settings, work: Work) -> Iterator[float]:
    """Yield what they took, the latest first, reading no more days than are asked for."""
    import pyarrow.compute as pc

    first = datetime.now(UTC).date() - timedelta(days=_DAYS)
    for day in reversed(audit_days.days(settings.archive_dir, since=first)):
        table = audit_days.table(settings.archive_dir, day)
        fitting = pc.and_(pc.equal(table["engine"], work.engine), pc.is_in(table["status"], _values(_ENDS)))
        table = table.filter(fitting).select(_COLUMNS).sort_by([("finished_at", "descending")])
        for batch in table.to_batches(max_chunksize=1000):
            for row in batch.to_pylist():
                if row["duration_s"] is not None and work.includes(row, _labels(row["labels"])):
                    yield row["duration_s"]


def _values(values: tuple[str, ...]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())


def _labels(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:  # cut off, because they were too long for a row
        return {}
    return found if isinstance(found, dict) else {}
