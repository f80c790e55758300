"""Idempotency keys: the first job submitted with a key is the job of that key, for as long as the key is remembered."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from portal import clock
from portal.durable import publish
from portal.errors import BadJobFile
from portal.jobs import Job
from portal.spool import corrupt
from portal.spool.layout import Layout
from portal.spool.records import archived_path, names, read, remove

_DAY_MS = 86_400_000


def path_of(layout: Layout, key: str) -> Path:
    return layout.keys / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def claim(layout: Layout, job: Job) -> Job:
    """Return the job that stands for `job.key`, durably: this one, or the one that came first."""
    if job.key is None:
        raise ValueError(f"{job.id} has no key")
    path = path_of(layout, job.key)
    while True:
        if publish(path, job.to_json().encode(), layout.tmp):
            return job
        try:
            first = read(path)
        except BadJobFile as error:
            corrupt.set_aside(layout, path, error)
            continue
        if first is not None:
            return first


def forget_secrets(layout: Layout, job: Job) -> None:
    """Take the sealed part out of the key file of a job that is archived."""
    if job.key is None:
        return
    path = path_of(layout, job.key)
    try:
        first = read(path)
    except BadJobFile:
        return
    if first is not None and first.id == job.id and first != (bare := first.without_sealed()):
        publish(path, bare.to_json().encode(), layout.tmp, replace=True)


def forget_old(layout: Layout, now_ms: int) -> list[Path]:
    """Remove the keys that are older than `key_days` and whose job is archived; a file that is younger itself is not read."""
    oldest, folder = now_ms - layout.settings.key_days * _DAY_MS, str(layout.keys)
    forgotten = []
    for name in names(layout.keys):
        if _written_ms(f"{folder}/{name}") >= oldest:
            continue
        path = layout.keys / name
        try:
            job = read(path)
        except BadJobFile as error:
            corrupt.set_aside(layout, path, error)
            continue
        if job is not None and clock.parse_ms(job.submitted_at) < oldest and archived_path(layout, job.id):
            remove(path)
            forgotten.append(path)
    return forgotten


def _written_ms(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 0
