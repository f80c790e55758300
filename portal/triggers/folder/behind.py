"""Files that were taken and whose job ended without them: where they wait, so that somebody hears of them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from portal import clock, jobs
from portal.errors import BadJobFile
from portal.jobs import Job
from portal.spool import Spool, records
from portal.triggers.folder import left
from portal.triggers.folder.left import Left
from portal.triggers.retrying import only_left_out
from portal.triggers.trigger import NAME_LABEL, Trigger

MOST, NEWEST = 400, 100
"""So many jobs' folders are looked at in one go: some on a way round all of them, and always the newest ones."""
_EVERY_S, _FIRST_EVERY_S = 60.0, 5.0
_NAMED = 3
"""So many of a job's files are named."""
_YOUNG_MS = 600_000
"""Another trigger that has the same folder may be filling it for a job that it has not submitted."""


class Behind:
    """Knows of each folder in `queued` that has files of a job of this trigger that is over, or of a job that is nowhere."""

    def __init__(self, spool: Spool, trigger: Trigger) -> None:
        self._spool, self._trigger = spool, trigger
        self._known: dict[str, tuple[str, str]] = {}
        self._passed, self._been_round = "", False

    def look(self, queued: Path) -> float:
        """Look at some of the folders, a bounded number; returns the seconds until the next ones are due."""
        names = [name for name in records.names(queued) if jobs.ID_PATTERN.fullmatch(name)]
        older, newest = names[:-NEWEST], names[-NEWEST:]
        start = bisect_right(older, self._passed)
        part = older[start : start + MOST]
        self._been_round |= start + MOST >= len(older)
        self._passed = part[-1] if start + MOST < len(older) else ""
        there = set(names)
        self._known = {job_id: item for job_id, item in self._known.items() if job_id in there}
        for job_id in (*part, *newest):
            self._known.pop(job_id, None)
            if (why := _why(self._spool, self._trigger, job_id)) and (files := _some(queued / job_id)):
                self._known[job_id] = why, f"{files} of job {job_id}, in {queued.name}"
        return _EVERY_S if self._been_round else _FIRST_EVERY_S

    def tell(self, why_not: Left) -> None:
        for job_id, (why, name) in sorted(self._known.items()):
            why_not.add(why, name, job_id)


def _some(folder: Path) -> str:
    """The first of the files below a folder, '' when there is none."""
    names = list(islice(_files(folder), _NAMED + 1))
    return ", ".join([*names[:_NAMED], *(["…"] if names[_NAMED:] else [])])


def _why(spool: Spool, trigger: Trigger, job_id: str) -> str:
    try:
        job = spool.find(job_id)
    except BadJobFile:
        return ""  # `portal check` tells of it
    if job is None:
        return left.NO_JOB if _empties(trigger) and clock.now_ms() - jobs.id_ms(job_id) > _YOUNG_MS else ""
    if not job.status.finished or job.labels.get(NAME_LABEL) != trigger.name:
        return ""
    if not only_left_out(job):
        return left.BEHIND
    return left.LEFT_OUT if _empties(job) else ""


def _empties(maker: Trigger | Job) -> bool:
    """Whether a job, or those of a trigger, leave no file where they found it. Those of others stay longer than their records may be kept."""
    usual = "move" if isinstance(maker, Trigger) else "keep"  # unless told otherwise; in a job's parameters the engine's own is left out
    return maker.engine == "upload" and maker.params.get("after", usual) != "keep"


def _files(folder: Path) -> Iterator[str]:
    """Yield the files below a folder as paths in it, always in the same order."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.relpath(os.path.join(place, name), folder) for name in sorted(names))
