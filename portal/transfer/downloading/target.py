"""The file of one object: written under a hidden name, read back, and given its own name when it is whole and on the disk.

The hidden name follows from the file's, so that what a crash left behind is written over by the next try. Whoever writes it holds its lock:
processes that were told of the same object take turns, each looks at the object only when its turn has come, and none puts an older one in the
place of a newer one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat as modes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from portal.durable import make_folder, sync_folder
from portal.errors import AccessDenied, NameNotAllowed
from portal.stores.local_files import READ_FLAGS, confined, forget, translated
from portal.stores.local_rename import rename_fresh

BLOCK_BYTES = 4 << 20
_WAIT_S = 0.05
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OWNER = "user.portal.source"
"""Extended attribute with the URL of the object that a file was made from, where the file system keeps such."""


class RefusedHere(AccessDenied):
    """This machine does not allow the file: no store refused anything."""


class TargetFile:
    """A file below the target folder, while its lock is held. Made by `turn`."""

    def __init__(self, key: str, path: Path) -> None:
        self.key, self.path = key, path
        self.partial = path.with_name(f".portal-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
        self._descriptor = -1

    @property
    def url(self) -> str:
        return f"file:///{self.key}"

    def lock(self, check: Callable[[], None]) -> None:
        """Wait for the turn. Raises what `check` raises."""
        make_folder(self.path.parent)
        while True:
            descriptor = os.open(self.partial, _FLAGS, 0o640)
            try:
                while not _locked(descriptor):
                    check()
                    time.sleep(_WAIT_S)
                if _is_at(descriptor, self.partial):
                    self._descriptor, descriptor = descriptor, -1
                    return
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def unlock(self) -> None:
        """Leave nothing hidden behind."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                if _is_at(self._descriptor, self.partial):
                    self.partial.unlink()
            os.close(self._descriptor)
            self._descriptor = -1

    def size(self) -> int | None:
        """Return the size of the file that has the name now, None without one. Raises NameNotAllowed for what is no file."""
        with here(self.key):
            try:
                found = self.path.stat()
            except FileNotFoundError:
                return None
        if not modes.S_ISREG(found.st_mode):
            raise NameNotAllowed(f"{self.url} is there, and is no file.", hint="Rename what is there.")
        return found.st_size

    def owner(self) -> str:
        """Return the URL of the object that the file was made from, '' when nobody knows."""
        try:
            return os.getxattr(self.path, _OWNER).decode("utf-8", "replace")
        except (OSError, AttributeError):
            return ""

    def begin(self, size_bytes: int) -> None:
        with here(self.key):
            os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, size_bytes)

    def write(self, start: int, block: memoryview) -> None:
        """May be called by several threads, each with a stretch of its own."""
        with here(self.key):
            while block:
                done = os.pwrite(self._descriptor, block, start)
                start, block = start + done, block[done:]

    def settle(self) -> None:
        """Force what was written to the disk, and have the next read come from there."""
        with here(self.key):
            os.fsync(self._descriptor)
            forget(self._descriptor)

    def written(self) -> Iterator[tuple[int, memoryview]]:
        """Read back what was written: (start, block)."""
        return _blocks(self.key, self._descriptor)

    def there(self) -> Iterator[tuple[int, memoryview]]:
        """Read the file that has the name now: (start, block)."""
        with here(self.key):
            descriptor = os.open(self.path, READ_FLAGS)
        try:
            yield from _blocks(self.key, descriptor)
        finally:
            os.close(descriptor)

    def publish(self, source: str, modified: str, *, overwrite: bool) -> None:
        """Give what was written its name, durably, with the source's time. Raises AlreadyExists unless `overwrite`."""
        with contextlib.suppress(OSError, AttributeError):
            os.setxattr(self._descriptor, _OWNER, source.encode())
        with here(self.key):
            if modified:
                moment = int(datetime.fromisoformat(modified).timestamp() * 1_000_000) * 1000
                os.utime(self._descriptor, ns=(moment, moment))
            os.fsync(self._descriptor)
            if overwrite:
                self.partial.replace(self.path)
            else:
                rename_fresh(self.partial, self.path)
            sync_folder(self.path.parent)


@contextmanager
def here(key: str) -> Iterator[None]:
    """Turn errors of the operating system into those of the portal, a refusal into RefusedHere."""
    try:
        with translated(key):
            yield
    except AccessDenied as error:
        raise RefusedHere(error.message, hint=error.hint) from error.__cause__


@contextmanager
def turn(folder: Path, name: str, check: Callable[[], None]) -> Iterator[TargetFile]:
    """Hold the lock of a file: nobody else downloads it meanwhile.

    Args:
        folder: the target, all links followed; links in it that lead out of it are refused.
        name: below it.

    Raises RefusedHere, NameNotAllowed, AlreadyExists (a file is where a folder is needed), StoreFull.
    """
    key = f"{str(folder).strip('/')}/{name}"
    with here(key):
        path = confined(key, (folder,))
    found = TargetFile(key, path)
    try:
        with here(key):
            found.lock(check)
        yield found
    finally:
        found.unlock()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


def _blocks(key: str, descriptor: int) -> Iterator[tuple[int, memoryview]]:
    buffer = memoryview(bytearray(min(BLOCK_BYTES, os.fstat(descriptor).st_size + 1)))
    start = 0
    while True:
        with here(key):
            length = os.preadv(descriptor, [buffer], start)
        if not length:
            return
        yield start, buffer[:length]
        start += length
