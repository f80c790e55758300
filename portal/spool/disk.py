"""Whether the disk under the queue can be trusted: its kind of file system, and its room."""

from __future__ import annotations

import os
from pathlib import Path

from portal.durable import keep_reserve
from portal.errors import DiskNearlyFull, SettingError
from portal.spool.layout import Layout

_MIB = 1 << 20
_MOUNTS = Path("/proc/self/mountinfo")
_REFUSED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse", "fuseblk", "glusterfs", "lustre"}


def refuse_network(layout: Layout) -> None:
    """Raises SettingError when queue/ is on a file system whose locks or renames do not hold what the queue needs."""
    kind = file_system(layout.queue)
    if kind in _REFUSED or kind.startswith("fuse."):
        raise SettingError(
            f"{layout.queue} is on {kind}, where locks and renames are not dependable.",
            hint="Put PORTAL_HOME on a local disk (ext4, xfs, btrfs, zfs, APFS). Many workers may share it, all on one machine.",
        )


def file_system(folder: Path) -> str:
    """Return the kind of file system a folder is on, "" where it cannot be told (proc_pid_mountinfo(5))."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = _MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return ""


def refuse_when_full(layout: Layout) -> None:
    """Raises DiskNearlyFull when too little is left to take another job."""
    settings = layout.settings
    room = os.statvfs(layout.queue)
    free_mb = room.f_bavail * room.f_frsize // _MIB
    if free_mb < settings.min_free_mb:
        raise DiskNearlyFull(
            f"The disk of {layout.queue} has {free_mb} MiB left; new jobs are refused below {settings.min_free_mb} MiB.",
            hint="Free some room, or lower PORTAL_MIN_FREE_MB. Jobs that were accepted go on.",
        )
    if room.f_files and room.f_favail < settings.min_free_inodes:
        raise DiskNearlyFull(
            f"The disk of {layout.queue} can hold {room.f_favail} more files; new jobs are refused below {settings.min_free_inodes}.",
            hint="Remove files that are not needed, or lower PORTAL_MIN_FREE_INODES. Jobs that were accepted go on.",
        )


def has_room(layout: Layout) -> bool:
    try:
        refuse_when_full(layout)
    except DiskNearlyFull:
        return False
    return True


def restore_reserve(layout: Layout) -> None:
    """Build the reserve again once there is room."""
    if not (layout.reserve / "space").exists() and has_room(layout):
        keep_reserve(layout.reserve)
