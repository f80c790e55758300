"""What an attempt came to, told from the files it left. No I/O but reading those files.

Outcomes come from files that name the job and the attempt, never from a process's status alone and never from another attempt.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portal.durable import is_shortage
from portal.jobs import Attempt, Job, Status, is_deep
from portal.settings import Settings
from portal.spool.layout import Layout

EXIT_CODES = {"succeeded": 0, "failed": 1, "rejected": 2, "partial": 3}

_FINAL = {"succeeded": Status.SUCCEEDED, "partial": Status.PARTIAL, "rejected": Status.REJECTED, "cancelled": Status.CANCELLED}


@dataclass(frozen=True)
class Verdict:
    """`outcome` is one of those of an `Attempt`; `error` is for people."""

    outcome: str
    error: str | None = None
    retryable: bool = True


@dataclass(frozen=True)
class Ended:
    """How an attempt ended: what its runner wrote and what its engine wrote, each None when it did not."""

    exit: Mapping[str, Any] | None
    result: Mapping[str, Any] | None


def left_behind(layout: Layout, job: Job, attempt: Attempt) -> Ended:
    """Read what an attempt left. Raises OSError when that may go better later."""
    return Ended(
        _document(layout.exit_file(job.id, attempt.number), job.id, attempt.number),
        _document(layout.result_file(job.id, attempt.number), job.id, attempt.number),
    )


def _document(path: Path, job_id: str, attempt: int) -> dict[str, Any] | None:
    try:
        data: Any = json.loads(path.read_bytes(), parse_constant=lambda _: None)  # NaN is no JSON; a job file must stay readable
    except OSError as error:
        if is_shortage(error):
            raise  # an attempt is not judged by what cannot be read only now
        return None
    except (ValueError, RecursionError):
        return None
    whole = isinstance(data, dict) and not is_deep(data) and data.get("job") == job_id and data.get("attempt") == attempt
    return data if whole else None


def judge(ended: Ended, *, cancelled: bool) -> Verdict:
    """Decide what an attempt came to.

    Args:
        ended: what it left.
        cancelled: there is a cancel marker; a durable success beats it.
    """
    said = ended.result.get("outcome") if ended.result else None
    code = ended.exit.get("exit_code") if ended.exit else None
    if said in ("succeeded", "partial") and (code is None or code < 0 or code == EXIT_CODES[said]):
        return Verdict(str(said))
    if code == EXIT_CODES["rejected"] or (code is None and said == "rejected"):
        return Verdict("rejected", _told(ended) or "The engine rejected its parameters; the log says why.")
    stopped = _stopped(ended, cancelled)
    if stopped is not None:
        return stopped
    if ended.exit is None and ended.result is None:
        return Verdict("interrupted", "The runner ended without a word: the machine, or somebody, stopped it.")
    error = ended.result.get("error") if ended.result else None
    retryable = not isinstance(error, Mapping) or error.get("retryable", True) is not False
    return Verdict("failed", _told(ended) or _crash(code), retryable)


def _stopped(ended: Ended, cancelled: bool) -> Verdict | None:
    ended_by = ended.exit.get("ended_by") if ended.exit else None
    if cancelled or ended_by == "cancel":
        return Verdict("cancelled", "The job was cancelled.")
    if ended_by == "timeout":
        return Verdict("timeout", f"The job ran longer than its {ended.exit.get('timeout_s') if ended.exit else ''} s and was ended.")
    if ended_by == "interrupt":
        return Verdict("interrupted", "The worker was told to end its running jobs.")
    return None


def _told(ended: Ended) -> str | None:
    """The engine's own error as `errors.explain` would write it."""
    error = ended.result.get("error") if ended.result else None
    if not isinstance(error, Mapping):
        return None
    lines = [str(error.get("message", "The engine failed."))]
    causes = error.get("causes")
    lines += [f"  because: {cause}" for cause in causes] if isinstance(causes, list) else []
    lines += [f"  what to do: {error['hint']}"] if error.get("hint") else []
    return "\n".join(lines)


def _crash(code: Any) -> str:
    if isinstance(code, int) and code < 0:
        return f"The engine was ended by {_signal_name(-code)} before it wrote a result.\n  what to do: Look at the end of the log."
    return f"The engine ended with exit code {code} and wrote no result.\n  what to do: Look at the end of the log."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def closed(attempt: Attempt, ended: Ended, verdict: Verdict, finished_at: str) -> Attempt:
    """The attempt with its end written into it."""
    found = ended.exit or {}
    return replace(
        attempt, finished_at=found.get("finished_at") or finished_at, outcome=verdict.outcome, error=verdict.error,
        exit_code=found.get("exit_code"), pid=found.get("pid", attempt.pid), process_started=found.get("process_started", attempt.process_started),
        peak_memory_bytes=found.get("peak_memory_bytes"), cpu_s=found.get("cpu_s"),
        output_lost_bytes=found.get("output_lost_bytes"),
    )  # fmt: skip


def status_after(job: Job, verdict: Verdict, settings: Settings) -> Status:
    """The status of a job whose last attempt is closed and counted: QUEUED when there will be another attempt."""
    if verdict.outcome in _FINAL:
        return _FINAL[verdict.outcome]
    if verdict.outcome == "interrupted":
        return Status.QUEUED if job.interruptions <= settings.max_interruptions else Status.FAILED
    again = verdict.retryable and failures(job) < (job.max_attempts or settings.max_attempts)
    return Status.QUEUED if again else Status.FAILED


def failures(job: Job) -> int:
    return sum(attempt.outcome in ("failed", "timeout") for attempt in job.attempts)


def delay_s(job: Job, settings: Settings) -> float:
    """Seconds to wait before the next attempt: exponential, bounded, with a jitter that is always the same for one attempt.

    The first interruption costs no delay: it was not the job's fault.
    """
    last = job.attempts[-1] if job.attempts else None
    if last is None or last.outcome is None:
        return 0.0
    steps = job.interruptions - 1 if last.outcome == "interrupted" else failures(job)
    if steps < 1:
        return 0.0
    delay = min(settings.retry_max_s, settings.retry_base_s * 2.0 ** min(steps - 1, 40))
    chance = hashlib.sha256(f"{job.id}/{last.number}".encode()).digest()[0] / 255
    return delay * (0.75 + 0.5 * chance)
