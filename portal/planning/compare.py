"""What is at the targets of a plan: a verdict per entry, and what the target has that no source names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from portal.errors import NotFound
from portal.planning import plan
from portal.planning.extras import Extras
from portal.planning.listing import Lister
from portal.planning.looking import LOOKERS, Looker, each
from portal.planning.plan import Entry, Names, Page, Verdict
from portal.planning.policies import Overwrite
from portal.planning.survey import Order, Ordered
from portal.planning.there import Disorder, Index, Row, Window, rows
from portal.planning.verdicts import LOOK, Of, judge, same_content
from portal.stores.base import Store
from portal.wire.ends import Found, Listed

SHOWN = 20
FEW = 2_000
_PAGES_BEFORE_LOOKING = 4
_ENTRIES_A_PAGE = 64
"""Of few entries, so many are looked at one by one about as quickly as a page of a listing is read, many at a time."""
_MOVES = ("copy", "convert")
SameBytes = Callable[[Entry, Found], bool]
"""Tells whether a target has the very bytes that would be written, whoever wrote it; called from several threads."""
_BY_THE_MARK = ("fail", "skip")
"""The policies by which a target stays unless its mark says that it is ours; by the others what it is like decides, whoever wrote it."""


@dataclass
class Comparison:
    """Meets a plan with its target. `verdicts` has one byte per entry, and counts are there, once `run` has returned."""

    path: Path
    """The plan."""
    verdicts: bytearray
    store: Store
    lister: Lister
    """Lists the target."""
    looker: Looker
    """Looks at single targets."""
    source: Looker | None
    """Looks at sources, for overwrite=checksum."""
    policy: Overwrite
    is_ours: Callable[[int], bool]
    """Tells of an entry whether this job may have written its target already."""
    extras: Extras | None = None
    """Is told what only the target has (mirror)."""
    names: Names = Names("", "")  # noqa: RUF009 (a tuple, never changed)
    """How the targets of what sources left out would be called."""
    tells: bool = False
    """The target's listing tells metadata."""
    same_bytes: SameBytes | None = None
    """With overwrite=different: what decides on a target that exists, instead of what listings and metadata tell."""
    occupied: list[str] = field(default_factory=list)
    """The first targets that exist, if none may."""
    obstacles: dict[str, str] = field(default_factory=dict)
    """Why a target cannot be written, by the key that is in the way."""
    looked: int = 0
    """Entries that took requests of their own."""

    def __post_init__(self) -> None:
        self._folders = self.store.url.scheme != "s3"
        self._page = Page(0)
        self._keys: list[str] = []

    def run(self, folder: str, orders: list[Order], scratch: Path, moving: int) -> None:
        """List the target below a folder and judge every entry.

        Args:
            orders: those in which the plan's names come
            scratch: path of a temporary database
            moving: number of entries that move

        Raises:
            NotFound: the container is not there.
        """
        listing = self.lister.pages(folder)
        if self.extras is None and moving <= FEW:
            whole, listing = _peeked(listing, max(_PAGES_BEFORE_LOOKING, moving // _ENTRIES_A_PAGE))
            if not whole:
                self._look_at_each()
                return self._look_closer()
        order: Order = "path" if self._folders else "key"
        window = Window(listing, order if order in orders else orders[0], folders=self._folders) if orders else None
        if window is None or not self._side_by_side(window):
            self._by_index(window, listing, scratch)
        self._look_closer()

    def orders(self) -> list[Order]:
        """Return those in which the names come that the target's listing is met with: judged by the names themselves, for what the source is
        listed as need not come in the order of what it becomes."""
        seen = Ordered(folders=False)
        for keys in self._pages():
            seen.take([key for key in keys if key])
            if not seen.orders:
                break
        return seen.orders

    def _pages(self) -> Iterator[list[str]]:
        """Yield the names of each page: those of entries that move; with extras also those that the others would have."""
        for page in plan.pages(self.path):
            self._page, self._keys = page, self._names_of(page)
            yield self._keys

    def _names_of(self, page: Page) -> list[str]:
        if self.extras is not None:
            return [key or self.names.target(source) for key, source in zip(page.targets, page.keys, strict=True)]
        if "fail" not in page.actions:
            return page.targets
        return [key if action in _MOVES else "" for key, action in zip(page.targets, page.actions, strict=True)]

    def _side_by_side(self, window: Window) -> bool:
        try:
            for keys in self._pages():
                window.meet(keys, self)
            window.rest(self)
        except Disorder:
            return False
        return True

    def _by_index(self, window: Window | None, listing: Iterator[Listed], scratch: Path) -> None:
        index = Index(scratch, folders=self._folders)
        try:
            if window is not None:
                index.add(window.pending.items())
            for page in listing:
                index.add(rows(page))
            for keys in self._pages():
                index.meet(keys, self, mark=self.extras is not None)
            if self.extras is not None:
                index.rest(self)
        finally:
            index.close()

    def matched(self, place: int, row: Row) -> None:
        page = self._page
        if page.actions[place] not in _MOVES:
            return
        key, n = self._keys[place], page.first + place
        if row.is_folder:
            if self._folders:
                self.obstacles[key] = f"{self.store.url.at(key)} is a folder, and a file of that name is to be written"
        elif self.policy in _BY_THE_MARK and (page.ours[place] or self.is_ours(n)):
            self.verdicts[n] = Verdict.UNKNOWN
        elif self.same_bytes:
            may_be = page.actions[place] == "convert" or page.sizes[place] == row.size_bytes
            self.verdicts[n] = LOOK if may_be else Verdict.REPLACE
        else:
            of = Of(page.sizes[place], page.etags[place], page.modified[place], page.md5s[place], page.actions[place] == "convert")
            self.verdicts[n] = judge(self.policy, of, row, dated=self.store.url.scheme == "file", tells=self.tells)
            if self.policy == "fail" and len(self.occupied) < SHOWN:
                self.occupied.append(str(self.store.url.at(key)))

    def in_the_way(self, key: str) -> None:
        self.obstacles[key] = f"{self.store.url.at(key)} is a file, and the target needs a folder of that name"

    def alone(self, key: str, row: Row) -> None:
        if self.extras is not None:
            self.extras.add(key, row)

    def _look_at_each(self) -> None:
        """The target has far more than the plan: look at each name instead."""
        for keys in self._pages():
            places = [place for place, key in enumerate(keys) if key]
            self.looked += len(places)
            for place, row in zip(places, each((keys[place] for place in places), self._row_of, LOOKERS), strict=True):
                if row is not None:
                    self.matched(place, row)

    def _row_of(self, key: str) -> Row | None:
        try:
            info = self.store.stat(key)
        except NotFound:
            return None
        modified = info.modified.isoformat() if info.modified else ""
        return Row(info.size_bytes, info.etag, modified, info.metadata.get("source_etag", ""), info.checksums.get("md5", ""), info.is_folder)

    def _look_closer(self) -> None:
        if LOOK not in self.verdicts:
            return
        candidates = (entry for entry in plan.read(self.path) if self.verdicts[entry.n] == LOOK)
        for n, verdict in each(candidates, self._look, LOOKERS):
            self.looked += 1
            self.verdicts[n] = verdict

    def _look(self, entry: Entry) -> tuple[int, int]:
        target = self.looker.find(entry.target_key)
        if target is None:
            return entry.n, Verdict.NEW
        if self.policy == "checksum" and self.source is not None:
            source = self.source.find(entry.key)
            return entry.n, Verdict.SAME_CONTENT if source and same_content(source, target) else Verdict.REPLACE
        if self.same_bytes:
            return entry.n, Verdict.SAME_CONTENT if self.same_bytes(entry, target) else Verdict.REPLACE
        recorded = target.about.metadata.get("source_etag", "")
        return entry.n, Verdict.SAME if recorded and recorded == entry.etag else Verdict.REPLACE


def _peeked(listing: Iterator[Listed], most: int) -> tuple[bool, Iterator[Listed]]:
    """Take up to `most` pages; returns whether the listing ended with them, and the pages."""
    ahead: list[Listed] = []
    for page in listing:
        ahead.append(page)
        if len(ahead) >= most and page.continuation is not None:
            return False, iter(ahead)
    return True, iter(ahead)
