"""A small folder that is kept in memory and put back as it was, many times."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass
class Tree:
    """The folders below a folder, those above before those below; the files with content, mode and times (ns); symbolic links."""

    folders: list[tuple[str, int]] = field(default_factory=list)
    files: list[tuple[str, bytes, int, tuple[int, int]]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path) -> Self:
        tree = cls()
        for folder, folders, files in os.walk(root):
            for path in (os.path.join(folder, name) for name in (*folders, *files)):
                name, found = os.path.relpath(path, root), os.lstat(path)
                if os.path.islink(path):
                    tree.links.append((name, os.readlink(path)))
                elif os.path.isdir(path):
                    tree.folders.append((name, found.st_mode & 0o7777))
                else:
                    tree.files.append((name, Path(path).read_bytes(), found.st_mode & 0o7777, (found.st_atime_ns, found.st_mtime_ns)))
        return tree

    def put(self, root: Path) -> None:
        """Make a folder hold this and nothing else, all of it made anew."""
        empty(root)
        top = f"{root}/"
        for name, mode in self.folders:
            os.mkdir(top + name)
            os.chmod(top + name, mode)
        for name, content, mode, times in self.files:
            descriptor = os.open(top + name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, content)
            os.fchmod(descriptor, mode)
            os.utime(descriptor, ns=times)
            os.close(descriptor)
        for name, target in self.links:
            os.symlink(target, top + name)


def empty(folder: str | Path) -> None:
    """Remove what is in a folder."""
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            empty(entry.path)
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)
