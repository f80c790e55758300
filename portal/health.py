"""Whether the queue is served: what keeps jobs from being run, and what somebody should know all the same.

Nothing here writes or takes a job's lock, and nothing costs more as the archive grows. The answer is of one moment: a monitor that asks twice before
it wakes somebody is right, because a machine that was asleep is not well until its worker has gone round once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portal import clock, processes
from portal.errors import PortalError
from portal.settings import Settings
from portal.spool import pausing, reading, reasons, records
from portal.spool.layout import Layout, Waiting
from portal.spool.locks import holder
from portal.spool.workers import WorkerInfo, workers
from portal.triggers import standing
from portal.triggers.standing import Trouble
from portal.version import version

_MIB = 1 << 20
_PATIENCE_S, _PATIENCE_POLLS = 60.0, 3
_NEARLY_FULL_SHARE = 0.05
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about the queue: `kind` for programs, `text` and what to do (`hint`) for people."""

    kind: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """Room on the file system of some of the portal's folders. `free_files` is None where the file system does not count them."""

    folders: tuple[Path, ...]
    free_bytes: int
    size_bytes: int
    free_files: int | None


@dataclass(frozen=True)
class Health:
    """The state of one queue. `problems` make it unwell; `notes` do not."""

    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    counts: dict[str, int]
    """Jobs: queued, delayed, running, corrupt, cancel_requested."""
    workers: tuple[WorkerInfo, ...]
    disks: tuple[Disk, ...]

    @property
    def well(self) -> bool:
        return not self.problems


def look(settings: Settings) -> Health:
    """Look at a queue once. Raises PortalError when this user may not."""
    try:
        return _look(settings)
    except PermissionError as error:
        raise PortalError("The queue cannot be looked at.", hint=f"This user must be able to read {settings.home}: add it to its group.") from error


def _look(settings: Settings) -> Health:
    layout = Layout(settings)
    if not layout.queue.is_dir():
        missing = Finding("missing", f"There is no queue at {layout.queue}.", "The first submit or worker makes it; PORTAL_HOME names its folder.")
        return Health((missing,), (), {}, (), ())
    known = tuple(workers(layout))
    disks = tuple(_disks(layout))
    troubles = tuple(standing.troubles(layout))
    problems = (*_workers(known), *_full(settings, disks), *_late(layout, known), *_triggers(troubles, known))
    counts = reading.counts(layout)
    notes = (*_paused(layout), *_worker_notes(known), *_filling(settings, disks), *_left_to_do(layout, counts), *_trigger_notes(troubles))
    return Health(problems, notes, counts, known, disks)


def _workers(known: tuple[WorkerInfo, ...]) -> Iterator[Finding]:
    living = [worker for worker in known if worker.alive]
    if not living:
        yield Finding("no-worker", "No worker is running.", "Start one with `python worker.py`, or look why the service does not start it.")
    for worker in living:
        if worker.stopped:
            yield Finding("worker-stopped", f"The worker {worker.name} (pid {worker.pid}) was stopped by a signal or a debugger and does nothing.",
                          f"`kill -CONT {worker.pid}` lets it go on.")  # fmt: skip
        elif worker.hanging:
            yield Finding("worker-hanging", f"The worker {worker.name} (pid {worker.pid}) lives and has done nothing for {worker.beat_age_s:.0f} s.",
                          "Look at its log and at the disk; a new worker takes its jobs over when it is ended.")  # fmt: skip


def _worker_notes(known: tuple[WorkerInfo, ...]) -> Iterator[Finding]:
    now = version()
    for worker in known:
        if not worker.alive:
            yield Finding("worker-dead", f"The worker {worker.name} ended without leaving.", "It is forgotten after a day.")
        elif worker.draining:
            yield Finding("draining", f"The worker {worker.name} takes no more jobs and ends when its {worker.running} running jobs have ended.")
        if worker.alive and worker.version and worker.version != now:
            yield Finding("old-code", f"The worker {worker.name} runs other code ({worker.version}) than there is on the disk ({now}).",
                          "Start it again when you are done: its running jobs go on.")  # fmt: skip


def _disks(layout: Layout) -> Iterator[Disk]:
    folders: dict[int, list[Path]] = {}
    for folder in (layout.queue, layout.logs, layout.archive):
        if folder.is_dir():
            folders.setdefault(os.stat(folder).st_dev, []).append(folder)
    for group in folders.values():
        room = os.statvfs(group[0])
        yield Disk(tuple(group), room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize, room.f_favail if room.f_files else None)


def _full(settings: Settings, disks: tuple[Disk, ...]) -> Iterator[Finding]:
    for disk in disks:
        where = _named(disk)
        if disk.free_bytes < settings.min_free_mb * _MIB:
            refused = f"new jobs are refused below {settings.min_free_mb} MiB"
            yield Finding("disk", f"The disk of {where} has {disk.free_bytes // _MIB} MiB left; {refused}.",
                          "Free some room, or lower PORTAL_MIN_FREE_MB.")  # fmt: skip
        if disk.free_files is not None and disk.free_files < settings.min_free_inodes:
            refused = f"new jobs are refused below {settings.min_free_inodes}"
            yield Finding("disk", f"The disk of {where} can hold {disk.free_files} more files; {refused}.",
                          "Remove files that are not needed, or lower PORTAL_MIN_FREE_INODES.")  # fmt: skip


def _filling(settings: Settings, disks: tuple[Disk, ...]) -> Iterator[Finding]:
    for disk in disks:
        needed = settings.min_free_mb * _MIB
        if needed <= disk.free_bytes < max(2 * needed, int(disk.size_bytes * _NEARLY_FULL_SHARE)):
            yield Finding("disk", f"The disk of {_named(disk)} is nearly full: {disk.free_bytes // _MIB} MiB are left.", "Free some room.")


def _named(disk: Disk) -> str:
    return " and ".join(folder.name + "/" for folder in disk.folders)


def _triggers(troubles: tuple[Trouble, ...], known: tuple[WorkerInfo, ...]) -> Iterator[Finding]:
    """What keeps all triggers from their work, told only while a worker lives, who should see to it."""
    if any(worker.alive for worker in known):
        yield from (Finding(item.kind, item.text, item.hint) for item in troubles if item.serious)


def _trigger_notes(troubles: tuple[Trouble, ...]) -> Iterator[Finding]:
    yield from (Finding(item.kind, item.text, item.hint) for item in troubles if not item.serious)


def _paused(layout: Layout) -> Iterator[Finding]:
    for item in pausing.pauses(layout):
        again = "`python -m portal resume" + (f" --engine {item.engine}`" if item.engine else "`")
        yield Finding("paused", f"Paused is {item.told}.", f"{again} starts its jobs again.")


def _left_to_do(layout: Layout, counts: dict[str, int]) -> Iterator[Finding]:
    if count := counts["corrupt"]:
        yield Finding("corrupt", f"queue/corrupt/ holds {_many(count, 'file')} that nobody could read.", "`python -m portal check` tells why.")
    if not (layout.reserve / "space").exists():
        yield Finding("reserve", "The reserve for finishing jobs on a full disk is used up.", "A worker builds it again when there is room.")


def _late(layout: Layout, known: tuple[WorkerInfo, ...]) -> Iterator[Finding]:
    """What a worker that goes round should have done long ago. Without one that does, that is the problem to tell."""
    working = [worker for worker in known if worker.takes_jobs]
    if not working:
        return
    before_ms = clock.now_ms() - round((_PATIENCE_S + _PATIENCE_POLLS * layout.settings.poll_s) * 1000)
    if ready := _not_taken(layout, working, before_ms):
        yield Finding("overdue", f"{_many(len(ready), 'job')} could have been started since more than {_PATIENCE_S:.0f} s, and a slot is free: "
                      f"{_listed(ready)}.", "Look at the worker's log.")  # fmt: skip
    if due := _not_promoted(layout, before_ms):
        yield Finding("overdue", f"{_many(len(due), 'delayed job')} should have become ready long ago: {_listed(due)}.", "Look at the worker's log.")
    if unsettled := [job_id for job_id in records.running_ids(layout) if _is_unsettled(layout, job_id, before_ms)]:
        yield Finding("unsettled", f"{_many(len(unsettled), 'job')} ended long ago and no worker has noticed: {_listed(unsettled)}.",
                      "Look at the worker's log; `python -m portal check` tells more.")  # fmt: skip
    kill_ms = round(layout.settings.kill_after_s * 1000)
    if lasting := [job_id for job_id in records.names(layout.cancel) if _changed_ms(layout.cancel / job_id) < before_ms - kill_ms]:
        yield Finding("cancel", f"{_many(len(lasting), 'job')} should have ended after a cancel: {_listed(lasting)}.", "Look at the worker's log.")


def _not_taken(layout: Layout, working: list[WorkerInfo], before_ms: int) -> list[str]:
    """Jobs that could have been started all the time since `before_ms`: nothing was paused or resumed since, and no job started or ended."""
    last = max(_changed_ms(path) for path in (layout.paused, layout.running, *(layout.workers / f"{worker.name}.json" for worker in working)))
    if last >= before_ms:
        return []
    return [item.job_id for path in reasons.next_up(layout) if _changed_ms(path) < before_ms and (item := Waiting.ready(path.name))]


def _not_promoted(layout: Layout, before_ms: int) -> list[str]:
    late = []
    for item in records.each_delayed(layout):
        if (item.due_ms or 0) >= before_ms:
            break
        late.append(item.job_id)
    return late


def _is_unsettled(layout: Layout, job_id: str, before_ms: int) -> bool:
    touched_ms = max(_changed_ms(layout.record(job_id)), _changed_ms(layout.log(job_id)))
    runner = holder(layout.lock(job_id))
    return touched_ms < before_ms and not processes.is_alive(runner) and not processes.is_elsewhere(runner)


def _changed_ms(path: Path) -> int:
    """When a file was last written, moved or linked, or a folder's names changed; 0 when it is not there, so that nobody waits for it."""
    try:
        return path.stat().st_ctime_ns // 1_000_000
    except FileNotFoundError:
        return 0


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _listed(ids: list[str]) -> str:
    more = len(ids) - _NAMED
    return ", ".join(ids[:_NAMED]) + (f" and {more} more" if more > 0 else "")
