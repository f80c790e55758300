"""What a finished transfer tells beyond its counts: the plan of a dry run, what only the target has, how far the proof went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portal.jobs import Job
from portal.planning import estimate_text


def details(job: Job) -> list[str]:
    """Return lines to print below a job's outcome; none for jobs that tell nothing of the kind."""
    report = (job.result or {}).get("report")
    return list(_lines(report, bool(job.labels.get("dry_run")))) if isinstance(report, Mapping) else []


def _lines(report: Mapping[str, Any], dry: bool) -> Iterator[str]:
    plan = report.get("dry_run")
    if isinstance(plan, Mapping) and "actions" in plan:
        yield "dry run, nothing was changed:"
        yield from (f"  {line}" for line in estimate_text.text(dict(plan)))
    extras = report.get("extras")
    if isinstance(extras, Mapping) and extras.get("objects"):
        yield f"only at the target: {extras['objects']:,} objects, {extras['bytes']:,} bytes; they are listed in the job's {extras['file']}"
    proofs = report.get("proof")
    if not dry and isinstance(proofs, Mapping) and any(proofs.values()):
        yield "proof: " + ", ".join(f"{count:,} {level}" for level, count in proofs.items() if count)
