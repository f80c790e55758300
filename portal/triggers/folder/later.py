"""Files that could not be moved though they looked as if they could: tried again after a while that doubles, until they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from portal.triggers.folder.identity import Identity
from portal.triggers.folder.scan import Seen

_FIRST_S, _LONGEST_S = 2.0, 600.0


class Later:
    """Remembers them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, tuple[Identity, float, float]] = {}

    def stayed(self, file: Seen) -> None:
        """Say that a file could not be moved."""
        known = self._waiting.get(file.name)
        delay_s = min(2 * known[1], _LONGEST_S) if known and known[0] == file.identity else _FIRST_S
        self._waiting[file.name] = file.identity, delay_s, self._clock() + delay_s

    def due(self, files: Collection[Seen]) -> list[Seen]:
        """Return those of the files that may be tried now; forgets those that are not among them any more."""
        if not self._waiting:
            return list(files)
        now = self._clock()
        self._waiting = {file.name: known for file in files if (known := self._waiting.get(file.name))}
        return [file for file in files if not self._waits(file, now)]

    def _waits(self, file: Seen, now: float) -> bool:
        known = self._waiting.get(file.name)
        return known is not None and known[0] == file.identity and now < known[2]
