"""The two ends of a watched folder: where files are dropped, and where they wait for their jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from portal.durable import make_folder
from portal.errors import AccessDenied, BadParameters, NotFound, PortalError
from portal.settings import Settings
from portal.stores.url import StoreURL
from portal.triggers import submitting
from portal.triggers.checking import local_path, queued_url
from portal.triggers.folder import beneath
from portal.triggers.trigger import Folder, Trigger

_HINT = "It must be on a local disk, and readable and writable by the user that runs the worker."


@dataclass(frozen=True)
class Ends:
    """Resolved paths."""

    watched: Path
    queued: Path
    done: Path | None = None
    """Where the engine puts files afterwards, if it does."""

    def spare_bytes(self, job_id_bytes: int = 26) -> int:
        """Return how many bytes of a path are used before a file's name below the watched folder, wherever the file goes."""
        longest = max(len(os.fsencode(path)) for path in (self.watched, self.queued, self.done or self.queued))
        return longest + job_id_bytes + len("//")

    def skipped(self) -> frozenset[tuple[int, int]]:
        """Return device and inode of the folders whose files have been taken, in case they lie in the watched one."""
        found = (_status(path) for path in (self.queued, self.done) if path)
        return frozenset((status.st_dev, status.st_ino) for status in found if status)


def ends(settings: Settings, trigger: Trigger) -> Ends:
    """Return where a trigger's files come from and go; the folder that they wait in is made.

    Raises:
        BadParameters: a folder is outside of those that may be used.
        NotFound, AccessDenied: a folder is not there, or cannot be used.
        PortalError: the two are not on one file system, or the one is in the other.
    """
    on: Folder = trigger.waits_for()
    watched = local_path(settings, "folder", on.folder)
    if not watched.is_dir():
        raise NotFound(f"There is no folder {watched}.", hint="Make it, or edit the trigger. The worker may have lost a disk that was mounted there.")
    queued = local_path(settings, "queued", queued_url(on))
    if watched == queued or watched.is_relative_to(queued):
        raise BadParameters(f"The folder {watched} lies in {queued}, where its own files wait for their jobs.", hint="Name another as queued.")
    _make(queued)
    if queued.stat().st_dev != watched.stat().st_dev:
        raise PortalError(
            f"{queued} and {watched} are on different file systems: a file would be copied and not moved, and a copy can be cut off.",
            hint="Name a folder on the same file system as queued.",
        )
    return Ends(watched, queued, _done(settings, trigger))


def _make(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise AccessDenied(f"The folder {folder} cannot be made: {error.strerror}.", hint=f"Make it, or name another as queued. {_HINT}") from error


def _done(settings: Settings, trigger: Trigger) -> Path | None:
    named = trigger.params.get("done_folder") or (submitting.done_folder(trigger) if trigger.engine == "upload" else None)
    if not isinstance(named, str) or not named.startswith("file://"):
        return None
    try:
        return local_path(settings, "done_folder", StoreURL.parse(named))
    except (PortalError, ValueError):
        return None  # the engine says what is wrong with it


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


@contextmanager
def opened(folder: str | Path) -> Iterator[int]:
    """Open one of the two. Raises NotFound, AccessDenied."""
    try:
        descriptor = os.open(folder, beneath.FOLDER_FLAGS)
    except PermissionError as error:
        raise AccessDenied(f"The folder {folder} may not be read by this user.", hint=_HINT) from error
    except OSError as error:
        raise NotFound(f"The folder {folder} cannot be opened: {error.strerror}.", hint=_HINT) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
