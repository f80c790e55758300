"""The house itself: folders, whose they are, the disk under them, the reserve, the keys, the clock."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from portal import jobs, keypair
from portal.check.finding import Finding
from portal.check.look import Look
from portal.durable import keep_reserve
from portal.errors import PortalError, SettingError, explain
from portal.seal_keys import SEALING
from portal.spool import disk
from portal.spool.layout import Layout

_AHEAD_MS = 3_600_000


def folders(layout: Layout) -> list[Path]:
    """Return the folders that every home has."""
    return [
        layout.queue, layout.delayed, layout.running, layout.locks, layout.corrupt, layout.tmp, layout.cancel, layout.keys, layout.limits,
        layout.triggers, layout.workers, layout.paused, layout.reserve, layout.logs, layout.archive, layout.archive_tmp,
    ]  # fmt: skip


def inspect(look: Look) -> Iterator[Finding]:
    """Look at everything that is no job."""
    yield from _disk(look.layout)
    for path in folders(look.layout):
        yield from _folder(look.layout, path)
    yield from _reserve(look.layout)
    yield from _keys(look)
    yield from _clock(look)


def _disk(layout: Layout) -> Iterator[Finding]:
    for refuse in (disk.refuse_network, disk.refuse_when_full):
        try:
            refuse(layout)
        except PortalError as error:
            yield Finding("disk", layout.queue, explain(error))


def _folder(layout: Layout, path: Path) -> Iterator[Finding]:
    try:
        found = path.stat()
    except FileNotFoundError:
        why = "A copy may leave empty folders out. Nothing works in a folder that is not there."
        yield Finding("folder", path, "This folder is missing.", why, repairable=True)
        return
    if not stat.S_ISDIR(found.st_mode):
        yield Finding("folder", path, "This must be a folder.", "Somebody put something else there.", "Move it away, then run `check --repair`.")
        return
    if path.is_symlink():
        why = "What it leads to must be there whenever the portal starts, and must be on the same file system as the rest of its kind."
        yield Finding("symlink", path, f"This folder is a link to {path.resolve()}.", why, "Nothing, if it is meant.", note=True)
    root = layout.archive if path == layout.archive_tmp else layout.queue
    if path.is_relative_to(root) and found.st_dev != root.stat().st_dev:
        why = "Jobs are moved by link and rename, which do not work from one file system to another."
        yield Finding("file-system", path, f"This folder is on another file system than {root}.", why, "Put it on the same one.")
    yield from _rights(layout, path, found)


def _rights(layout: Layout, path: Path, found: os.stat_result) -> Iterator[Finding]:
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        why = "It belongs to another user; the portal's processes must all run as one."
        hint = "Run as the portal's user, or chown it."
        yield Finding("permissions", path, "This folder cannot be read and written by who runs this check.", why, hint)
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        why = "Whoever can write here can submit any job and change the archive."
        yield _too_open(path, "Every user of this machine may write here.", why, f"chmod o-w {path.resolve()}")
    owner = layout.queue.stat().st_uid
    if found.st_uid != owner:
        why = "A copy made by another user (root, mostly) leaves files that the portal cannot change."
        yield Finding("owner", path, f"The owner is user {found.st_uid}; that of queue/ is {owner}.", why, f"chown -R {owner} {path}")


def _too_open(path: Path, text: str, why: str, command: str) -> Finding:
    """Permissions to be narrowed: by the repair, but not those of what a link leads to."""
    return Finding("permissions", path, text, why, command, repairable=not path.is_symlink())


def _reserve(layout: Layout) -> Iterator[Finding]:
    if layout.reserve.is_dir() and not (layout.reserve / "space").exists() and disk.has_room(layout):
        why = "The disk was full once, or a copy left it out. Without it a full disk can keep running jobs from finishing."
        yield Finding("reserve", layout.reserve, "The reserve for a full disk is missing.", why, repairable=True)


def _keys(look: Look) -> Iterator[Finding]:
    folder = look.settings.key_pair_dir
    for path in sorted(folder.glob("*.key")):
        mode = path.stat().st_mode
        if mode & 0o077:
            text = f"This private key has mode {stat.S_IMODE(mode):o}; others than its owner may use it."
            why = "Whoever reads it can open sealed credentials, or sign a forged archive."
            yield _too_open(path, text, why, f"chmod 600 {path.resolve()}")
    try:
        signing = keypair.current(folder, SEALING)
        lost = signing is not None and keypair.private(folder, SEALING, signing.id) is None
    except SettingError as error:
        yield Finding("key-pair", folder, explain(error))
        return
    if lost or (signing is None and any(look.layout.archive.glob("[0-9]*/[0-9]*/*.seal.json"))):
        why = "The folder of the keys was not restored with the archive, or only in part. The chain of seals cannot be continued, or not be verified."
        yield Finding("key-pair", folder, "The archive is sealed, and the signing key is missing.", why, "Restore that folder from a backup.")


def _clock(look: Look) -> Iterator[Finding]:
    """What the future wrote."""
    why = "The clock of this machine was ahead when it was written, or is behind now. Order and days are told by the clock."
    for path, item in look.waiting():
        if item.due_ms is None and jobs.id_ms(item.job_id) > look.now_ms + _AHEAD_MS:
            yield Finding("clock", path, "The id of this job is of the future.", why, "Look at the clock; the job runs all the same.", note=True)
    for day in look.days if look.depth else ():
        if day > look.today + timedelta(days=1):
            text = "This day of the archive is in the future: it is sealed, and retained, only when it is over."
            yield Finding("clock", look.layout.day(day), text, why, "Look at the clock. The records are found all the same.", note=True)


def repair(layout: Layout, finding: Finding) -> str | None:
    """Do what `repairable` promised."""
    path = finding.path
    if finding.kind == "folder":
        layout.make()
        return f"{path.name}/: made" if path.is_dir() else None
    if finding.kind == "reserve":
        keep_reserve(layout.reserve)
        return "reserve/: filled" if (layout.reserve / "space").exists() else None
    mode = path.stat().st_mode
    path.chmod(stat.S_IMODE(mode) & (~stat.S_IWOTH if stat.S_ISDIR(mode) else 0o600))
    return f"{path.name}: its permissions are {stat.S_IMODE(path.stat().st_mode):o} now"
