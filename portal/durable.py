"""Writing files so that a power cut leaves the old or the new one, whole. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def keep_from_others() -> None:
    """Make what this process and its children create unreadable for users outside the group, whatever they were started with."""
    os.umask(os.umask(0o077) | 0o027)


def sync_folder(folder: str | Path) -> None:
    """Make creations, links, renames and removals in a folder durable."""
    with _opened_folder(folder) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened_folder(folder: str | Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        _close(descriptor)  # nothing was written through it


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and whatever leads to it, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with _opened_folder(folder.parent) as parent:
        folder.mkdir(exist_ok=True)
        os.fsync(parent)


def write_synced(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Create a file that must not exist yet and force its content to the disk (not its name: see `sync_folder`)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_durably(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Replace a file atomically and durably."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    write_synced(fresh, data, mode)
    try:
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def publish(path: str | Path, data: bytes, staging: Path, *, replace: bool = False, mode: int = 0o640) -> bool:
    """Give a file its name only when its content is on the disk, and make the name durable.

    Args:
        path: the name; its folder is on the same file system as `staging`.
        staging: folder of half-written files; see `sweep`.
        replace: put it in the place of what is there. Otherwise what is there stays.

    Returns:
        False when the name was taken and is kept; that name is durable too, so the work is done either way.
    """
    # The folder is opened first: once there is a name, only a disk that fails can make this fail.
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _staged(staging, data, mode) as fresh:
            named = _named(fresh, path, replace=replace)
        os.fsync(folder)
    finally:
        _close(folder)
    return named


def _named(fresh: str, path: str | Path, *, replace: bool) -> bool:
    if replace:
        os.rename(fresh, path)
        return True
    try:
        os.link(fresh, path)
    except FileExistsError:
        return False
    return True


@contextmanager
def _staged(staging: Path, data: bytes, mode: int) -> Iterator[str]:
    """Write a file whose lock is held while it waits for its name."""
    path, descriptor = _create_locked(staging, mode)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
        yield path
    finally:
        with contextlib.suppress(OSError):  # what cannot be removed is swept later; a rename has removed it already
            os.unlink(path)
        _close(descriptor)  # the content is on the disk: nothing that a close says changes that


def _create_locked(staging: Path, mode: int) -> tuple[str, int]:
    while True:
        path = f"{staging}/{secrets.token_hex(10)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            swept = not os.fstat(descriptor).st_nlink  # between the creation and the lock
        except BaseException:
            os.close(descriptor)
            raise
        if not swept:
            return path, descriptor
        os.close(descriptor)


def sweep(staging: Path, *, dry_run: bool = False) -> list[Path]:
    """Remove the half-written files that no living writer holds; returns them."""
    swept = []
    for path in sorted(staging.iterdir()):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, IsADirectoryError, PermissionError):
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            if not dry_run:
                path.unlink(missing_ok=True)
            swept.append(path)
        finally:
            os.close(descriptor)
    return swept


FULL = (errno.ENOSPC, errno.EDQUOT)
SHORT_OF = (*FULL, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.ENOLCK)


def is_full(error: OSError) -> bool:
    """Tell whether an error says that the disk has no room."""
    return error.errno in FULL


def is_shortage(error: OSError) -> bool:
    """Tell whether an error says nothing about the file, only that the machine or this process is short of something now."""
    return error.errno in SHORT_OF


_RESERVE_BYTES = 4 << 20
_RESERVE_FILES = 16


def keep_reserve(folder: Path) -> None:
    """Occupy some blocks and inodes that `free_reserve` gives back when finishing a job needs them. Does nothing if it cannot."""
    space = folder / "space"
    try:
        folder.mkdir(exist_ok=True)
        if not space.exists():
            with space.open("xb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
                else:
                    file.write(bytes(_RESERVE_BYTES))
        for number in range(_RESERVE_FILES):
            (folder / f"inode-{number}").touch()
    except OSError:
        if not _is_whole(space):
            space.unlink(missing_ok=True)


def _is_whole(space: Path) -> bool:
    return space.exists() and space.stat().st_size == _RESERVE_BYTES


def free_reserve(folder: Path) -> bool:
    """Give the reserve back to the file system; True when there was something to give."""
    freed = False
    for path in folder.glob("*"):
        path.unlink(missing_ok=True)
        freed = True
    return freed
