"""Folders for what Spark does not keep in memory: a session has its own, which goes with it, or with the next session when its process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from portal.errors import SettingError

_PREFIX, _HELD, _LOCK = "portal-", ".held", ".portal-lock"


@contextmanager
def scratch_folders(roots: Iterable[Path]) -> Iterator[tuple[Path, ...]]:
    """Make a folder in each of these for as long as this lasts, and remove those of processes that are gone. Raises SettingError."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(_folder(root)) for root in roots)


@contextmanager
def _folder(root: Path) -> Iterator[Path]:
    try:
        folder, held = _made(root)
    except OSError as error:
        hint = "Name a folder that the portal may write to in SPARK_LOCAL_DIRS."
        raise SettingError(f"Spark's files cannot be put into {root}: {error}", hint=hint) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _made(root: Path) -> tuple[Path, int]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / _LOCK).open("a") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # no other process sweeps what is not held yet
        _sweep(root)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        held = os.open(folder / _HELD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    return folder, held


def _sweep(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        try:
            with (folder / _HELD).open("a") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its process lives, or it is another user's
            continue
