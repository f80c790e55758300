"""All families of findings, and the second look that keeps what was only passing out of the report."""

from __future__ import annotations

import time

from portal.check import archive, family, files, house, markers, running, sealed, triggers, waiting
from portal.check.finding import Finding
from portal.check.look import Depth, Look
from portal.settings import Settings
from portal.spool.layout import Layout

_LIVE = (waiting.inspect, running.inspect, markers.inspect, triggers.inspect)
_STILL = (archive.inspect, family.inspect, files.inspect, sealed.inspect)
_PAUSE_S = 0.05


def inspect(settings: Settings, depth: Depth = Depth.NORMAL) -> list[Finding]:
    """Look at everything and change nothing. An empty list means that all is in order.

    It may run beside workers and submitters: what a first look finds in the queue counts only if a second one finds it too.
    """
    layout = Layout(settings)
    if not layout.queue.is_dir():
        return [Finding("missing", layout.queue, "There is no queue yet; the first submit or worker makes it.")]
    look = Look(settings, depth)
    found = list(house.inspect(look))
    if any(item.kind == "folder" and not item.path.is_dir() and item.path.exists() for item in found):
        return found  # a file where a folder must be: nothing else can be looked at
    return found + _twice(look, settings, depth) + [item for part in _STILL for item in part(look)]


def _twice(look: Look, settings: Settings, depth: Depth) -> list[Finding]:
    first = _live(look)
    if not first:
        return []
    time.sleep(_PAUSE_S)
    again = {(item.kind, item.path): item for item in _live(Look(settings, depth))}
    return [again[item.kind, item.path] for item in first if (item.kind, item.path) in again]


def _live(look: Look) -> list[Finding]:
    return [item for part in _LIVE for item in part(look)]
