"""Renaming a file to a name that nobody else has: what is there already is never replaced."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_HERE = -100
"""AT_FDCWD."""
_NO_REPLACE = 1
_MAC_EXCLUSIVE = 4
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""The kernel or the file system does not know such a rename."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EACCES)
_Call = Callable[[bytes, bytes], int]


def rename_fresh(old: str | Path, new: str | Path) -> None:
    """Rename a file, atomically. Raises FileExistsError when the new name is taken, and OSError (EXDEV: it is on another file system)."""
    call = _call()
    if call is None or not _called(call, old, new):
        _by_link(old, new)


@cache
def _call() -> _Call | None:
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        return lambda old, new: int(libc.renamex_np(old, new, ctypes.c_uint(_MAC_EXCLUSIVE)))
    if not hasattr(libc, "renameat2"):
        return None
    return lambda old, new: int(libc.renameat2(_HERE, old, _HERE, new, ctypes.c_uint(_NO_REPLACE)))


def _called(call: _Call, old: str | Path, new: str | Path) -> bool:
    """Returns False when there is no such call here."""
    if not call(os.fsencode(old), os.fsencode(new)):
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(old), None, str(new))


def _by_link(old: str | Path, new: str | Path) -> None:
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        os.unlink(old)
        return
    # A file system without links (FAT, some that are mounted from elsewhere): look first. Nothing there does both at once.
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    os.rename(old, new)
