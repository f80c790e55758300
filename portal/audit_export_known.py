"""Which sealed days an export carried away, told from the archived export jobs themselves.

An export covers a day when its record says so and is itself sealed and unchanged: engine `audit_export`, succeeded, all jobs of a period that
holds the day, and sent with a head of this chain that is not before the day's seal. The engine reads the chain before it reads the rows, so that
every record of the day, being sealed, was among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from portal import audit_days
from portal.errors import BadJobFile
from portal.jobs import Job, Status
from portal.seal import Seal
from portal.settings import Settings

ENGINE = "audit_export"


@dataclass(frozen=True)
class Export:
    """A period (both days included) and the newest seal that went with it."""

    since: date
    until: date
    sequence: int


class Exports:
    """The exports in the sealed days of an archive. Read when first asked for: the compacted rows of the days, and the exports' records."""

    def __init__(self, settings: Settings, chain: list[Seal]) -> None:
        self._settings, self._chain = settings, chain

    def covers(self, seal: Seal) -> bool:
        """Tell whether an export carried away the records of a sealed day."""
        day = date.fromisoformat(seal.day)
        return any(item.since <= day <= item.until and item.sequence >= seal.sequence for item in self._found)

    @cached_property
    def _found(self) -> list[Export]:
        digests = {seal.sequence: seal.digest for seal in self._chain}
        return [export for seal in self._chain for job in self._jobs(seal) if (export := _export(job, digests))]

    def _jobs(self, seal: Seal) -> Iterator[Job]:
        """Yield the export jobs of a day whose records are those that were sealed."""
        archive, day = self._settings.archive_dir, date.fromisoformat(seal.day)
        rows = audit_days.table(archive, day).select(["job_id", "engine", "status"]).to_pylist()
        for row in rows:
            if (row["engine"], row["status"]) == (ENGINE, Status.SUCCEEDED.value) and (job := _sealed(archive, day, row["job_id"], seal)):
                yield job


def _sealed(archive: Path, day: date, job_id: str, seal: Seal) -> Job | None:
    try:
        data = (audit_days.folder(archive, day) / f"{job_id}.json").read_bytes()
        job = Job.from_json(data)
    except (OSError, BadJobFile):
        return None
    return job if seal.records.get(job_id) == hashlib.sha256(data).hexdigest() else None


def _export(job: Job, digests: Mapping[int, str]) -> Export | None:
    result: Any = job.result or {}
    try:
        report, outputs = result["report"], result["outputs"]
        head, told = report["chain_head"], report["plan"]
        whole = not job.params.get("job_ids") and bool(outputs) and digests.get(head["sequence"]) == head["digest"]
        return Export(date.fromisoformat(told["since"]), date.fromisoformat(told["until"]), head["sequence"]) if whole else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
