"""What one worker remembers of running/: who runs what, read again only when the folder changed."""

from __future__ import annotations

from portal.errors import BadJobFile
from portal.spool.layout import Layout
from portal.spool.listing import Stamp, settled_stamp, stamp_of
from portal.spool.records import read, running_ids


class Running:
    """The running records of one queue by the worker that started them. A record is always replaced, never written over."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._seen: Stamp | None = None
        self._records: dict[str, tuple[Stamp | None, str | None]] = {}

    def of(self, worker: str) -> list[str]:
        """Return the ids of the jobs in running/ whose open attempt a worker of this name started."""
        self._look()
        return [job_id for job_id, (_, owner) in self._records.items() if owner == worker]

    def ids(self) -> list[str]:
        """Return the ids of all jobs in running/."""
        self._look()
        return list(self._records)

    def _look(self) -> None:
        if self._seen is None or self._seen != stamp_of(self._layout.running):
            self._read()

    def _read(self) -> None:
        seen = settled_stamp(self._layout.running)
        self._records = {job_id: self._record(job_id) for job_id in running_ids(self._layout)}
        self._seen = seen

    def _record(self, job_id: str) -> tuple[Stamp | None, str | None]:
        path = self._layout.record(job_id)
        known = self._records.get(job_id)
        if known is not None and known[0] is not None and known[0] == stamp_of(path):
            return known
        stamp = settled_stamp(path)
        try:
            job = read(path)
        except BadJobFile:
            return stamp, None
        return stamp, job.open_attempt.worker if job and job.open_attempt else None
