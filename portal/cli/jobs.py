"""`jobs`, `show` and `cancel`: looking at the queue and the archive, and ending jobs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from portal.cli.parsing import PROGRAM, add_json, add_user, find, parser
from portal.cli.text import as_json, day, printable, short, span, table
from portal.cli.watch import duration_s, measure, nobody_works, outcome, state
from portal.jobs import Attempt, Job, Status
from portal.settings import Settings
from portal.spool import Reason, Spool
from portal.spool.reasons import NO_WORKER
from portal.triggers.trigger import NAME_LABEL

RECENT = timedelta(days=30)
"""So far back is looked unless somebody says."""


def jobs(arguments: list[str], settings: Settings) -> int:
    """List jobs: running ones first, then waiting ones, then finished ones, the latest first."""
    made = parser("jobs", "List jobs: running ones first, then waiting ones in the order they will start, then finished ones, the latest first.")
    made.add_argument("--status", action="append", choices=[str(status) for status in Status], help="only these; may be repeated")
    made.add_argument("--engine", metavar="NAME", help="only jobs of this engine")
    made.add_argument("--trigger", metavar="NAME", help="only jobs that this trigger made")
    made.add_argument("--parent", metavar="ID", help="only follow-ups, retries and reruns of this job")
    made.add_argument("--text", metavar="TEXT", help="only jobs that have this in id, name, user, parameters or error")
    made.add_argument("--since", metavar="DAY", help="finished since this day: 2026-11-21, today, 7d (default: 30d)")
    made.add_argument("--until", metavar="DAY", help="finished until this day, included")
    made.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (default: 20)")
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    found = list(islice((job for job in _all(spool, given) if _fits(job, given)), max(0, given.limit)))
    reasons = spool.reasons(found)
    print(as_json([_told(job, reasons.get(job.id)) for job in found]) if given.json else _jobs_table(spool, found, reasons))
    _warn(spool, found)
    return 0


def _warn(spool: Spool, shown: list[Job]) -> None:
    """Waiting jobs that nobody will start are no news that can be left out."""
    if any(not job.status.finished for job in shown) and nobody_works(spool):
        print(NO_WORKER, file=sys.stderr)


def _all(spool: Spool, given: argparse.Namespace) -> Iterator[Job]:
    today = datetime.now(UTC).date()
    yield from spool.running()
    yield from spool.each_waiting()
    since = day(given.since) if given.since else today - RECENT
    yield from spool.archived(since, day(given.until) if given.until else today)


def _fits(job: Job, given: argparse.Namespace) -> bool:
    return (
        (not given.status or str(job.status) in given.status)
        and given.engine in (None, job.engine)
        and given.trigger in (None, job.labels.get(NAME_LABEL))
        and given.parent in (None, job.parent, job.retry_of)
        and (not given.text or given.text.lower() in _searched(job))
    )


def _searched(job: Job) -> str:
    return " ".join([job.id, job.name, job.engine, job.submitted_by, as_json(job.params), job.error or ""]).lower()


def public(job: Job) -> dict[str, Any]:
    """Return a job for a script: everything but the sealed credentials, of which only is told whether there are any."""
    return {**job.asdict(), "sealed": bool(job.sealed)}


def _told(job: Job, reason: Reason | None) -> dict[str, Any]:
    """A job and why it waits: null when it does not."""
    return {**public(job), "waits": reason and {"kind": reason.kind, "text": reason.text}}


def _jobs_table(spool: Spool, found: list[Job], reasons: Mapping[str, Reason]) -> str:
    if not found:
        return f"No jobs. `{PROGRAM} submit --help` tells how to submit one."
    rows = [
        [job.id, job.status, job.engine, job.name, short(job.submitted_at), job.submitted_by, _took(job), state(spool, job, reasons.get(job.id))]
        for job in found
    ]  # fmt: skip
    return table(["id", "status", "engine", "name", "submitted (UTC)", "by", "took", "how it is"], rows)


def _took(job: Job) -> str:
    seconds = duration_s(job)
    return "" if seconds is None else span(seconds)


def show(arguments: list[str], settings: Settings) -> int:
    """Show everything about one job."""
    made = parser("show", "Show everything about one job.", "ID [--json]")
    made.add_argument("id", metavar="ID")
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    job = find(spool, given.id)
    print(as_json(_whole(spool, job)) if given.json else _page(spool, job))
    _warn(spool, [job])
    return 0


def _whole(spool: Spool, job: Job) -> dict[str, Any]:
    progress = spool.progress(job.id)
    archived = spool.archive_path(job) if job.status.finished else None
    return {
        **_told(job, spool.why(job)), "cancel_requested": not job.status.finished and spool.cancel_requested(job.id), "log": spool.log_path(job.id),
        "folder": spool.folder(job.id), "record": archived, "progress": progress and {name: getattr(progress, name) for name in progress.__slots__},
    }  # fmt: skip


def _page(spool: Spool, job: Job) -> str:
    lines = [f"{job.engine} {job.id}" + (f"  “{job.name}”" if job.name != job.engine else "")]
    lines += [f"  {label:<13}{value}" for label, value in _facts(spool, job) if value not in (None, "")]
    for title, section in _sections(job):
        lines += ["", title, *(f"  {line}" for item in section for line in item.splitlines())]
    return "\n".join(printable(line) for line in lines)


def _facts(spool: Spool, job: Job) -> Iterator[tuple[str, Any]]:
    yield "status", str(job.status) + (" (cancel requested)" if not job.status.finished and spool.cancel_requested(job.id) else "")
    yield "submitted", f"{short(job.submitted_at)} UTC by {job.submitted_by}, priority {job.priority}"
    reason = spool.why(job)
    yield "waits", reason.text if reason else None
    yield "not before", job.not_before
    yield "finished", short(job.finished_at) + (f" UTC, after {_took(job)}" if _took(job) else "") if job.finished_at else None
    progress = spool.progress(job.id)
    yield "progress", measure(progress) if progress and job.status is Status.RUNNING else None
    yield "result", outcome(job) if job.status.finished else None
    yield "key", job.key
    yield "parent", job.parent
    yield "retry of", job.retry_of
    yield "labels", ", ".join(f"{name}={value}" for name, value in job.labels.items() if name != "name")
    yield "log", spool.log_path(job.id)
    yield "files", spool.folder(job.id)
    yield "record", spool.archive_path(job) if job.status.finished else None


def _sections(job: Job) -> Iterator[tuple[str, list[str]]]:
    result = job.result or {}
    yield "parameters", as_json(job.params).splitlines()
    if job.error:
        yield "error", job.error.splitlines()
    if result.get("warnings"):
        yield "warnings", list(result["warnings"])
    if result.get("outputs"):
        yield "outputs", [str(output.get("url", output)) for output in result["outputs"][:10]]
    if result.get("report"):
        yield "report", as_json(result["report"]).splitlines()[:60]
    if job.attempts:
        yield "attempts", [_attempt(attempt) for attempt in job.attempts]
    if job.then:
        yield "then", [f"{item.engine} when {item.when}" for item in job.then]


def _attempt(attempt: Attempt) -> str:
    error = f": {attempt.error}" if attempt.error else ""
    return f"{attempt.number}  {short(attempt.started_at)}  {attempt.outcome or 'running'}  on {attempt.worker}{error}"


def cancel(arguments: list[str], settings: Settings) -> int:
    """Cancel waiting or running jobs."""
    made = parser("cancel", "Cancel waiting or running jobs. A running one gets time to end; finished ones stay as they are.", "ID…")
    made.add_argument("ids", nargs="+", metavar="ID")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    asked = [spool.cancel(find(spool, text).id, given.user) for text in given.ids]
    if given.json:
        print(as_json([public(job) for job in asked]))
        return 0
    for job in asked:
        print(f"{job.id}  {'already ' + job.status if job.status.finished else 'cancel requested'}")
    return 0
