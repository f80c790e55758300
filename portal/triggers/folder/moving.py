"""A batch out of the watched folder into its job's, as often as it takes: whatever an earlier try left, this one goes on from there.

    each file where it was and what it was → into the job's folder → there nobody writes into it, and it did not change → its marker goes → the disk
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from portal.errors import NotFound
from portal.triggers.folder import beneath, left
from portal.triggers.folder.batch import Batch
from portal.triggers.folder.ends import opened
from portal.triggers.folder.lease import Writers
from portal.triggers.folder.left import Left
from portal.triggers.folder.scan import MARKER, Seen
from portal.triggers.folder.taking import Stays, give_back, remove_marker, take, unwritten

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES)
_FEW = 16
"""So many files are forced to the disk one by one; for more, the file system is, in one call."""


def move(batch: Batch, why_not: Left) -> list[Seen]:
    """Move what can be moved; returns the files that lie in the job's folder now, safe on the disk, and nobody writes into them.

    When the watched folder is gone, those that were moved before are all there is.

    Raises:
        NotFound, AccessDenied: one of the two ends cannot be opened, or a file has to go back to a folder that is gone.
        OSError: the disk fails. Either way: call it again.
    """
    with _opened(batch) as (source, target):
        kept: list[Seen] = []
        for folder, files in batch.by_folder():
            stays = _move_folder(source, target, folder, files)
            kept += _looked_at_again(source, target, folder, files, stays, why_not)
        _remove_markers(source, kept, why_not)
        _force(source, target, kept)
    if not kept:
        remove_empty(batch.queued, batch.job_id)
    return kept


@contextmanager
def _opened(batch: Batch) -> Iterator[tuple[int | None, int]]:
    """Open the watched folder, None when it is gone, and the job's."""
    with ExitStack() as stack:
        source = stack.enter_context(opened(batch.watched)) if os.path.lexists(batch.watched) else None
        queued = stack.enter_context(opened(batch.queued))
        yield source, stack.enter_context(beneath.folder(queued, batch.job_id, make=True))


def _move_folder(source: int | None, target: int, folder: str, files: Sequence[Seen]) -> dict[str, str]:
    """Move the files of one folder; returns why files were not moved now."""
    if source is None:
        return dict.fromkeys((file.name for file in files), left.GONE)
    with ExitStack() as stack:
        try:
            here = stack.enter_context(beneath.folder(source, folder))
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            return dict.fromkeys((file.name for file in files), left.UNREADABLE if error.errno == errno.EACCES else left.GONE)
        there = stack.enter_context(beneath.folder(target, folder, make=True))
        return dict(_moved(here, there, files))


def _moved(here: int, there: int, files: Sequence[Seen]) -> Iterator[tuple[str, str]]:
    for file in files:
        try:
            take(here, there, _last(file.name), file.identity)
        except Stays as reason:
            yield file.name, str(reason)


def _looked_at_again(source: int | None, target: int, folder: str, files: Sequence[Seen], stays: Mapping[str, str], why_not: Left) -> list[Seen]:
    """Return those of a folder's files that are in the job's folder and stay there; who opened one on its way gets it back."""
    kept = []
    with ExitStack() as stack:
        try:
            there = stack.enter_context(beneath.folder(target, folder))
        except FileNotFoundError:  # nothing of this folder came here
            for file in files:
                why_not.add(stays.get(file.name, left.GONE), file.name)
            return []
        for file in files:
            if why := _why_not_there(there, file, why_not):
                why_not.add(stays.get(file.name, why) if why == left.GONE else why, file.name)
                if why != left.GONE:
                    _give_back(source, folder, there, _last(file.name), why_not)
            else:
                kept.append(file)
    return kept


def _why_not_there(there: int, file: Seen, why_not: Left) -> str:
    try:
        with unwritten(there, _last(file.name), file.identity) as lease:
            if lease.writers is Writers.UNKNOWN:
                why_not.add(left.UNSURE, file.name)
    except Stays as reason:
        return str(reason)
    return ""


def _give_back(source: int | None, folder: str, there: int, name: str, why_not: Left) -> None:
    """Move a file back to where it was, or into the watched folder itself when its folder is none any more."""
    if source is None:
        if name in os.listdir(there):
            hint = "Make that folder again, or move the file out of its job's folder."
            raise NotFound(f"{left.shown(name)} has to go back to the folder that it came from, and that is gone.", hint=hint)
        return
    with ExitStack() as stack:
        try:
            here = stack.enter_context(beneath.folder(source, folder, make=True))
        except OSError:
            here, folder = source, ""
        try:
            fresh = give_back(there, name, here)
        except FileNotFoundError:
            return  # somebody else took it away
        os.fsync(here)
        os.fsync(there)
    if fresh != name:
        why_not.add(left.APART, f"{folder}/{fresh}".lstrip("/"))


def give_all_back(batch: Batch, why_not: Left) -> None:
    """Undo a batch: every file of it goes back to where it was. Raises as `move`."""
    remove_empty(batch.queued, batch.job_id)
    if not os.path.lexists(batch.folder):
        return
    with _opened(batch) as (source, target):
        for folder, files in batch.by_folder():
            with suppress(FileNotFoundError), beneath.folder(target, folder) as there:
                for file in files:
                    _give_back(source, folder, there, _last(file.name), why_not)
    remove_empty(batch.queued, batch.job_id)


def remove_empty(queued: str | Path, job_id: str) -> None:
    """Remove a job's folder if no file is left in it."""
    with suppress(FileNotFoundError, NotFound), opened(queued) as parent:
        with beneath.folder(parent, job_id) as folder:
            empty = prune(folder)
        if empty:
            with suppress(OSError):
                os.rmdir(job_id, dir_fd=parent)


def _remove_markers(source: int | None, kept: Sequence[Seen], why_not: Left) -> None:
    for file in kept:
        if file.marker and source is not None:
            folder, _, name = file.name.rpartition("/")
            try:
                with beneath.folder(source, folder) as here:
                    remove_marker(here, name + MARKER, file.marker)
            except FileNotFoundError:
                continue
            except PermissionError:
                why_not.add(left.MARKER_STAYS, file.name + MARKER)


def _force(source: int | None, target: int, kept: Sequence[Seen]) -> None:
    """Force the files and their new names to the disk: who dropped them may not have, and the job is about to be promised."""
    if len(kept) > _FEW:
        beneath.sync_file_system(target)
        return
    for file in kept:
        folder, _, name = file.name.rpartition("/")
        with beneath.folder(target, folder) as there:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=there)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.fsync(there)
        if source is not None:
            with suppress(FileNotFoundError), beneath.folder(source, folder) as here:
                os.fsync(here)


def prune(folder: int) -> bool:
    """Remove the empty folders in an open folder; returns whether nothing is left in it."""
    empty = True
    for name in os.listdir(folder):
        try:
            with beneath.folder(folder, name) as inner:
                inner_empty = prune(inner)
        except OSError:
            inner_empty = False
        if inner_empty:
            with suppress(OSError):
                os.rmdir(name, dir_fd=folder)
                continue
        empty = False
    return empty


def _last(name: str) -> str:
    return name.rpartition("/")[2]
