"""Files of this machine under their keys, confined to folders: what every way to read and write them shares. No SDK, quick to import.

A path is resolved before it is looked at, so that neither `..` nor a symbolic link leads out of the roots.
"""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from portal.errors import AccessDenied, AlreadyExists, NameNotAllowed, NotFound, StoreError, StoreFull
from portal.stores.partial import is_partial

READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_BAD_NAMES = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


def resolved(roots: Iterable[str]) -> tuple[Path, ...]:
    """Return the folders that may be used, all links followed."""
    return tuple(Path(root).expanduser().resolve() for root in roots)


def confined(key: str, roots: Sequence[Path]) -> Path:
    """Return where a key is on the disk, all links followed. Raises AccessDenied outside the roots, NameNotAllowed."""
    if "\0" in key:
        raise NameNotAllowed(f"{key!r} cannot be a path.")
    try:
        with translated(key):
            found = Path("/", key).resolve()
    except RuntimeError as error:  # pathlib's for links that lead in a circle
        raise StoreError(f"file:///{key} is a link that leads to itself.") from error
    if not any(found.is_relative_to(root) for root in roots):
        allowed = ", ".join(map(str, roots)) or "none"
        raise AccessDenied(f"file:///{key} is outside the folders that may be used.", hint=f"Allowed: {allowed}. See PORTAL_LOCAL_ROOTS.")
    return found


def refuse_missing_root(place: Path, roots: Sequence[Path]) -> None:
    """Raises NotFound when a place is missing because its allowed folder itself is."""
    for root in roots:
        if place.is_relative_to(root) and not root.is_dir():
            raise NotFound(f"There is no folder {root}.", hint="Make it, or name another in PORTAL_LOCAL_ROOTS.")


def entry_stat(key: str, entry: os.DirEntry[str], roots: Sequence[Path]) -> os.stat_result | None:
    """Return what is behind an entry of a folder; None for what is no object: sockets, half-written files, what was deleted meanwhile.

    Raises StoreError for what there is and cannot be looked at: a link that leads out of the roots (AccessDenied) or nowhere, a disk that fails.
    """
    if is_partial(entry.name):
        return None
    with translated(key):
        if entry.is_symlink():
            confined(key, roots)
        try:
            found = entry.stat()
        except FileNotFoundError:
            if not os.path.lexists(entry.path):
                return None
            raise StoreError(f"file:///{key} is a link that leads nowhere.", hint="Is the disk there that it leads to?") from None
    return found if modes.S_ISREG(found.st_mode) or modes.S_ISDIR(found.st_mode) else None


@contextmanager
def reading(folder: str) -> Iterator[None]:
    """Turn errors of the operating system while folders are read into those of the portal that name the innermost one."""
    try:
        yield
    except OSError as error:
        with translated(str(error.filename or folder).lstrip("/")):
            raise


def etag(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"


def forget(descriptor: int) -> None:
    """Let the page cache go, so that who reads the file back reads the disk and not the memory that was written from."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn errors of the operating system into those of the portal that name the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"There is no file:///{key}.") from error
    except FileExistsError as error:
        raise AlreadyExists(f"file:///{key} exists already.", hint="Choose another name or allow overwriting.") from error
    except PermissionError as error:
        raise AccessDenied(f"file:///{key} may not be used by this user.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"There is no room left for file:///{key}.", hint="Free some space, then run the job again.") from error
        kind = NameNotAllowed if error.errno in _BAD_NAMES else StoreError
        raise kind(f"file:///{key} cannot be used: {error.strerror}.") from error
