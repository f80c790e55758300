"""Lists a container as `portal.planning.listing.Lister` does, the same pages in the same order, but from many places at the same time.

The listing is cut into parts. A task lists a few pages of a part and gives back what is left of it; while there are too few parts for all who could
list, what is left is cut again. Pages that come before their turn wait on the disk. Nobody need know where objects lie: who has much to do is helped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from portal.planning.names import as_folder
from portal.planning.spreading.part import Part, Reading, packed, unpacked
from portal.wire.ends import Access, Listed

FIRST_PAGES, MOST_PAGES = 4, 64
"""How many pages a task lists: few at first, so that what is left of large parts is soon cut for others."""
_PARTS_A_SLOT = 3
_AHEAD = 512
"""So many parts may wait on the disk for their turn: 30 million objects, 2 GB."""
_LOOK_EVERY_S = 0.2


class Tasks(Protocol):
    """Those who list: each argument, (access, part, most pages), is what one call of `part.read` gets."""

    @property
    def slots(self) -> int:
        """How many run at the same time."""
        ...

    @property
    def room(self) -> bool:
        """Whether another one is welcome."""
        ...

    def put(self, key: Any, argument: Any) -> None: ...

    def ended(self, timeout_s: float) -> Sequence[tuple[Any, Reading]]:
        """Wait for at most so long; return what has ended, by key. Raises what a call raised."""
        ...


class Cuts(Protocol):
    """How a kind of store is cut into parts; see `s3_parts` and `azure_parts`."""

    def begin(self, prefix: str, continuation: str | None, wanted: int) -> list[Part | Listed]: ...

    def halves(self, part: Part, letters: str) -> list[Part]: ...


@dataclass(eq=False)
class _Stretch:
    """What stands between two others in the order of names: a part that waits, is being listed, or was."""

    part: Part
    most_pages: int
    listing: bool = False
    """Somebody lists it now."""
    file: Path | None = None


@dataclass
class SpreadLister:
    """Stands in for `portal.planning.listing.Lister`."""

    cuts: Cuts
    access: Callable[[], Access]
    """Credentials that are good now."""
    tasks: Tasks
    folder: Path
    """A folder of its own for what waits, removed when the listing ends."""
    check: Callable[[], None]
    requests: int = 0
    tasks_run: int = 0
    _access: Access | None = None
    _stretches: list[_Stretch] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def pages(self, prefix: str, continuation: str | None = None) -> Iterator[Listed]:
        """Yield the pages of what is below a prefix (taken as a folder) from a continuation on; raises what `Lister.pages` raises."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            wanted = self.tasks.slots * _PARTS_A_SLOT
            self._stretches = [self._stretch(item) for item in self.cuts.begin(as_folder(prefix), continuation, wanted)]
            yield from _ended(self._ordered())
        finally:
            self.close()

    def close(self) -> None:
        self._stretches = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stretch(self, item: Part | Listed) -> _Stretch:
        if isinstance(item, Part):
            return _Stretch(item, FIRST_PAGES)
        return _Stretch(Part(""), 0, file=self._kept(packed([item])))

    def _kept(self, data: bytes) -> Path:
        path = self.folder / f"{next(self._numbers)}"
        path.write_bytes(data)
        return path

    def _ordered(self) -> Iterator[Listed]:
        """Yield the pages of all stretches in their order, while others go on being listed."""
        while self._stretches:
            self.check()
            self._start()
            head = self._stretches[0]
            if head.file is not None:
                data = head.file.read_bytes()
                head.file.unlink()
                del self._stretches[0]
                yield from unpacked(data)
                self._take(0)
            else:
                self._take(_LOOK_EVERY_S)

    def _start(self) -> None:
        """Let what comes first be listed first."""
        for stretch in self._stretches[:_AHEAD]:
            if not self.tasks.room:
                return
            if not stretch.listing and stretch.file is None:
                stretch.listing = True
                self.tasks.put(stretch, (self._good(), stretch.part, stretch.most_pages))

    def _good(self) -> Access:
        """Credentials are made anew only when they end soon: that takes a while."""
        if self._access is None or time.time() >= self._access.renew_at:
            self._access = self.access()
        return self._access

    def _take(self, longest_s: float) -> None:
        """Take what was listed meanwhile; wait for something when nothing was. Raises what a task raised."""
        for stretch, reading in self.tasks.ended(longest_s):
            self._took(stretch, reading)

    def _took(self, stretch: _Stretch, reading: Reading) -> None:
        self.requests += reading.requests
        self.tasks_run += 1
        stretch.listing, stretch.file = False, self._kept(reading.pages)
        if reading.rest is None:
            return
        place = self._stretches.index(stretch)
        waiting = sum(other.file is None for other in self._stretches)
        rest = [reading.rest]
        if waiting < self.tasks.slots * 2:
            rest = self.cuts.halves(reading.rest, reading.letters)
        most = FIRST_PAGES if len(rest) > 1 else min(stretch.most_pages * 4, MOST_PAGES)
        self._stretches[place + 1 : place + 1] = [_Stretch(part, most) for part in rest]


def _ended(pages: Iterator[Listed]) -> Iterator[Listed]:
    """Yield pages with a continuation in all but the last; those with nothing in them are left out, but for an only one."""
    last: Listed | None = None
    for page in pages:
        if not (page.keys or page.unseen):
            continue
        if last is not None:
            last.continuation = f"k{last.keys[-1]}"
            yield last
        last = page
    last = last or Listed([], [], [], [], [], [], [], [])
    last.continuation = None
    yield last
