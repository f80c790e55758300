"""How often a folder may be looked at: a look that takes long comes seldom, and events do not make it come more often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

_LEAST_S = 0.1
_SHARE = 10
"""After a look comes a rest of so many times its length."""
_LONGEST_S = 60.0


class Pace:
    """Measures looks: `with pace: …`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._earliest = -1e9

    def early_s(self) -> float:
        """Return the seconds until there may be another look; 0: now."""
        return max(0.0, self._earliest - self._clock())

    def __enter__(self) -> Self:
        self._began = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        now = self._clock()
        self._earliest = now + min(_LONGEST_S, max(_LEAST_S, _SHARE * (now - self._began)))
