"""A small file system that can be filled to the last byte or the last inode."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Kind = Literal["bytes", "inodes"]

SIZE_MIB, INODES = 24, 500


class CannotMount(Exception):
    """This user may not mount a file system; the text says what the system said."""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system in memory (tmpfs(5)) on a folder. Raises CannotMount."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={SIZE_MIB}m,nr_inodes={INODES}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise CannotMount(mounted.stderr.strip().partition("\n")[0])
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def own_namespace() -> list[str] | None:
    """The command in front of one that may then mount, for whoever may not; None where that cannot be had."""
    command = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None:
        return None
    return command if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0 else None


class Ballast:
    """What fills the disk."""

    def __init__(self, disk: Path) -> None:
        self.folder = disk / "ballast"
        self.folder.mkdir()

    def fill(self, kind: Kind, *, leave: int = 0) -> None:
        """Take all bytes or all inodes but `leave` of them."""
        if kind == "inodes":
            self._take_inodes(leave)
        else:
            self._take_bytes(leave)

    def _take_bytes(self, leave: int) -> None:
        with (self.folder / "big").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while (room := os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize) > leave:
                file.write(bytes(min(1 << 20, room - leave)))

    def _take_inodes(self, leave: int) -> None:
        number = len(os.listdir(self.folder))
        with contextlib.suppress(OSError):
            while os.statvfs(self.folder).f_favail > leave:
                number += 1
                (self.folder / f"{number}").touch()

    def free(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
