"""Watching jobs from a terminal: one line that is rewritten in place, or plain lines where nobody can rewrite them."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable
from typing import Any, TextIO

from portal import clock
from portal.cli.outcome_text import details
from portal.cli.text import printable, size, span
from portal.errors import JobNotFound
from portal.jobs import Job, Status
from portal.progress import Progress
from portal.spool import Spool
from portal.spool.finishing import child_ids
from portal.spool.reasons import NO_WORKER, Reason

EXIT_CODES = {Status.SUCCEEDED: 0, Status.PARTIAL: 3, Status.FAILED: 1, Status.CANCELLED: 1, Status.REJECTED: 2}
"""How `submit --wait` exits."""

_SEVERITY = (0, 3, 2, 1)
_ONE = {"messages": "message", "objects": "object", "files": "file", "rows": "row", "seals": "seal"}
"""Names of counts that one alone is not told by."""

_FAILURES_SHOWN = 5
_APPEARS_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.25
_LINE_EVERY_S = 2.0


class Screen:
    """Shows how a job is doing: rewrites one line on a terminal; elsewhere prints a line now and then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._shown, self._shown_at = "", 0.0

    def update(self, text: str) -> None:
        if text == self._shown or (not self._live and time.monotonic() - self._shown_at < _LINE_EVERY_S):
            return
        self._shown, self._shown_at = text, time.monotonic()
        line = printable(text)
        self._write(f"\r\x1b[2K{line[:_width()]}" if self._live else f"{line}\n")

    def say(self, text: str) -> None:
        """Print lines that stay; of names from strangers' stores nothing drives the terminal."""
        text = "\n".join(map(printable, text.split("\n")))
        self._write(f"\r\x1b[2K{text}\n" if self._live else f"{text}\n")
        self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _width() -> int:
    return max(20, shutil.get_terminal_size().columns - 1)


def exit_code(jobs: Iterable[Job]) -> int:
    """Return the exit code of the worst outcome."""
    return max((EXIT_CODES[job.status] for job in jobs), key=_SEVERITY.index, default=0)


def wait_chain(spool: Spool, job_id: str, screen: Screen) -> list[Job]:
    """Wait for a job, then for the follow-ups that its end has started, then for theirs; returns them all in this order."""
    job = wait(spool, job_id, screen)
    found = [job]
    for child in child_ids(job):
        _await_appearance(spool, child)
        found += wait_chain(spool, child, screen)
    return found


def _await_appearance(spool: Spool, job_id: str) -> None:
    """A parent is in the archive a moment before its follow-ups are in the queue."""
    deadline = time.monotonic() + _APPEARS_WITHIN_S
    while spool.find(job_id) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S / 5)


def wait(spool: Spool, job_id: str, screen: Screen) -> Job:
    """Show the job's progress until it has ended, and return it. Raises JobNotFound."""
    warned = False
    while True:
        job = spool.find(job_id)
        if job is None:
            raise JobNotFound(f"There is no job {job_id}.")
        if job.status.finished:
            screen.say(ended(job))
            return job
        if job.status is Status.QUEUED and not warned and nobody_works(spool):
            warned = True
            screen.say(NO_WORKER)
        screen.update(f"{job.name} {job.id}  {state(spool, job, spool.why(job))}")
        time.sleep(_LOOK_EVERY_S)


def nobody_works(spool: Spool) -> bool:
    return not any(worker.alive for worker in spool.workers())


def state(spool: Spool, job: Job, reason: Reason | None) -> str:
    """Say in one line how far a job is; `reason` tells why it waits."""
    if job.status is Status.QUEUED:
        return reason.text if reason else "It waits."
    if job.status is Status.RUNNING:
        asked = ", cancel requested" if spool.cancel_requested(job.id) else ""
        progress = spool.progress(job.id)
        return "running" + asked + (f"  {measure(progress)}" if progress else "")
    return outcome(job)


def measure(progress: Progress) -> str:
    """Say how far it is, how fast, and how long to go."""
    total = f"/{progress.total:,.0f}" if progress.total else ""
    parts = [f"{progress.done:,.0f}{total} {progress.unit}".strip()]
    if progress.fraction is not None:
        parts.append(f"{progress.fraction:.0%}")
    if progress.rate_bytes:
        parts.append(f"{size(progress.rate_bytes)}/s")
    if progress.eta_s:
        parts.append(f"{span(progress.eta_s)} to go")
    return "  ".join([*parts, progress.note] if progress.note else parts)


def ended(job: Job) -> str:
    """Say how a job ended, in a line; its error follows on lines of their own."""
    text = f"{job.name} {job.id}  {job.status}{took(job)}"
    counts = outcome(job)
    lines = [f"{text}: {counts}" if counts and job.status in (Status.SUCCEEDED, Status.PARTIAL) else text]
    lines += [f"  {line}" for line in details(job)]
    lines += [f"  {printable(item.get('key', ''))}: {item.get('reason', '')}".replace("\n", "\n  ") for item in _failures(job)[:_FAILURES_SHOWN]]
    lines += [f"  every one: python -m portal ledger {job.id} --failed"] if _failures(job) else []
    return "\n".join([*lines, *(f"  {line}" for line in (job.error or "").splitlines())])


def _failures(job: Job) -> list[dict[str, Any]]:
    """What failed in a job that did something all the same; of one that failed its error tells."""
    return list(((job.result or {}).get("report") or {}).get("failures") or []) if job.status is Status.PARTIAL else []


def outcome(job: Job) -> str:
    """Counts and bytes of a finished job, or the first line of its error."""
    result = job.result or {}
    counted: dict[str, int] = result.get("counts") or {}
    counts = ", ".join(f"{number:,} {_ONE.get(name, name) if number == 1 else name}" for name, number in counted.items() if number)
    moved = f" · {size(result['bytes'])}" if result.get("bytes") else ""
    problem = "" if job.status is Status.SUCCEEDED else (job.error or "").partition("\n")[0]
    return "; ".join(part for part in (counts + moved, problem) if part)


def duration_s(job: Job) -> float | None:
    """Seconds from the first start to the end; None while there is no end, or never was a start."""
    if not job.finished_at or not job.attempts:
        return None
    return (clock.parse_ms(job.finished_at) - clock.parse_ms(job.attempts[0].started_at)) / 1000


def took(job: Job) -> str:
    seconds = duration_s(job)
    return "" if seconds is None else f" after {span(seconds)}"
