"""queue/triggers/: what is wrong with the triggers, and what lies there that is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from portal.check.finding import Finding
from portal.check.look import Look
from portal.spool import records, workers
from portal.triggers import standing
from portal.triggers.places import DEFINITION
from portal.triggers.trigger import NAME_PATTERN

_SETTLED_S = 3600


def inspect(look: Look) -> Iterator[Finding]:
    """Look at the triggers and at the names beside them."""
    folder = look.layout.triggers
    served = any(worker.alive for worker in workers.workers(look.layout))
    for item in standing.troubles(look.layout):
        if served or not item.serious:  # that no worker lives is another finding
            place = folder / item.name / DEFINITION if item.name else folder
            yield Finding(item.kind, place, item.text, hint=item.hint, note=item.kind == "trigger-slow")
    for name in records.names(folder):
        path = folder / name
        if name.startswith("."):
            continue
        if not NAME_PATTERN.fullmatch(name) or not path.is_dir():
            yield Finding("stray", path, "This is not the name of a trigger.", "Somebody put it there.", "Remove it.", note=True)
        elif not (path / DEFINITION).exists() and _age_s(path) > _SETTLED_S:
            yield Finding("stray", path, "This folder holds no trigger.", "Its making was cut off, or its definition was removed by hand.",
                          "Remove it, unless there are files in its batches/: those are of files that were being moved.", note=True)  # fmt: skip


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
