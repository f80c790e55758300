"""Where a local file goes once it has arrived at its target: into the folder of those that are done, or away. It stays when it is no longer the
file that was uploaded."""

from __future__ import annotations

import errno
import os
import re
import stat as modes
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from portal.durable import make_folder, sync_folder
from portal.errors import PortalError, visible
from portal.planning import names
from portal.stores.checksums import crc64, crc64_hex
from portal.stores.local_files import confined, etag
from portal.stores.local_rename import rename_fresh
from portal.stores.partial import partial_name

After = Literal["keep", "move", "delete"]
_BLOCK_BYTES = 1 << 20
_FOLDERS_UNTIL_SYNCED = 256
_FOLDERS_KEPT = 4096
_NAMES_TRIED = 20
_SET_APART = re.compile(r"~[0-9a-f]{16}(\.|$)")


class Stays(PortalError):
    """The file stays where it is."""


class Gone(Stays):
    """The file is no longer there."""


class Away(NamedTuple):
    """What became of a file."""

    path: str
    """Where it is now, '' deleted."""
    apart: bool = False
    """Another file had its name, so it got one of its own."""


class PuttingAway:
    """Puts files away; safe for many threads.

    Arguments:
        after: move or delete
        source: key of the folder (or file) that is uploaded; files keep their paths below it
        done_folder: key of the folder that they are moved to
        roots: folders that may be used, all links followed
    """

    def __init__(self, after: After, source: str, done_folder: str, roots: Sequence[Path]) -> None:
        self._after, self._source, self._done, self._roots = after, source, done_folder.strip("/"), roots
        self._changed: set[Path] = set()
        self._folders: dict[str, Path] = {}
        self._apart: dict[Path, Mapping[str, str]] = {}
        self._lock = threading.Lock()

    @property
    def deletes(self) -> bool:
        return self._after == "delete"

    def __call__(self, key: str, uploaded: str) -> Away:
        """Put a file away. `uploaded` is the ETag that it had when it was uploaded.

        Raises Stays (it is another file by now, or a link), Gone, and PortalError when the folder cannot be used."""
        path = self._path(key)
        with _told(path):
            found = _lstat(path)
            if found is None:
                return self._put_away_before(key, uploaded)
            if modes.S_ISLNK(found.st_mode):
                raise Stays(f"/{visible(key)} is a link, and links are left where they are.")
            if etag(found) != uploaded:
                raise Stays(f"/{visible(key)} was changed after it was uploaded.", hint="Run the job again: it uploads what is there now.")
            return self._deleted(path, uploaded) if self.deletes else self._moved(path, key, uploaded)

    def _path(self, key: str) -> Path:
        folder, _, name = key.rpartition("/")
        return self._folder(folder) / name

    def _folder(self, key: str) -> Path:
        """Where a folder is, looked at once: following its links takes longer than to move a file."""
        found = self._folders.get(key)
        if found is None:
            if len(self._folders) >= _FOLDERS_KEPT:
                self._folders = {}
            found = self._folders[key] = confined(key, self._roots)
        return found

    def _put_away_before(self, key: str, uploaded: str) -> Away:
        """An attempt that was cut off may have put the file away and not said so."""
        if self.deletes:
            return Away("")
        target = self._target(key)
        found = _lstat(target)
        if found and etag(found) == uploaded:
            return Away(str(target))
        if apart := self._apart_in(target.parent).get(uploaded):
            return Away(apart, apart=True)
        raise Gone(f"/{visible(key)} was gone when it was to be put away; the object at the target has what was read of it.")

    def _apart_in(self, folder: Path) -> Mapping[str, str]:
        """The files of a folder that have a name of their own, by ETag. Looked at once: what this attempt puts there has its line."""
        with self._lock:
            if folder not in self._apart:
                self._apart[folder] = dict(_set_apart(folder))
            return self._apart[folder]

    def _target(self, key: str) -> Path:
        folder, _, name = f"{self._done}/{names.below(key, self._source) or key.rpartition('/')[2]}".rpartition("/")
        return self._folder(folder) / name

    def _deleted(self, path: Path, uploaded: str) -> Away:
        # Under a name that nobody else uses it can be looked at once more without a race; hidden, should we die here: it is at the target.
        hidden = path.with_name(partial_name())
        rename_fresh(path, hidden)
        self._refuse_other(hidden, path, uploaded)
        hidden.unlink()
        self._note(path.parent)
        return Away("")

    def _moved(self, path: Path, key: str, uploaded: str) -> Away:
        wanted = self._target(key)
        make_folder(wanted.parent)
        for number, target in enumerate(_candidates(wanted, path)):
            if self._renamed(path, target, uploaded):
                self._note(path.parent, target.parent)
                return Away(str(target), number > 0)
        raise Stays(f"/{visible(key)} cannot be moved: {wanted} is there already, and so are {_NAMES_TRIED} names made from it.")

    def _renamed(self, path: Path, target: Path, uploaded: str) -> bool:
        """Returns False when another file has that name."""
        try:
            rename_fresh(path, target)
        except FileExistsError:
            if not _same_content(path, target):
                return False
            self._onto(path, target, uploaded)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copied(path, target, uploaded)
        else:
            self._refuse_other(target, path, uploaded)
        return True

    def _onto(self, path: Path, target: Path, uploaded: str) -> None:
        """The same bytes are there already: one of both is enough."""
        hidden = path.with_name(partial_name())
        rename_fresh(path, hidden)
        self._refuse_other(hidden, path, uploaded)
        try:
            hidden.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                rename_fresh(hidden, path)
                raise
            hidden.unlink()
        hidden.unlink(missing_ok=True)  # two names of one file: to rename one to the other does nothing

    def _copied(self, path: Path, target: Path, uploaded: str) -> bool:
        """To another file system: whole under a hidden name, then its own, and only then it goes at the source."""
        fresh = target.with_name(partial_name())
        try:
            _copy(path, fresh)
            if etag(path.lstat()) != uploaded:
                raise Stays(f"{path} was changed while it was moved.", hint="Run the job again: it uploads what is there now.")
            try:
                rename_fresh(fresh, target)
            except FileExistsError:
                if not _same_content(fresh, target):
                    return False
        finally:
            fresh.unlink(missing_ok=True)
        sync_folder(target.parent)
        self._deleted(path, uploaded)
        return True

    @staticmethod
    def _refuse_other(place: Path, path: Path, uploaded: str) -> None:
        """Between the look and the rename somebody may have put another file there: give it back."""
        if etag(place.lstat()) == uploaded:
            return
        try:
            rename_fresh(place, path)
        except FileExistsError:
            raise Stays(f"{path} was replaced twice while it was put away; what was there first is {place} now.") from None
        raise Stays(f"{path} was replaced after it was uploaded.", hint="Run the job again: it uploads what is there now.")

    def _note(self, *folders: Path) -> None:
        with self._lock:
            self._changed.update(folders)
            changed = self._changed if len(self._changed) > _FOLDERS_UNTIL_SYNCED else set()
            if changed:
                self._changed = set()
        _sync(changed)

    def finish(self, *, own: bool) -> None:
        """Make what was done durable. `own`: the source folder was made for this job, and goes when nothing is left in it."""
        with self._lock:
            changed, self._changed = self._changed, set()
        _sync(changed)
        if own:
            folder = confined(self._source.rstrip("/"), self._roots)
            for place, _, _ in os.walk(folder, topdown=False):
                with suppress(OSError):
                    os.rmdir(place)


def _sync(folders: set[Path]) -> None:
    for folder in folders:
        with suppress(FileNotFoundError):
            sync_folder(folder)


def _candidates(wanted: Path, path: Path) -> Iterator[Path]:
    """Yield the name that is wanted, then others that are made from it and the file's content."""
    yield wanted
    crc = _crc(path)
    for number in range(_NAMES_TRIED):
        apart = names.set_apart("file", str(wanted).lstrip("/"), f"{crc}.{number}")
        if apart:
            yield Path("/", apart)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Gone(f"{visible(str(path))} went away while it was put away.") from error
    except OSError as error:
        hint = "May this user write in both folders, and is there room?"
        raise Stays(f"{visible(str(path))} cannot be put away: {error.strerror}.", hint=hint) from error


def _set_apart(folder: Path) -> Iterator[tuple[str, str]]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for one in found:
            if _SET_APART.search(one.name) and one.is_file(follow_symlinks=False):
                yield etag(one.stat(follow_symlinks=False)), one.path


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _crc(path: Path) -> str:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            value = crc64(block, value)
    return crc64_hex(value)


def _same_content(one: Path, other: Path) -> bool:
    found = other.lstat()
    if not modes.S_ISREG(found.st_mode) or found.st_size != one.lstat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(_BLOCK_BYTES):
            if block != second.read(_BLOCK_BYTES):
                return False
        return not second.read(1)


def _copy(path: Path, fresh: Path) -> None:
    with path.open("rb") as source, open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb", buffering=0) as target:
        found = os.fstat(source.fileno())
        while left := memoryview(source.read(_BLOCK_BYTES)):
            while left:
                left = left[target.write(left) or 0 :]
        os.utime(target.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(target.fileno())
