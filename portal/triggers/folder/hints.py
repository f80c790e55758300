"""File events of a watched folder: a look comes sooner, and nothing depends on them. Where there are none, looks come by themselves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from threading import BoundedSemaphore

from portal.inotify import Inotify

MOST_FOLDERS = 256
"""So many folders of a trigger are listened to."""
_INSTANCES = BoundedSemaphore(32)
"""The system has few of them for a user (fs.inotify.max_user_instances), and the worker needs some, too."""


class Hints:
    """Listens to folders."""

    def __init__(self) -> None:
        self._inotify: Inotify | None = None
        self._folders: tuple[Path, ...] = ()

    @property
    def descriptors(self) -> Collection[int]:
        return (self._inotify.descriptor,) if self._inotify else ()

    def listen(self, root: Path, folders: Sequence[str]) -> bool:
        """Listen to these folders below `root`, and no others; False when some are not listened to."""
        wanted = tuple(root / name for name in folders[:MOST_FOLDERS])
        if wanted != self._folders:
            self.close()
            self._folders = wanted
            self._inotify = _listening(wanted)
        return self._inotify is not None and len(wanted) == len(folders)

    def read(self) -> None:
        """Take note of what was heard. After a loss the folders are listened to anew."""
        if self._inotify and self._inotify.read() is None:
            self.close()

    def close(self) -> None:
        if self._inotify:
            self._inotify.close()
            _INSTANCES.release()
        self._inotify, self._folders = None, ()


def _listening(folders: Collection[Path]) -> Inotify | None:
    if not _INSTANCES.acquire(blocking=False):
        return None
    try:
        return Inotify(*folders)
    except OSError:
        _INSTANCES.release()
        return None
