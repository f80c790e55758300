"""logs/: what belongs to no job that is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from portal.check.finding import Finding
from portal.check.look import Look, is_id
from portal.spool import records

_KNOWN = {".gitignore", ".gitkeep"}


def inspect(look: Look) -> Iterator[Finding]:
    """Look at the names in logs/."""
    if not look.depth:
        return
    seen: set[str] = set()
    for name in records.names(look.layout.logs):
        job_id = name.partition(".")[0]
        if not is_id(job_id) or not _named(name, job_id):
            if name not in _KNOWN:
                yield Finding("stray", look.layout.logs / name, "This belongs to no job.", "Somebody put it there.", "Remove it.", note=True)
        elif job_id not in seen and job_id not in look.in_queue and job_id not in look.finished:
            seen.add(job_id)
            yield from _orphan(look, look.layout.logs / name, job_id)


def _named(name: str, job_id: str) -> bool:
    rest = name.removeprefix(job_id)
    return rest in ("", ".log") or rest.removeprefix(".log.").isdecimal()


def _orphan(look: Look, path: Path, job_id: str) -> Iterator[Finding]:
    if job_id in look.removed:
        yield Finding("orphan", path, f"Retention removed the record of the job {job_id}, and these files are still there.", "It was cut off.",
                      "`portal retain --apply` goes on with it.", job_id=job_id)  # fmt: skip
    elif look.nowhere(job_id) and path.exists():
        why = "Its record or its job file was removed, or set aside, or logs/ was restored from a newer backup than the rest."
        text = f"The job {job_id} of these files is nowhere."
        yield Finding("orphan", path, text, why, "Remove them if nobody needs them.", note=True, job_id=job_id)
