"""The accounts of a chain: each file uploaded once, announced, fetched once, none left behind, none that nobody dropped, all books balanced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal import check
from portal.jobs import Job, Status
from portal.ledger import ledger
from portal.spool import Spool
from portal.spool.records import names
from portal.triggers import history
from tests.chain import drops
from tests.chain.places import PREFIX, Places, files_below
from tests.queues import archived

SHOWN = 10


@dataclass(frozen=True)
class Accounts:
    jobs: Sequence[Job]
    wrong: list[str]


def settle(places: Places, spool: Spool, count: int, *, versions: bool = True) -> Accounts:
    """Compare what was dropped with everything that there is. `versions`: the S3 tells the versions of an object."""
    numbers = {drops.path_of(number): number for number in range(count)}
    jobs = archived(spool)
    wrong = [
        *_folders(places, numbers), *_objects(places, numbers, versions=versions), *_ended(jobs), *_uploads(spool, jobs, set(numbers)),
        *_downloads(spool, jobs, set(numbers)), *_events(spool, jobs), *_left(places, spool),
    ]  # fmt: skip
    return Accounts(jobs, wrong)


def _few(what: str, found: Sequence[Any]) -> Iterator[str]:
    if found:
        yield f"{len(found)} {what}: {', '.join(map(str, found[:SHOWN]))}"


def _folders(places: Places, numbers: dict[str, int]) -> Iterator[str]:
    for folder in (places.watched, places.queued, places.dead):
        yield from _few(f"left in {folder.name}/", sorted(files_below(folder)))
    for folder, prefix in ((places.uploaded, ""), (places.fetched, PREFIX)):
        found = {name.removeprefix(prefix): path for name, path in files_below(folder).items()}
        yield from _few(f"missing in {folder.name}/", sorted(numbers.keys() - found.keys()))
        yield from _few(f"in {folder.name}/ that nobody dropped", sorted(found.keys() - numbers.keys()))
        other = [name for name, path in found.items() if name in numbers and path.read_bytes() != drops.content_of(numbers[name])]
        yield from _few(f"with other bytes in {folder.name}/", other)


def _objects(places: Places, numbers: dict[str, int], *, versions: bool) -> Iterator[str]:
    s3 = places.s3.client("s3")
    what, kind = ("list_object_versions", "Versions") if versions else ("list_objects_v2", "Contents")
    pages = s3.get_paginator(what).paginate(Bucket=places.name)
    found = Counter(item["Key"].removeprefix(PREFIX) for page in pages for item in page.get(kind, ()))
    yield from _few("not in the bucket", sorted(numbers.keys() - found.keys()))
    yield from _few("in the bucket that nobody dropped", sorted(found.keys() - numbers.keys()))
    yield from _few("uploaded more than once", [name for name, times in found.items() if times > 1])


def _ended(jobs: Sequence[Job]) -> Iterator[str]:
    bad = [job for job in jobs if job.status is not Status.SUCCEEDED]
    yield from _few("jobs did not succeed", [f"{job.id} {job.engine} {job.status.value}: {job.error}" for job in bad])


def _rows(spool: Spool, jobs: Sequence[Job], engine: str) -> Iterator[dict[str, Any]]:
    for job in jobs:
        path: Path = spool.folder(job.id) / ledger.LEDGER_FILE
        if job.engine == engine and path.exists():
            yield from ledger.read(path).select(["source_key", "target_key", "outcome", "reason"]).to_pylist()


def _uploads(spool: Spool, jobs: Sequence[Job], names: set[str]) -> Iterator[str]:
    """Every file is one row of one job, and it arrived."""
    rows = list(_rows(spool, jobs, "upload"))
    arrived = Counter(row["target_key"].removeprefix(PREFIX) for row in rows if row["outcome"] in ("copied", "skipped"))
    yield from _few("never booked as uploaded", sorted(names - arrived.keys()))
    yield from _few("booked as uploaded more than once", [name for name, times in arrived.items() if times > 1])
    bad = [row for row in rows if row["outcome"] in ("failed", "excluded")]
    yield from _few("booked as failed or left out", [f"{row['source_key']}: {row['reason']}" for row in bad])


def _downloads(spool: Spool, jobs: Sequence[Job], names: set[str]) -> Iterator[str]:
    """Every file was announced and is booked as fetched at most once: a kill between the file and its line makes it one that is there already."""
    rows = list(_rows(spool, jobs, "download"))
    key = "source_key"
    announced = {row[key].removeprefix(PREFIX) for row in rows}
    copied = Counter(row[key].removeprefix(PREFIX) for row in rows if row["outcome"] == "copied")
    yield from _few("never announced", sorted(names - announced))
    yield from _few("announced that nobody dropped", sorted(announced - names))
    yield from _few("fetched more than once", [name for name, times in copied.items() if times > 1])
    yield from _few("booked as failed", [f"{row[key]}: {row['reason']}" for row in rows if row["outcome"] == "failed"])


def _events(spool: Spool, jobs: Sequence[Job]) -> Iterator[str]:
    """One job of an event, and no event without a job."""
    known = {job.id for job in jobs}
    for name in ("up", "down"):
        told = [happened for happened in history.events(spool.layout, name) if happened.outcome == "submitted"]
        yield from _few(f"jobs that {name} tells of and nobody has", [happened.job for happened in told if happened.job not in known])
        yield from _few(f"jobs that {name} made twice", [job for job, times in Counter(happened.job for happened in told).items() if times > 1])
        of = Counter(job.labels.get("event") for job in jobs if job.labels.get("trigger") == name)
        yield from _few(f"events of {name} with several jobs", [event for event, times in of.items() if times > 1])
    yield from _few("jobs of no trigger", [job.id for job in jobs if not job.submitted_by.startswith("trigger:")])


def _left(places: Places, spool: Spool) -> Iterator[str]:
    if waiting := places.waiting():
        yield f"{waiting} messages are left in the queue"
    layout = spool.layout
    for folder in (layout.running, layout.delayed, layout.locks, layout.tmp, layout.cancel, layout.corrupt, layout.archive_tmp):
        yield from _few(f"left in {folder.name}/", list(names(folder)))
    for name in ("up", "down"):
        yield from _few(f"batches left of {name}", list(names(layout.triggers / name / "batches")))
    yield from (f"check: {finding.kind}: {finding.path.name}: {finding.text}" for finding in check.inspect(spool.settings))
