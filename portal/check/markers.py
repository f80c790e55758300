"""The small files beside the jobs: cancel markers, keys, limits, pauses, workers, half-written files, what was set aside."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from portal import clock
from portal.check.finding import Finding
from portal.check.look import Look, is_id
from portal.check.waiting import MOVED, UNREADABLE
from portal.durable import sweep
from portal.errors import BadJobFile, explain
from portal.jobs import ENGINE_PATTERN
from portal.spool import corrupt, keys, pausing, records, workers

_LIMIT = re.compile(r"[0-9a-f]{32}\.[0-9]+")
_WORKER = re.compile(r"\.?(.+)\.(lock|json|beat|drain)(\.fresh)?")
_FRESH = re.compile(r"\..+\.[0-9a-f]{12}")
_DEAD_AFTER_S = 3600
_DAY_MS = 86_400_000


def inspect(look: Look) -> Iterator[Finding]:
    for family in (_cancel, _keys, _limits, _paused, _workers, _half_written, _corrupt):
        yield from family(look)


def _cancel(look: Look) -> Iterator[Finding]:
    for name in records.names(look.layout.cancel):
        path = look.layout.cancel / name
        if not is_id(name):
            yield Finding("stray", path, "This is not the name of a cancel marker.", "Somebody put it there.", "Remove it.", note=True)
        elif (look.archived(name) or look.nowhere(name)) and path.exists():
            why = "The job ended as somebody asked for its end, or a copy is older than the rest."
            yield Finding("marker", path, "The job that was to be cancelled has finished or never was.", why, repairable=True, job_id=name)


def _keys(look: Look) -> Iterator[Finding]:
    for name in records.names(look.layout.keys):
        path = look.layout.keys / name
        job = look.job(path) if look.depth or name.endswith(".json") else None
        if isinstance(job, BadJobFile):
            yield Finding("unreadable", path, explain(job), UNREADABLE, repairable=True)
        elif job and (job.key is None or path != keys.path_of(look.layout, job.key)):
            hint = "Remove it, if no job is to be known by this key."
            yield Finding("stray", path, "The key inside this file asks for another name.", f"{MOVED} Nobody finds it.", hint)
        elif job and look.nowhere(job.id) and path.exists():
            yield _key_alone(look, path, job.id)


def _key_alone(look: Look, path: Path, job_id: str) -> Finding:
    if job_id in look.removed:
        why = "Retention removed its record and was cut off."
        return Finding("key", path, f"The job {job_id} of this key was removed.", why, repairable=True, job_id=job_id)
    if look.ran(job_id):
        why = "It has files in logs/, so it ran: its archive record was removed or not restored. A submit with this key would run it again."
        return Finding("key", path, f"The job {job_id} of this key is nowhere.", why, "Restore the record; or remove this file.", job_id=job_id)
    why = "Its submit was cut off before it was acknowledged, or its file was removed or not restored. The key file holds the job whole."
    return Finding("key", path, f"The job {job_id} of this key is nowhere and has never run.", why, repairable=True, job_id=job_id)


def _limits(look: Look) -> Iterator[Finding]:
    for name in records.names(look.layout.limits):
        if not _LIMIT.fullmatch(name):
            yield Finding("stray", look.layout.limits / name, "This is not the name of a place of a limit.", "Somebody put it there.", "Remove it.",
                          note=True)  # fmt: skip


def _paused(look: Look) -> Iterator[Finding]:
    for name in records.names(look.layout.paused):
        if not ENGINE_PATTERN.fullmatch(name.removesuffix(".json")):
            path = look.layout.paused / name
            yield Finding("stray", path, "This is not the name of a pause.", "Somebody put it there.", "Remove it.", note=True)
    for item in pausing.pauses(look.layout):
        again = f"`portal resume{f' --engine {item.engine}' if item.engine else ''}`"
        path = look.layout.paused / f"{item.scope}.json"
        yield Finding("paused", path, f"Paused is {item.told}.", "Its jobs wait until somebody resumes it.", again, note=True)


def _workers(look: Look) -> Iterator[Finding]:
    found = workers.workers(look.layout)
    for worker in found:
        if not worker.alive:
            why = "It was killed, or the machine was. Another takes its jobs over; after a day the entry is forgotten."
            path = look.layout.workers / f"{worker.name}.json"
            yield Finding("worker", path, f"The worker {worker.name} ended without leaving.", why, "Start a worker, unless one is alive.", note=True)
    for name in records.names(look.layout.workers):
        if not _WORKER.fullmatch(name):
            yield Finding("stray", look.layout.workers / name, "No worker writes such a file.", "Somebody put it there.", "Remove it.", note=True)
    waits = len(look.ready) + len(look.running)
    if waits and not any(worker.alive for worker in found):
        text = f"{waits} {'job waits' if waits == 1 else 'jobs wait'} and no worker lives."
        yield Finding("no-worker", look.layout.workers, text, "Nothing runs without one.", "Start one: `python worker.py`.", note=True)


def _half_written(look: Look) -> Iterator[Finding]:
    why = "Whoever wrote it was killed. It never had its name, so it never counted."
    for folder in (look.layout.tmp, look.layout.archive_tmp):
        if folder.is_dir():
            for path in sweep(folder, dry_run=True):
                yield Finding("half-written", path, "Somebody was cut off while writing this.", why, repairable=True, note=True)
            for path in folder.iterdir():
                if path.is_dir():
                    yield Finding("stray", path, "Only files that are being written belong here.", "Somebody made it.", "Remove it.", note=True)
    places = [look.settings.key_pair_dir, *(look.layout.archive.glob("[0-9]*/[0-9]*") if look.depth else ())]
    for path in (path for place in places if place.is_dir() for path in place.iterdir()):
        if _FRESH.fullmatch(path.name) and _age_s(path) > _DEAD_AFTER_S:
            yield Finding("half-written", path, "Somebody was cut off while writing this, more than an hour ago.", why, repairable=True, note=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _corrupt(look: Look) -> Iterator[Finding]:
    for item in corrupt.listed(look.layout):
        days = max(0, look.now_ms - clock.parse_ms(item.seen_at)) // _DAY_MS if _is_moment(item.seen_at) else 0
        since = f"since {item.seen_at[:10]}, {days} {'day' if days == 1 else 'days'}"
        hint = "Mend it and move it back into queue/, or submit the job again; then remove it."
        yield Finding("corrupt", item.path, f"{item.reason}\n  set aside: {since}", "It is kept until a person has looked at it.", hint)


def _is_moment(text: str) -> bool:
    try:
        return clock.parse_ms(text) >= 0
    except ValueError:
        return False


def repair(look: Look, finding: Finding) -> str | None:
    """Remove what is half written and has no writer."""
    path = finding.path
    if path.parent in (look.layout.tmp, look.layout.archive_tmp):
        return f"{path.name}: removed what was half written" if path in sweep(path.parent) else None
    if _age_s(path) <= _DEAD_AFTER_S:
        return None
    path.unlink(missing_ok=True)
    return f"{path.name}: removed what was half written"
