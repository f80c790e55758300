"""From the traced system calls of an action to the operations of the model, one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.faults.calls import CONTENT, WRITES, Call
from tests.power.volume import NotModelled, Volume, parent

_IGNORED = {"chmod", "fchmod", "chown", "fchown", "utime", "flock", "lock", "fork", "execve", "kill", "mmap", "sync_file_range", "msync"}


class Notebook:
    """Where an action writes down, outside the volume, what it has begun and what was promised to it: the trace tells when."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def note(self, what: str, job_id: str, **more: Any) -> None:
        os.write(self._file.fileno(), json.dumps({"what": what, "id": job_id, **more}).encode() + b"\n")


Note = dict[str, Any]


def read_notes(path: Path) -> list[Note]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@dataclass
class Replay:
    """A trace played on a volume. `steps` yields after each call that changed something, or that is a note."""

    volume: Volume
    home: Path
    notebook: Path
    notes: list[Note] = field(default_factory=list)
    operations: int = 0
    _files: dict[int, int] = field(default_factory=dict)
    """Inodes by descriptor."""

    def steps(self, calls: Iterable[Call]) -> Iterator[Call]:
        for call in calls:
            if not call.failed and self._play(call):
                self.operations += 1
                yield call
        self._files.clear()  # the next trace is of another process

    def _play(self, call: Call) -> bool:
        if call.name in WRITES and call.path == str(self.notebook):
            self.notes.append(json.loads(call.data))
            return True
        if call.name in ("close", "dup"):
            return self._descriptor(call)
        if not any(self._inside(path) for path in call.paths):
            return False
        if call.name in WRITES:
            self.volume.write(self._inode(call), call.offset, call.data)
            return bool(call.data)
        play = getattr(self, f"_{call.name}", None)
        if play is None:
            if call.name in CONTENT or (call.changes and call.name not in _IGNORED):
                raise NotModelled(str(call))
            return False
        return bool(play(call) is not False)

    def _descriptor(self, call: Call) -> bool:
        if call.name == "close":
            self._files.pop(call.fd, None)
        elif call.fd in self._files:
            self._files[call.result] = self._files[call.fd]
        return False

    def _inside(self, path: str) -> bool:
        return path == str(self.home) or path.startswith(f"{self.home}/")

    def _name(self, path: str) -> str:
        if not self._inside(path):
            raise NotModelled(f"{path} is not in {self.home}")
        return path[len(str(self.home)) + 1 :]

    def _inode(self, call: Call) -> int:
        return self._files[call.fd] if call.fd in self._files else self.volume.entries[self._name(call.path)]

    def _open(self, call: Call) -> bool:
        self._files.pop(call.fd, None)
        path = self._name(call.path)
        if call.flags & os.O_DIRECTORY:
            if call.flags & os.O_TMPFILE == os.O_TMPFILE:
                raise NotModelled(str(call))
            return False
        fresh = bool(path) and path not in self.volume.entries
        if fresh and not call.flags & os.O_CREAT:
            raise NotModelled(f"{path} is opened; no call of the trace made it")
        inode = self.volume.create(path) if fresh else self.volume.entries.get(path, 0)
        if not inode or self.volume.inodes[inode].is_folder:
            return False
        self._files[call.fd] = inode
        emptied = bool(not fresh and call.flags & os.O_TRUNC and self.volume.inodes[inode].content)
        if emptied:
            self.volume.truncate(inode, 0)
        return fresh or emptied

    def _ftruncate(self, call: Call) -> None:
        self.volume.truncate(self._inode(call), call.numbers[1])

    def _fallocate(self, call: Call) -> None:
        if call.numbers[1]:
            raise NotModelled(str(call))
        inode = self._inode(call)
        self.volume.truncate(inode, max(call.numbers[2] + call.numbers[3], len(self.volume.inodes[inode].content)))

    def _fsync(self, call: Call) -> None:
        if call.fd in self._files:
            self.volume.sync(self._files[call.fd])
            return
        path = self._name(call.path)
        if not path or self.volume.inodes[self.volume.entries[path]].is_folder:
            self.volume.sync_folder(path)
        else:
            self.volume.sync(self.volume.entries[path])

    _fdatasync = _fsync

    def _mkdir(self, call: Call) -> None:
        self.volume.mkdir(self._name(call.path))

    def _rmdir(self, call: Call) -> None:
        self.volume.rmdir(self._name(call.path))

    def _unlink(self, call: Call) -> None:
        self.volume.unlink(self._name(call.path))

    def _link(self, call: Call) -> None:
        self.volume.link(*(self._name(path) for path in call.paths))

    def _rename(self, call: Call) -> None:
        if call.flags & ~1:
            raise NotModelled(str(call))
        self.volume.rename(*(self._name(path) for path in call.paths))


def differs(volume: Volume, root: Path) -> list[str]:
    """Paths at which the model, after the whole trace, disagrees with the real folder."""
    real = Volume.of(root)
    paths = {*real.entries, *volume.entries}
    return sorted(path for path in paths if _seen(real, path) != _seen(volume, path) and (not parent(path) or parent(path) in paths))


def _seen(volume: Volume, path: str) -> bytes | str | None:
    inode = volume.entries.get(path)
    if inode is None:
        return None
    return "folder" if volume.inodes[inode].is_folder else volume.inodes[inode].content
