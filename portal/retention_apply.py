"""Removing what retention planned, so that it can be cut off anywhere and done again.

Per day: prove that its records are those that were sealed → make its audit rows whole and durable → write the tombstone, signed and on the disk →
remove the files in logs/ → remove key files, then records. The tombstone names everything before it goes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path

from portal import audit_days, clock, retention, seal, seal_tombstones
from portal.durable import sync_folder
from portal.errors import BadJobFile
from portal.jobs import Job
from portal.outputlog import KEPT_PARTS
from portal.retention import DayPlan, NotRemovable
from portal.seal import Seal
from portal.seal_tombstones import Act, Tombstone
from portal.settings import Settings
from portal.spool import keys, records
from portal.spool.layout import Layout

_VERIFY = "`portal audit verify` tells what does not fit; restore it from a backup."


def apply(settings: Settings, plans: Iterable[DayPlan], by: str) -> list[str]:
    """Remove what the plans name; returns what was done, a line a day. Nobody seals or retains at the same time.

    Raises:
        NotRemovable: a day is not as it was sealed; what came before it is done.
        SettingError: the signing key is missing.
    """
    layout = Layout(settings)
    plans, done = list(plans), []
    if not plans:
        retention.stamp(settings)
        return []
    with seal.alone(settings):
        chain = {item.day: item for item in seal.chain(settings)}
        for plan in plans:
            line = _apply_day(layout, plan, chain.get(plan.day.isoformat()), by)
            done += [line] if line else []
    retention.stamp(settings)
    return done


def _apply_day(layout: Layout, plan: DayPlan, sealed: Seal | None, by: str) -> str | None:
    settings = layout.settings
    needed = retention.needed(layout)  # somebody may have submitted a retry since
    logs, gone = [item for item in plan.logs if item not in needed], [item for item in plan.records if item not in needed]
    if not (logs or gone) or sealed is None:
        return None
    tombstone = _tombstone(settings, plan.day, sealed)
    if not seal.is_whole(settings, sealed):
        raise NotRemovable(f"The seal of {plan.day} was changed, or is not signed by a key of this portal.", hint=_VERIFY)
    told = _read_sealed(settings, plan.day, sealed, {*logs, *gone}, but=tombstone.records)
    act = _act(plan, sealed, tombstone, told, logs, gone, by)
    if act.records and tombstone.rows is None:
        rows = audit_days.keep_rows(layout.archive, plan.day)
        if rows is None:
            raise NotRemovable(f"The audit rows of {plan.day} cannot be made whole.", hint=_VERIFY)
        tombstone = replace(tombstone, rows=rows)
    if act.records or act.logs:
        seal_tombstones.write(settings, replace(tombstone, acts=(*tombstone.acts, act)))
    _remove_files(layout, logs)
    for job_id in gone:
        _forget_key(layout, told.get(job_id))
    _remove_records(layout.day(plan.day), gone)
    return f"{plan.day}: removed the files of {len(logs)} jobs and {len(gone)} records"


def _tombstone(settings: Settings, day: date, sealed: Seal) -> Tombstone:
    found = seal_tombstones.trusted(settings, day)
    if found is None and seal_tombstones.path_of(settings.archive_dir, day).exists():
        raise NotRemovable(f"The tombstone of {day} is not signed by a key of this portal.", hint=_VERIFY)
    if found and found.rows and found.rows != audit_days.rows_digest(settings.archive_dir, day):
        raise NotRemovable(f"The audit rows of {day} are not those that were kept.", hint="Restore them from a backup.")
    return found or Tombstone(day.isoformat(), sealed.digest)


def _read_sealed(settings: Settings, day: date, sealed: Seal, wanted: set[str], but: set[str]) -> dict[str, Job]:
    """Return records of a day, each proved to be the one that was sealed; those in `but` may be gone. Raises NotRemovable."""
    told = {}
    for job_id in sorted(wanted):
        path = audit_days.folder(settings.archive_dir, day) / f"{job_id}.json"
        try:
            data = path.read_bytes()
            job = Job.from_json(data)
        except (FileNotFoundError, BadJobFile):
            data, job = b"", None
        if job is None and job_id in but:
            continue
        if job is None or sealed.records.get(job_id) != hashlib.sha256(data).hexdigest():
            text = f"The record of job {job_id} is missing, or is not the one that was sealed with {day}: nothing of that day is removed."
            raise NotRemovable(text, hint=_VERIFY)
        told[job_id] = job
    return told


def _act(plan: DayPlan, sealed: Seal, tombstone: Tombstone, told: dict[str, Job], logs: list[str], gone: list[str], by: str) -> Act:
    """What is written down: only what no earlier act has named."""
    files = {job_id: told[job_id].artefacts for job_id in logs if job_id in told and job_id not in tombstone.logs}
    return Act(
        at=clock.iso(clock.now_ms()), by=by, why="named by day, though not exported" if plan.unexported else "retention",
        records={job_id: sealed.records[job_id] for job_id in gone if job_id not in tombstone.records},
        logs={job_id: hashlib.sha256(json.dumps(list(items), sort_keys=True).encode()).hexdigest() for job_id, items in files.items()},
        files=sum(len(items) for items in files.values()), size_bytes=sum(_size(item) for items in files.values() for item in items),
    )  # fmt: skip


def _size(item: object) -> int:
    size = item.get("size_bytes") if isinstance(item, dict) else None
    return size if isinstance(size, int) else 0


def _remove_files(layout: Layout, job_ids: Iterable[str]) -> None:
    for job_id in job_ids:
        folder = layout.folder(job_id)
        if folder.is_symlink():
            folder.unlink()
        elif folder.is_dir():
            shutil.rmtree(folder)
        for name in (f"{job_id}.log", *(f"{job_id}.log.{number}" for number in range(1, KEPT_PARTS + 1))):
            (layout.logs / name).unlink(missing_ok=True)
    if layout.logs.is_dir():
        sync_folder(layout.logs)


def _forget_key(layout: Layout, job: Job | None) -> None:
    """A key whose job is gone would run it again at the next submit with that key."""
    if job is None or job.key is None:
        return
    path = keys.path_of(layout, job.key)
    try:
        first = records.read(path)
    except BadJobFile:
        return
    if first is not None and first.id == job.id:
        records.remove(path)


def _remove_records(folder: Path, job_ids: Iterable[str]) -> None:
    for job_id in job_ids:
        (folder / f"{job_id}.json").unlink(missing_ok=True)
    if folder.is_dir():
        sync_folder(folder)
