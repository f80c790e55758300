"""Recovery and the ordinary end of a job are one thing: act on what is in running/ when its lock is free, and only while holding it."""

from __future__ import annotations

import logging
import time

from portal import clock, processes
from portal.errors import BadJobFile
from portal.jobs import ID_PATTERN, Job, Status
from portal.spool import corrupt
from portal.spool.finishing import ended as ended_job
from portal.spool.finishing import finish
from portal.spool.layout import Layout
from portal.spool.locks import Lock
from portal.spool.outcome import Verdict, closed, delay_s, judge, left_behind, status_after
from portal.spool.records import archived_path, delayed_paths, names, put_back, read, ready_paths, remove, save, with_room

log = logging.getLogger("portal.spool")

_PATIENCE_S = 5.0
_AGAIN_AFTER_S = 1.0
_unending: dict[str, float] = {}
"""Jobs with a process that nobody can end, because it hangs in the kernel, say; each with the moment of the next try."""


def settle(layout: Layout, job_id: str) -> Job | None:
    """Bring a job whose runner has gone to where it belongs: archive, delayed/ or queue/.

    Returns:
        The job as it is now; None when somebody holds it, or it is not in running/ any more.
    """
    lock = with_room(layout, lambda: Lock.take(layout.lock(job_id)))
    return None if lock is None else settle_held(layout, job_id, lock)


def settle_held(layout: Layout, job_id: str, lock: Lock) -> Job | None:
    """The same for a caller that holds the job's lock, which is gone afterwards."""
    settled = True
    try:
        job = read(layout.record(job_id))
        if job is None:
            return None
        if job.id != job_id:
            raise BadJobFile(f"The file is named for {job_id} and holds {job.id}.")
        archived = archived_path(layout, job_id) is not None
        if not archived and job.finished_at is None and (job := _close(layout, job)) is None:
            settled = False
            return None
        return finish(layout, job) if archived or job.finished_at else _wait_again(layout, job)
    except BadJobFile as error:
        processes.end_marked(job_id, layout.settings.home)
        corrupt.set_aside(layout, layout.record(job_id), error)
        return None
    except BaseException:
        settled = False
        raise
    finally:
        lock.remove() if settled else lock.release()


def _close(layout: Layout, job: Job) -> Job | None:
    """Find out how the last attempt ended and what follows; None while processes of the job cannot be ended."""
    cancelled = layout.marker(job.id).exists()
    attempt = job.open_attempt
    if attempt is None:
        return ended_job(job, Status.CANCELLED, _cancelled_text(job)) if cancelled else job
    ended = left_behind(layout, job, attempt)
    if ended.exit is None:
        if not _end_processes(layout, job.id):
            return None
        ended = left_behind(layout, job, attempt)
        for path in ready_paths(layout, job.id):
            path.unlink(missing_ok=True)  # its worker died between recording the claim and removing what it claimed
    verdict = judge(ended, cancelled=cancelled)
    return close_attempt(layout, job, verdict)


def _end_processes(layout: Layout, job_id: str) -> bool:
    """End what a dead runner left; False when it cannot be ended. Only the first try waits long: other jobs wait meanwhile."""
    known = job_id in _unending
    if known and time.monotonic() < _unending[job_id]:
        return False
    if processes.end_marked(job_id, layout.settings.home, 0.0 if known else _PATIENCE_S):
        _unending.pop(job_id, None)
        return True
    _unending[job_id] = time.monotonic() + _AGAIN_AFTER_S
    if not known:
        log.warning("%s: its runner has died and left processes that cannot be ended; it goes on when they have ended", job_id)
    return False


def close_attempt(layout: Layout, job: Job, verdict: Verdict) -> Job:
    """Return the job with the end of the open attempt and what follows: its own end, or, recorded, another attempt. Under the job's lock."""
    attempt = job.attempts[-1]
    ended = left_behind(layout, job, attempt)
    done = closed(attempt, ended, verdict, clock.iso(clock.now_ms()))
    job = job.evolve(
        attempts=(*job.attempts[:-1], done), interruptions=job.interruptions + (verdict.outcome == "interrupted"), result=ended.result,
    )  # fmt: skip
    status = status_after(job, verdict, layout.settings)
    if status.finished:
        return ended_job(job, status, verdict.error)
    job = job.evolve(status=Status.QUEUED, error=verdict.error, result=None)
    save(layout, job)
    return job


def end_unstarted(layout: Layout, job: Job, verdict: Verdict) -> Job:
    """Close an attempt whose runner could not be started, and finish the job or let it wait. Under the job's lock."""
    job = close_attempt(layout, job, verdict)
    return finish(layout, job) if job.finished_at else _wait_again(layout, job)


def put_off(layout: Layout, job: Job, reason: str) -> None:
    """Let a job wait a little whose runner could not even be started: nothing was tried, so nothing is counted. Under the job's lock."""
    job = job.evolve(status=Status.QUEUED, attempts=job.attempts[:-1], error=reason)
    save(layout, job)
    settings = layout.settings
    _wait_until(layout, job, clock.now_ms() + round(max(settings.poll_s, settings.retry_base_s) * 1000))


def _wait_again(layout: Layout, job: Job) -> Job:
    """Move a job without an open attempt back to where it waits."""
    last = job.attempts[-1].finished_at if job.attempts else job.not_before
    _wait_until(layout, job, clock.parse_ms(last) + round(delay_s(job, layout.settings) * 1000) if last else 0)
    return job.evolve(status=Status.QUEUED)


def _wait_until(layout: Layout, job: Job, due_ms: int) -> None:
    for path in delayed_paths(layout, job.id):
        remove(path)  # older: a power cut undid its promotion. Promoted once more it would take the place of what is put back here
    put_back(layout, job, due_ms)


def cancel_waiting(layout: Layout, job_id: str) -> Job | None:
    """Archive a cancelled job that does not run; drop the marker of one that has finished. None when there was nothing to do."""
    if not ID_PATTERN.fullmatch(job_id):
        return None  # somebody put it there; `check` names it
    lock = Lock.take(layout.lock(job_id))
    if lock is None:
        return None
    running = False
    try:
        running = layout.record(job_id).exists() or _moved_to_end(layout, job_id)
    finally:
        if not running:
            lock.remove()
    return settle_held(layout, job_id, lock) if running else None


def _moved_to_end(layout: Layout, job_id: str) -> bool:
    """Move a cancelled job that waits to where it is settled; without one its marker goes, and False is returned. Under the job's lock."""
    waiting = ready_paths(layout, job_id) + delayed_paths(layout, job_id)
    if archived_path(layout, job_id) or not waiting:
        layout.marker(job_id).unlink(missing_ok=True)  # after a power cut it may be there again, to no other effect
        return False
    waiting[0].rename(layout.record(job_id))
    return True


def sweep_locks(layout: Layout) -> None:
    """Remove the lock files that somebody left who was killed between the last step on a job and its lock."""
    for job_id in names(layout.locks):
        if not layout.record(job_id).exists() and (lock := Lock.take(layout.lock(job_id))):
            lock.remove()


def _cancelled_text(job: Job) -> str:
    return "The job was cancelled while it waited for its next attempt." if job.attempts else "The job was cancelled before it ran."
