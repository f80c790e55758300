"""How the queue is: who works on it, what waits, what needs attention."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

import streamlit as st

from portal.settings import Settings
from portal.spool import Spool, WorkerInfo, pausing
from portal.spool.pausing import Pauses
from portal.ui import wording
from portal.ui.wording import plain

NO_WORKER = "No worker is running: start `python worker.py`"
_NEARLY_FULL_SHARE = 0.05


@dataclass(frozen=True)
class Health:
    counts: dict[str, int]
    workers: tuple[WorkerInfo, ...]
    free_bytes: int
    disk_bytes: int
    needed_bytes: int
    """Submitting is refused below this."""
    pauses: Pauses = field(default_factory=Pauses)

    @property
    def alive(self) -> tuple[WorkerInfo, ...]:
        return tuple(worker for worker in self.workers if worker.alive)

    @property
    def serving(self) -> tuple[WorkerInfo, ...]:
        """The workers that take jobs: not those that are drained, stopped or do not go round."""
        return tuple(worker for worker in self.workers if worker.takes_jobs)

    @property
    def disk_full(self) -> bool:
        return self.free_bytes < self.needed_bytes

    @property
    def disk_nearly_full(self) -> bool:
        return self.free_bytes < max(2 * self.needed_bytes, int(self.disk_bytes * _NEARLY_FULL_SHARE))

    @property
    def active(self) -> bool:
        """True while something runs or is about to: worth looking often."""
        return bool(self.counts.get("running") or self.counts.get("cancel_requested") or self._starting)

    @property
    def _starting(self) -> bool:
        return bool(self.serving and self.counts.get("queued") and not self.pauses.queue)


def look(settings: Settings, spool: Spool) -> Health:
    disk = shutil.disk_usage(settings.queue_dir)
    return Health(spool.counts(), tuple(spool.workers()), disk.free, disk.total, settings.min_free_mb << 20, pausing.holds(spool.layout))


def warn(health: Health) -> None:
    """Say what needs attention, above everything else on the page; pauses apart: see `portal.ui.pauses`."""
    waiting = health.counts.get("queued", 0) + health.counts.get("delayed", 0)
    if not health.alive:
        told = f" {wording.count_of(waiting, 'job waits', 'jobs wait')} for one." if waiting else " Jobs can be submitted; they wait for one."
        st.warning(f"{NO_WORKER}.{told}", icon=":material/warning:")
    elif not health.serving:
        st.warning(f"No worker takes jobs: {plain(', '.join(_idle(worker) for worker in health.alive))}.", icon=":material/warning:")
    if health.disk_full:
        st.error(f"The disk of the queue is full: {wording.size(health.free_bytes)} are free and {wording.size(health.needed_bytes)} are needed. "
                 "No jobs are accepted until space is freed.", icon=":material/hard_drive:")  # fmt: skip
    elif health.disk_nearly_full:
        st.warning(f"The disk of the queue is nearly full: {wording.size(health.free_bytes)} are free.", icon=":material/hard_drive:")
    if corrupt := health.counts.get("corrupt", 0):
        st.warning(f"{wording.count_of(corrupt, 'job file')} in the queue cannot be read and lie in `queue/corrupt/`; the overview lists them.",
                   icon=":material/broken_image:")  # fmt: skip


def _idle(worker: WorkerInfo) -> str:
    how = "is stopped" if worker.stopped else "does not respond" if worker.hanging else "is being drained"
    return f"{worker.name} {how}"
