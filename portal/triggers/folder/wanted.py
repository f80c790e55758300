"""Which names of a watched folder are meant. Patterns are compiled once. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

Fits = Callable[[str], bool]
"""Of a name below the folder, with '/' between its parts."""


class Wanted:
    """Patterns as the filters of a transfer read them: one without '/' is held against the last part of the name, one with '/' against all of it.

    Case matters. A folder that an exclude pattern fits is not entered.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._included = _any_of(include) if include else lambda _: True
        self.excluded = _any_of(exclude)

    def wants(self, name: str) -> bool:
        return self._included(name) and not self.excluded(name)


def _any_of(globs: Sequence[str]) -> Fits:
    last = _joined([glob for glob in globs if "/" not in glob])
    whole = _joined([glob for glob in globs if "/" in glob])
    return lambda name: bool((last and last(name.rpartition("/")[2])) or (whole and whole(name)))


def _joined(globs: Sequence[str]) -> Callable[[str], re.Match[str] | None] | None:
    return re.compile("|".join(map(translate, globs))).match if globs else None
