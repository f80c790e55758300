"""What nobody could read: kept with the reason beside it, never deleted."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from portal import clock
from portal.durable import publish, sync_folder
from portal.errors import PortalError, explain
from portal.spool.layout import Layout
from portal.spool.records import names

log = logging.getLogger("portal.spool")

_REASON = ".reason"


@dataclass(frozen=True)
class CorruptFile:
    """A file in queue/corrupt/. `seen_at` is the moment (RFC 3339) it was put there."""

    name: str
    path: Path
    size_bytes: int
    seen_at: str
    reason: str


def set_aside(layout: Layout, path: Path, why: PortalError | str) -> Path | None:
    """Move a file to corrupt/ with the reason; None when somebody else has moved it. Nothing there is ever overwritten."""
    reason = explain(why) if isinstance(why, PortalError) else why
    moment = clock.now_ms()
    for number in range(1000):
        target = layout.corrupt / (path.name if not number else f"{path.name}.{number}")
        if _reserve(layout, target, f"{clock.iso(moment)}\n{reason}\n"):
            moved = _moved(path, target)
            if moved:
                log.warning("%s is set aside as %s: %s", path.name, moved, reason)
            return moved
    raise PortalError(f"queue/corrupt/ already holds a thousand files called {path.name}.", hint="Look at them and remove what you do not need.")


def _reserve(layout: Layout, target: Path, text: str) -> bool:
    """Whoever creates the reason file owns the name beside it."""
    return not target.exists() and publish(target.with_name(target.name + _REASON), text.encode(), layout.tmp)


def _moved(path: Path, target: Path) -> Path | None:
    try:
        path.rename(target)
    except FileNotFoundError:
        target.with_name(target.name + _REASON).unlink(missing_ok=True)
        return None
    sync_folder(target.parent)
    sync_folder(path.parent)
    return target


def listed(layout: Layout) -> list[CorruptFile]:
    """Return the files in corrupt/, by name."""
    found = []
    for name in names(layout.corrupt):
        path = layout.corrupt / name
        if name.endswith(_REASON) and path.with_name(name.removesuffix(_REASON)).exists():
            continue
        with contextlib.suppress(FileNotFoundError):
            found.append(_described(path))
    return found


def _described(path: Path) -> CorruptFile:
    status = os.stat(path, follow_symlinks=False)
    try:
        seen_at, _, reason = path.with_name(path.name + _REASON).read_text("utf-8").partition("\n")
    except OSError:
        seen_at, reason = clock.iso(status.st_ctime_ns // 1_000_000), "Nobody wrote down why."
    return CorruptFile(path.name, path, status.st_size, seen_at, reason.strip())


def count(layout: Layout) -> int:
    found = set(names(layout.corrupt))
    return sum(not (name.endswith(_REASON) and name.removesuffix(_REASON) in found) for name in found)
