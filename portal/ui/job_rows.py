"""A job as a row of the live table, and as one line of text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from portal import clock
from portal.jobs import ID_PATTERN, Job, Status
from portal.progress import Progress
from portal.spool import Reason, Spool
from portal.ui import wording

_SHORT = {"paused": "Paused with the whole queue.", "engine-paused": "Paused with its engine."}
"""The banner says the rest."""
_ID = re.compile(rf"\b{ID_PATTERN.pattern}\b")
_RETRIED = (Status.PARTIAL, Status.FAILED, Status.CANCELLED, Status.REJECTED)


def rows(spool: Spool, jobs: Sequence[Job], *, may_act: bool) -> list[dict[str, Any]]:
    """Return the rows of `portal.ui.components.job_table` for these jobs."""
    reasons = spool.reasons(jobs)
    return [_row(spool, job, may_act, reasons.get(job.id)) for job in jobs]


def _row(spool: Spool, job: Job, may_act: bool, reason: Reason | None) -> dict[str, Any]:
    cancelling = not job.status.finished and spool.cancel_requested(job.id)
    progress = spool.progress(job.id) if job.status is Status.RUNNING else None
    action = "cancel" if not job.status.finished else "retry" if job.status in _RETRIED else ""
    started = wording.started_at(job)
    return {
        "id": job.id, "short": short(job.id), "name": job.name, "engine": job.engine, "owner": job.submitted_by, "state": job.status.value,
        "status_word": "Cancel requested" if cancelling else wording.STATUS_WORDS[job.status], "fraction": _fraction(job, progress),
        "note": _note(job, progress, reason), "more": unquoted(reason), "done": done(job, progress), "rate": rate(progress), "eta": eta(progress),
        "started": wording.moment(started or job.submitted_at), "took": wording.duration(wording.elapsed_s(started, job.finished_at)),
        "action": action, "enabled": may_act and not cancelling, "priority": job.priority if job.status is Status.QUEUED else None,
    }  # fmt: skip


def short(job_id: str) -> str:
    """The end of an id: what tells jobs of the same minute apart."""
    return job_id[-8:]


def _fraction(job: Job, progress: Progress | None) -> float | None:
    if job.status is Status.SUCCEEDED:
        return 1.0
    return progress.fraction if progress else None


def _note(job: Job, progress: Progress | None, reason: Reason | None) -> str:
    if job.status is Status.QUEUED:
        return _SHORT.get(reason.kind) or _ID.sub(lambda found: short(found[0]), unquoted(reason)) if reason else ""
    if job.status is Status.RUNNING:
        return progress.note if progress else "starting"
    return (job.error or "").partition("\n")[0][:90]


def unquoted(reason: Reason | None) -> str:
    """Why a job waits, as plain text without the marks of a command; nothing when nobody can tell, because it has just begun."""
    return reason.text.replace("`", "") if reason else ""


def done(job: Job, progress: Progress | None) -> str:
    """How much is done, in the engine's own unit."""
    if progress:
        of = f" / {wording.number(progress.total)}" if progress.total is not None else ""
        return f"{wording.number(progress.done)}{of} {progress.unit}".strip()
    counts: Mapping[str, Any] = (job.result or {}).get("counts") or {}
    moved = sum(int(counts.get(name) or 0) for name in ("copied", "converted"))
    if moved or "listed" in counts:
        listed = int(counts.get("listed") or 0)
        whole = moved == listed or not {"copied", "converted"} & set(counts)
        return wording.count_of(listed, "object") if whole else f"{moved:,} / {wording.count_of(listed, 'object')}"
    rows_done = counts.get("rows_out", counts.get("rows"))
    return wording.count_of(int(rows_done), "row") if rows_done is not None else wording.NONE


def rate(progress: Progress | None) -> str:
    if not progress or progress.updated_ms < clock.now_ms() - 60_000:
        return wording.NONE
    if progress.rate_bytes:
        return f"{wording.size(progress.rate_bytes)}/s"
    return f"{wording.number(progress.rate)}/s" if progress.rate else wording.NONE


def eta(progress: Progress | None) -> str:
    return wording.duration(progress.eta_s) if progress else wording.NONE
