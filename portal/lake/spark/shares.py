"""A plan in shares for executors: by bytes and by count, in the order of the plan, each object in one of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate

from portal.planning.plan import Page

MOST_OBJECTS = 4000
MOST_BYTES = 2 << 30
_MOST_NUMBERS = 1 << 20
"""Between the first and the last of a share: whoever moves them keeps three bytes for each."""
_COLUMNS = [item.name for item in fields(Page) if item.name not in ("first", "next")]


@dataclass(frozen=True)
class Share:
    """Objects that one task moves."""

    pages: tuple[Page, ...]
    """None is empty; their numbers rise."""

    @property
    def first(self) -> int:
        """Number of the first entry."""
        return self.pages[0].first

    @property
    def count(self) -> int:
        """How many numbers there are from the first entry to the last, those of entries that are not here too."""
        last = self.pages[-1]
        return last.first + len(last) - self.first

    def __len__(self) -> int:
        return sum(map(len, self.pages))

    @property
    def numbers(self) -> list[int]:
        return [n for page in self.pages for n in range(page.first, page.first + len(page))]


def shares(pages: Iterable[Page], most_objects: int = MOST_OBJECTS, most_bytes: int = MOST_BYTES) -> Iterator[Share]:
    """Yield shares of at most so many objects and bytes; an object that is larger than that alone is a share of its own."""
    kept: list[Page] = []
    objects = size = 0
    for page in pages:
        start = 0
        while start < len(page):
            spread = page.first + start - kept[0].first if kept else 0
            fit = _fitting(page.sizes, start, most_bytes - size, min(most_objects - objects, _MOST_NUMBERS - spread))
            if not fit and kept:
                yield Share(tuple(kept))
                kept, objects, size = [], 0, 0
                continue
            end = start + max(1, fit)
            kept.append(cut(page, start, end))
            objects, size = objects + end - start, size + sum(page.sizes[start:end])
            start = end
    if kept:
        yield Share(tuple(kept))


def _fitting(sizes: Sequence[int], start: int, room_bytes: int, room_objects: int) -> int:
    """How many entries from `start` on there is room for."""
    wanted = sizes[start : start + max(0, room_objects)]
    return bisect_right(list(accumulate(wanted)), room_bytes)


def cut(page: Page, start: int, end: int) -> Page:
    """Return a page of the entries from one place to before another."""
    if start == 0 and end == len(page):
        return page
    return Page(page.first + start, **{name: getattr(page, name)[start:end] for name in _COLUMNS})


def only(page: Page, places: Sequence[int]) -> Iterator[Page]:
    """Yield pages of the entries at these places, which rise: one for each run of them."""
    start = 0
    for at in range(1, len(places) + 1):
        if at == len(places) or places[at] != places[at - 1] + 1:
            yield cut(page, places[start], places[at - 1] + 1)
            start = at
