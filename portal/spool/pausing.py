"""Pausing: while the queue, or one engine, is paused, nothing new of it is claimed. What runs goes on, and cancelling works.

A pause is a durable file, so it outlives workers and the machine. A job that a worker is claiming in the same instant may still start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal import clock
from portal.durable import publish
from portal.errors import QueueRefused
from portal.jobs import ENGINE_PATTERN
from portal.spool.layout import Layout
from portal.spool.listing import known_names
from portal.spool.records import remove, with_room

QUEUE = "queue"
"""The scope of a pause of everything; the scope of any other is the name of an engine."""

_ENDING = ".json"
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Pause:
    """That something is paused: who asked for it, when (RFC 3339; None when nobody can tell) and why ("" when nobody said)."""

    scope: str
    by: str = "unknown"
    at: str | None = None
    why: str = ""

    @property
    def engine(self) -> str | None:
        """The engine that is paused; None when everything is."""
        return None if self.scope == QUEUE else self.scope

    @property
    def told(self) -> str:
        """The pause in a few words: `the queue, by ann since 2026-11-21 10:58:31 UTC: maintenance`."""
        since = f" since {self.at[:19].replace('T', ' ')} UTC" if self.at else ""
        return f"{'the queue' if self.engine is None else f'the engine {self.engine}'}, by {self.by}{since}{f': {self.why}' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class Pauses:
    """All pauses at one moment."""

    queue: Pause | None = None
    engines: Mapping[str, Pause] = field(default_factory=dict)

    def of(self, engine: str) -> Pause | None:
        """Return what keeps a job of this engine from being claimed, or None."""
        return self.queue or self.engines.get(engine)

    def __bool__(self) -> bool:
        return self.queue is not None or bool(self.engines)


def pause(layout: Layout, engine: str | None, by: str, why: str = "") -> Pause:
    """Pause the queue (None) or one engine, durably; returns the pause that holds now.

    What is paused already stays as it was, with its first `by` and `at`, unless another reason is given.

    Raises:
        QueueRefused: that cannot be the name of an engine.
    """
    path = _path(layout, engine)
    by, why = _line(by), _line(why)
    wanted = Pause(path.stem, by, clock.iso(clock.now_ms()), why)
    data = (json.dumps({"by": wanted.by, "at": wanted.at, "why": wanted.why}) + "\n").encode()
    # A full disk is a reason to pause, so a pause may use the reserve.
    if with_room(layout, lambda: publish(path, data, layout.tmp)):
        return wanted
    earlier = _read(path)
    if earlier is not None and why in ("", earlier.why):
        return earlier
    with_room(layout, lambda: publish(path, data, layout.tmp, replace=True))
    return wanted


def resume(layout: Layout, engine: str | None) -> Pause | None:
    """End a pause, durably; returns the one that ended, None when there was none. Raises QueueRefused."""
    path = _path(layout, engine)
    ended = _read(path)
    if ended is not None:
        remove(path)
    return ended


def _path(layout: Layout, engine: str | None) -> Path:
    if engine == QUEUE or (engine is not None and not ENGINE_PATTERN.fullmatch(engine)):
        raise QueueRefused(f"{engine!r} cannot be paused: it is not the name of an engine.", hint="Without an engine the whole queue is paused.")
    return layout.paused / f"{engine or QUEUE}{_ENDING}"


def pauses(layout: Layout) -> list[Pause]:
    """Return what is paused: the queue first, then engines by name."""
    held = holds(layout)
    return [*([held.queue] if held.queue else []), *held.engines.values()]


def holds(layout: Layout) -> Pauses:
    """Read what is paused. Costs one stat(2) as long as nothing is."""
    found = {}
    for name in known_names(layout.paused):
        scope = name.removesuffix(_ENDING)
        if name.endswith(_ENDING) and ENGINE_PATTERN.fullmatch(scope) and (known := _read(layout.paused / name)):
            found[scope] = known
    return Pauses(found.pop(QUEUE, None), found)


def _read(path: Path) -> Pause | None:
    """The pause in a file; a file whose content tells nothing is a pause all the same, as its name says."""
    try:
        data: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        data = {}
    known = data if isinstance(data, dict) else {}
    by, at, why = (_line(value) if isinstance(value := known.get(name), str) else None for name in ("by", "at", "why"))
    return Pause(path.stem, by or "unknown", at, why or "")


def _line(text: str) -> str:
    """One line of a text, with nothing in it that drives a terminal: others read it, beside each job that waits."""
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 2]} …"
