"""Cutting a bucket's names into parts: first at its folders, then, wherever much is left, at a name in the middle that is looked for live.

A listing of S3 begins after any name (start-after), so a cut may stand anywhere; only where the objects are nobody tells. A look at a name (a listing
of one object) says what comes next after it: with some of these, the name that has objects on both sides is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from portal.planning.listing import Lists, patiently
from portal.planning.spreading.between import between
from portal.planning.spreading.part import Part
from portal.stores.base import Page
from portal.wire.ends import Listed

AFTER = "k"
"""What a continuation begins with that names the object before the page; see `portal.wire.s3_listing`."""
_LOOKS = 48
_REQUESTS = 24
_PAGES = 2
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class S3Parts:
    """Cuts the listing of one bucket. Used by one thread."""

    def __init__(self, folders: Callable[[str, str | None], Page], opened: Callable[[], Lists], check: Callable[[], None]) -> None:
        """`folders` gives a page of what is directly below a prefix, with its folders; `opened` opens an end."""
        self._folders, self._opened, self._check = folders, opened, check
        self._end: Lists | None = None
        self._empty_from: dict[tuple[str, str | None], str] = {}
        """Names behind which nothing was found before the end of a part, by prefix and end."""

    def begin(self, prefix: str, continuation: str | None, wanted: int) -> list[Part | Listed]:
        """Return about `wanted` parts or fewer that together are the listing from a continuation on."""
        whole = Part(prefix, continuation)
        after = _after(whole)
        cuts = sorted(cut for cut in self._cuts(prefix, wanted) if after is not None and cut > after)
        step = max(1, -(-len(cuts) // wanted))
        parts: list[Part | Listed] = []
        for cut in cuts[step - 1 :: step]:
            parts.append(whole._replace(upto=cut))
            whole = whole._replace(continuation=f"{AFTER}{cut}")
        return [*parts, whole]

    def _cuts(self, prefix: str, wanted: int) -> set[str]:
        """The names of folders, from the top down, until there are enough of them."""
        found: set[str] = set()
        level, requests = [prefix], 0
        while level and len(found) < wanted and requests < _REQUESTS:
            below: list[str] = []
            for folder in level:
                if requests >= _REQUESTS or len(found) >= wanted * 4:
                    break
                for number, page in enumerate(self._pages(folder)):
                    requests += 1
                    below += page.prefixes
                    if number + 1 == _PAGES:
                        break
            found.update(below)
            level = below
        return found

    def _pages(self, folder: str) -> Iterator[Page]:
        continuation: str | None = None
        while True:
            self._check()
            page = self._folders(folder, continuation)
            yield page
            continuation = page.continuation
            if continuation is None:
                return

    def halves(self, part: Part, letters: str) -> list[Part]:
        """Return a part as two that both have objects, or as it is when no name between them was found. `letters`: what its names are made of."""
        after = _after(part)
        if after is None:
            return [part]
        try:
            return self._halves(part, after, letters or _LETTERS)
        finally:
            self.close()  # the next cut may come when its credentials have ended

    def _halves(self, part: Part, after: str, letters: str) -> list[Part]:
        place = part.prefix, part.upto
        low, high = max(after, part.prefix), self._empty_from.get(place, part.upto)
        for _ in range(_LOOKS):
            middle = between(low, high, letters, len(part.prefix))
            if middle is None:
                return [part]
            following = self._next(part.prefix, middle)
            if following is None or (part.upto is not None and following > part.upto):
                high = self._empty_from[place] = middle
                continue
            first = self._next(part.prefix, low)
            if first is not None and first > middle:
                low = middle
                continue
            return [part._replace(upto=middle), part._replace(continuation=f"{AFTER}{middle}")]
        return [part]

    def _next(self, prefix: str, name: str) -> str | None:
        """Return the first name after one, None when there is none."""

        def look() -> Listed:
            self._end = self._end or self._opened()
            return self._end.list_page(prefix, continuation=f"{AFTER}{name}", limit=1)

        page = patiently(look, self.close, self._check)
        return page.keys[0] if page.keys else None

    def close(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end.close()


def _after(part: Part) -> str | None:
    """Return the name that a part begins after ('' at its beginning), None when its continuation tells no name."""
    if part.continuation is None:
        return ""
    return part.continuation.removeprefix(AFTER) if part.continuation.startswith(AFTER) else None
