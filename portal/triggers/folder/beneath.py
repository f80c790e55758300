"""Folders and files below a folder that is open: no symbolic link on the way is followed, whoever swaps one in meanwhile."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_REPLACE = 1  # renameat2(2)
_NOT_HERE = (errno.ENOSYS, errno.EINVAL)


@contextmanager
def folder(root: int, relative: str, *, make: bool = False) -> Iterator[int]:
    """Open a folder below another one, '' for that one itself.

    Args:
        make: create what is missing, durably.

    Raises:
        OSError: it is not there, or a part of the way is no folder.
    """
    descriptor = os.open(".", FOLDER_FLAGS, dir_fd=root)
    try:
        for part in relative.split("/") if relative else ():
            inner = _entered(descriptor, part, make=make)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _entered(parent: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    os.fsync(parent)
    return os.open(name, FOLDER_FLAGS, dir_fd=parent)


def rename_new(source: int, name: str, target: int, fresh: str) -> None:
    """Move a file under a name that nobody has.

    Raises:
        FileExistsError: somebody has it; nothing was done.
        OSError: as rename(2).
    """
    if sys.platform == "linux":
        renamed = _LIBC.renameat2(source, os.fsencode(name), target, os.fsencode(fresh), _NO_REPLACE)
        if renamed == 0:
            return
        number = ctypes.get_errno()
        if number not in _NOT_HERE:
            raise OSError(number, os.strerror(number), name)
    # Two steps: cut off between them, the file has both names, and `same_file` tells.
    os.link(name, fresh, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)


def same_file(source: int, name: str, target: int, other: str) -> bool:
    """Tell whether two names are of one file; False when one of them is of none."""
    try:
        first = os.stat(name, dir_fd=source, follow_symlinks=False)
        second = os.stat(other, dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def sync_file_system(descriptor: int) -> None:
    """Force everything of a file system to the disk: syncfs(2). Raises OSError when something could not be written."""
    if sys.platform != "linux":
        os.sync()
    elif _LIBC.syncfs(descriptor) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_LIBC = ctypes.CDLL(None, use_errno=True)
