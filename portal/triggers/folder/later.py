"""Files that could not be moved though they looked as if they could: tried again after a while that doubles, until they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from portal.triggers.folder.identity import Identity
from portal.triggers.folder.left import Left
from portal.triggers.folder.scan import Seen

_FIRST_S, _LONGEST_S = 2.0, 600.0


class _Wait(NamedTuple):
    identity: Identity
    why: str
    delay_s: float
    until: float


class Later:
    """Remembers them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, _Wait] = {}

    def stayed(self, file: Seen, why: str) -> None:
        """Say that a file could not be moved, and why."""
        known = self._waiting.get(file.name)
        delay_s = min(2 * known.delay_s, _LONGEST_S) if known and known.identity == file.identity else _FIRST_S
        self._waiting[file.name] = _Wait(file.identity, why, delay_s, self._clock() + delay_s)

    def forget_but(self, files: Iterable[Seen]) -> None:
        """Forget what is not among the files that are there, or is another file now."""
        if self._waiting:
            there = ((file.name, known) for file in files if (known := self._waiting.get(file.name)) and known.identity == file.identity)
            self._waiting = dict(there)

    def due(self, files: Iterable[Seen], why_not: Left) -> list[Seen]:
        """Return those of the files that may be tried now; the others are told with the reason that they had."""
        due = []
        for file in files:
            known = self._waiting.get(file.name)
            if known and self._clock() < known.until:
                why_not.add(known.why, file.name)
            else:
                due.append(file)
        return due
