"""Retention: what may be removed from logs/ and archive/, told day by day before anything is.

Never removed: anything of a day that is not sealed, or whose records are not those that were sealed; records that no export carried away;
records whose idempotency key is still remembered; anything of a job that waits or runs, or that one of these was made from.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from portal import clock, jobs, seal, seal_tombstones
from portal.audit_export_known import Exports
from portal.errors import BadJobFile, PortalError
from portal.seal import Seal
from portal.settings import Settings
from portal.spool import reading, records
from portal.spool.layout import Layout, running_id

_STAMP = ".retained"
_EVERY_S = 86_400 - 3_600


@dataclass(frozen=True)
class DayPlan:
    """What retention does to one day: ids of the jobs whose files and whose records go, and why others, or all, stay."""

    day: date
    logs: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Jobs whose files or records are old enough and stay, because a job that waits or runs needs them."""
    stays: str = ""
    """Why the records of the whole day stay, though they are old enough."""
    unexported: bool = field(default=False, compare=False)
    """The records go because somebody named the day, not because they were exported."""


def plan(settings: Settings, today: date | None = None, even_unexported: Collection[date] = ()) -> list[DayPlan]:
    """Return what there is to remove, and the days that are old enough and stay; empty when nothing is set or nothing is due.

    Args:
        even_unexported: days whose records may go though no export carried them away.

    Raises:
        ChainBroken: a seal cannot be read; nothing is removed while the chain is damaged.
    """
    now = today or datetime.now(UTC).date()
    logs_before, records_before = _limits(settings, now)
    if logs_before is None and records_before is None:
        return []
    chain = seal.chain(settings)
    exports = Exports(settings, chain)
    wanted = needed(Layout(settings))
    plans = []
    for item in chain:
        day = date.fromisoformat(item.day)
        whole = records_before is not None and day < records_before
        if whole or (logs_before is not None and day < logs_before):
            plans.append(_day_plan(settings, item, wanted, whole, exports, day in even_unexported))
    return [item for item in plans if item.logs or item.records or item.kept or item.stays]


def _limits(settings: Settings, today: date) -> tuple[date | None, date | None]:
    """The days before which files, and records, go. A record outlives its files, and its idempotency key not."""
    keep_records = settings.keep_archive_days
    if keep_records is not None:
        keep_records = max(keep_records, settings.key_days + 1)
    records_before = None if keep_records is None else today - timedelta(days=keep_records)
    logs_before = None if settings.keep_logs_days is None else today - timedelta(days=settings.keep_logs_days)
    return logs_before, records_before


def needed(layout: Layout) -> set[str]:
    """Ids of the jobs that wait or run, and of those whose results or ledgers they need."""
    found: set[str] = set()
    for _ in range(2):  # one that moves between the folders is met in the second round
        found.update(reading.waiting_ids(layout), records.running_ids(layout))
        for job in _alive(layout):
            found |= {job.id, job.parent or job.id, job.retry_of or job.id}
    return found


def _alive(layout: Layout) -> Iterator[jobs.Job]:
    yield from reading.waiting(layout)
    for job_id in records.running_ids(layout):
        try:
            job = records.read(layout.record(job_id))
        except BadJobFile:
            continue
        if job:
            yield job


def _day_plan(settings: Settings, item: Seal, needed: set[str], whole: bool, exports: Exports, named: bool) -> DayPlan:
    layout, day = Layout(settings), date.fromisoformat(item.day)
    tombstone = seal_tombstones.trusted(settings, day)
    gone = tombstone.records if tombstone else set()
    there = {job_id for name in records.names(layout.day(day)) if (job_id := running_id(name))}
    stays = _stays(settings, item, there, exports, named) if whole and there & set(item.records) else ""
    going_on = there & gone  # an earlier removal was cut off
    removed = sorted(((there & set(item.records)) if whole and not stays else going_on) - needed)
    with_files = sorted(job_id for job_id in item.records if has_files(layout, job_id))
    files_due = settings.keep_logs_days is not None or (whole and not stays)
    going = [job_id for job_id in with_files if job_id not in needed] if files_due else [job_id for job_id in with_files if job_id in gone]
    kept = sorted(needed & (set(with_files) | (there if whole else set())) & set(item.records))
    return DayPlan(day, tuple(going), tuple(removed), tuple(kept), stays, unexported=bool(removed) and not exports.covers(item))


def _stays(settings: Settings, item: Seal, there: set[str], exports: Exports, named: bool) -> str:
    if there - set(item.records):
        return "it holds records that its seal does not name; `portal audit verify` tells which"
    if not (named or exports.covers(item)):
        return f"no export has carried its records away: run audit_export over {item.day}, or name the day with --even-unexported {item.day}"
    return ""


def has_files(layout: Layout, job_id: str) -> bool:
    """Tell whether logs/ has anything of a job."""
    return layout.log(job_id).exists() or layout.folder(job_id).exists() or os.path.lexists(layout.folder(job_id))


def due(settings: Settings, now_ms: int) -> bool:
    """Tell whether it is time to apply what is set: at most once a day, whichever worker asks."""
    if settings.keep_logs_days is None and settings.keep_archive_days is None:
        return False
    try:
        applied_ms = (settings.archive_dir / _STAMP).stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return True
    return not 0 <= now_ms - applied_ms < _EVERY_S * 1000


def told(plans: Iterable[DayPlan]) -> list[str]:
    """Return a plan for people, a line a day."""
    lines = []
    for item in plans:
        parts = [f"files of {len(item.logs)} jobs" if item.logs else "", f"{len(item.records)} records" if item.records else ""]
        going = " and ".join(part for part in parts if part)
        line = f"{item.day}: {going or 'nothing'} {'go' if going else 'goes'}"
        line += f"; {len(item.kept)} jobs stay: others that wait or run need them" if item.kept else ""
        lines.append(line + (f"; the records stay: {item.stays}" if item.stays else ""))
    return lines


def stamp(settings: Settings) -> None:
    """Note that what is set was applied."""
    path = settings.archive_dir / _STAMP
    path.touch()
    os.utime(path, ns=(clock.now_ms() * 1_000_000,) * 2)


class NotRemovable(PortalError):
    """A day is not as it was sealed; nothing of it is removed."""
