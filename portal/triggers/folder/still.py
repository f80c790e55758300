"""How long files have been as they are: observed here and measured with the monotonic clock, so that no clock and no time stamp can deceive."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from portal.triggers.folder.scan import Seen


class Stillness:
    """Remembers what the files of a folder were like when they were last seen, and since when."""

    def __init__(self, still_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._still_s, self._clock = still_s, clock
        self._since: dict[str, tuple[tuple[int, ...], float]] = {}

    def look(self, files: Iterable[Seen]) -> tuple[list[Seen], float]:
        """Take note of what is there now, and forget what is not.

        Returns:
            the files that have not changed for long enough, and the seconds until the next one may be (inf when none is waiting).
        """
        now = self._clock()
        before, self._since = self._since, {}
        still, next_s = [], math.inf
        for file in files:
            state = (*file.identity, file.changed_ns)
            known = before.get(file.name)
            since = known[1] if known and known[0] == state else now
            self._since[file.name] = state, since
            left_s = since + self._still_s - now
            if left_s <= 0:
                still.append(file)
            else:
                next_s = min(next_s, left_s)
        return still, next_s
