"""One file out of the watched folder and, when it turns out that somebody still writes into it, back again.

A file is opened, leased and compared with what was seen before its name is changed. Who moves it compares again afterwards, because another file
may have been put in its place just before the rename.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath

from portal.durable import is_shortage
from portal.triggers.folder import beneath, left
from portal.triggers.folder.identity import Identity
from portal.triggers.folder.lease import Lease, Writers

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WHY = {
    errno.ENOENT: left.GONE, errno.EWOULDBLOCK: left.OPEN, errno.ELOOP: left.LINK, errno.ENXIO: left.SPECIAL, errno.EISDIR: left.CHANGED,
    errno.EACCES: left.UNREADABLE, errno.EPERM: left.UNREADABLE,
}  # fmt: skip
_NO_MOVE = {errno.EACCES: left.READ_ONLY, errno.EPERM: left.READ_ONLY, errno.EROFS: left.READ_ONLY, errno.EXDEV: left.FOREIGN}
_LONGEST_NAME = 255


class Stays(Exception):
    """A file is not taken; its text says why, as `left` lists it."""


@contextmanager
def unwritten(folder: int, name: str, identity: Identity) -> Iterator[Lease]:
    """Hold a file that is what it was, and that nobody has open for writing as far as the kernel tells.

    Raises:
        Stays: it is not, or somebody has.
        OSError: this process is short of something, and nobody can tell.
    """
    try:
        file = os.open(name, _FLAGS, dir_fd=folder)
    except OSError as error:
        if is_shortage(error) and error.errno != errno.EWOULDBLOCK:
            raise
        raise Stays(_WHY.get(error.errno or 0) or f"it cannot be opened: {error.strerror}") from error
    try:
        lease = Lease(file)
        try:
            if lease.writers is Writers.SOME:
                raise Stays(left.OPEN)
            if Identity.of(os.fstat(file)) != identity:
                raise Stays(left.CHANGED)
            yield lease
        finally:
            lease.give_back()
    finally:
        os.close(file)


def take(source: int, target: int, name: str, identity: Identity) -> None:
    """Move what has this name from one open folder into another, unless it changed or somebody writes into it.

    Raises:
        Stays: it is where it was, under this name or, if that was taken meanwhile, another.
        OSError: the disk fails.
    """
    with unwritten(source, name, identity) as lease:
        try:
            beneath.rename_new(source, name, target, name)
        except FileNotFoundError:
            raise Stays(left.GONE) from None
        except FileExistsError:
            _drop_second_name(source, name, target)
            return
        except OSError as error:
            if is_shortage(error) or error.errno == errno.EIO:
                raise
            raise Stays(_NO_MOVE.get(error.errno or 0) or f"it cannot be moved: {error.strerror}") from error
        if lease.broken():
            give_back(target, name, source)
            raise Stays(left.OPEN)


def _drop_second_name(source: int, name: str, target: int) -> None:
    """A crash between link and unlink leaves both names; anything else under this name in the job's folder is not ours to replace."""
    if not beneath.same_file(source, name, target, name):
        raise Stays("another file lies in the job's folder under its name")
    os.unlink(name, dir_fd=source)


def give_back(target: int, name: str, source: int) -> str:
    """Move a file back from the job's folder; returns the name that it has there: its own, unless that is another file's by now."""
    fresh = name
    for number in range(1, 10_000):
        try:
            beneath.rename_new(target, name, source, fresh)
            return fresh
        except FileExistsError:
            if beneath.same_file(target, name, source, fresh):
                os.unlink(name, dir_fd=target)
                return fresh
            fresh = _numbered(name, number)
    raise FileExistsError(errno.EEXIST, "ten thousand files have this name and a number", name)


def _numbered(name: str, number: int) -> str:
    """`report~1.csv` of `report.csv`, in at most 255 bytes."""
    path = PurePosixPath(name)
    ending = f"~{number}{path.suffix}" if len(os.fsencode(path.suffix)) < 32 else f"~{number}"
    stem = name.removesuffix(path.suffix) if ending.endswith(path.suffix) else name
    room = _LONGEST_NAME - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + ending


def remove_marker(folder: int, name: str, identity: Identity) -> None:
    """Remove a marker that is still the one that was seen: a later one is of a later file."""
    with suppress(FileNotFoundError):
        if Identity.of(os.stat(name, dir_fd=folder, follow_symlinks=False)) == identity:
            os.unlink(name, dir_fd=folder)
