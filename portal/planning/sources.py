"""Where a plan's entries come from: a listing, chosen keys, or what an earlier job left undone. Each can go on where it was cut off."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from portal.errors import BadParameters, NotFound
from portal.ledger.journal import JOURNAL_FILE, JournalState
from portal.planning import names, plan
from portal.planning.listing import ListsPages
from portal.planning.looking import LOOKERS, Looker, each
from portal.planning.plan import START, Page
from portal.planning.planning import Rules
from portal.stores.base import ObjectInfo
from portal.transfer.carry import mark_of
from portal.wire.ends import Found, Listed

_BATCH = 1_000
_LISTING = "listing"
"""Where a listing goes on after the page of the object that the source URL names itself."""


class Source(Protocol):
    """Gives the pages of a plan."""

    def pages(self, next_: str, first: int) -> Iterator[Page]:
        """Yield pages from where an earlier attempt stopped (START: from the beginning); the first entry is number `first`."""
        ...


@dataclass(frozen=True)
class Listing:
    """Everything at or below the source's prefix."""

    rules: Rules
    lister: ListsPages
    stat: Callable[[str], ObjectInfo]

    def pages(self, next_: str, first: int) -> Iterator[Page]:
        prefix = self.rules.source_prefix
        if next_ == START and prefix and not prefix.endswith("/"):
            page = self.rules.page(self._itself(prefix), first, _LISTING)
            first += len(page)
            yield page
        token = None if next_ in (START, _LISTING) else next_.removeprefix(f"{_LISTING}:")
        for found in self.lister.pages(prefix, token):
            more = found.continuation
            page = self.rules.page(found, first, None if more is None else f"{_LISTING}:{more}")
            first += len(page)
            yield page

    def _itself(self, key: str) -> Listed:
        """The object that is called like the prefix, if there is one."""
        try:
            info = self.stat(key)
        except NotFound:
            return Listed([], [], [], [], [], [], [], [])
        modified = info.modified.isoformat() if info.modified else ""
        md5 = info.checksums.get("md5", "")
        return Listed([key], [info.size_bytes], [info.etag], [modified], [info.storage_class], [info.is_folder], [""], [md5])


class Wanted(NamedTuple):
    """One object that is asked for by its key."""

    key: str
    ours: str = ""
    """See `plan.Entry`."""
    target: str = ""
    """The target name that an earlier job settled on, '' for the one that follows from the key. Others of that job may have the latter."""
    reason: str = ""
    """Why it has that name."""


@dataclass(frozen=True)
class Chosen:
    """Objects that are asked for by their keys, each looked at; `wanted` gives the same ones in the same order each time it is called."""

    rules: Rules
    wanted: Callable[[], Iterable[Wanted]]
    looker: Looker
    check: Callable[[], None]

    def pages(self, next_: str, first: int) -> Iterator[Page]:
        done = 0 if next_ == START else int(next_)
        rest = islice(self.wanted(), done, None)
        try:
            while batch := list(islice(rest, _BATCH)):
                self.check()
                done += len(batch)
                page = self._page(batch, list(each((item.key for item in batch), self._look, LOOKERS)), first, str(done))
                first += len(page)
                yield page
        finally:
            self.looker.close()

    def _look(self, key: str) -> Found | str:
        try:
            return self.looker.found(key)
        except NotFound as error:
            return error.message

    def _page(self, batch: list[Wanted], found: list[Found | str], first: int, following: str | None) -> Page:
        there = [(item, one) for item, one in zip(batch, found, strict=True) if isinstance(one, Found)]
        page = self.rules.page(_columns([(item.key, one) for item, one in there]), first, following)
        page.ours = [item.ours for item, _ in there]
        for n, (item, _) in enumerate(there):
            if item.target and page.actions[n] in ("copy", "convert"):
                page.targets[n], page.reasons[n] = item.target, item.reason
        for item, one in zip(batch, found, strict=True):
            if isinstance(one, str):
                for column, value in zip(_page_columns(page), (item.key, 0, "", "", "", "fail", one, "", "", item.ours), strict=True):
                    column.append(value)
        return page


def _columns(found: list[tuple[str, Found]]) -> Listed:
    return Listed(
        [key for key, _ in found], [one.size_bytes for _, one in found], [one.etag for _, one in found], [one.about.modified for _, one in found],
        [one.about.storage_class for _, one in found], [False] * len(found), [""] * len(found), [one.checksums.get("md5", "") for _, one in found],
    )  # fmt: skip


def _page_columns(page: Page) -> tuple[list[Any], ...]:
    return (
        page.keys, page.sizes, page.etags, page.modified, page.targets, page.actions, page.reasons, page.classes, page.md5s, page.ours,
    )  # fmt: skip


def each_once(keys: Iterable[str], prefix: str) -> Iterator[Wanted]:
    """Yield chosen keys, each once; memory stays flat. Raises BadParameters for a key outside the source, or one that is no Unicode."""
    base = sqlite3.connect("")  # a database of its own in a temporary file, which goes with the connection
    try:
        base.execute("CREATE TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID")
        rest = iter(keys)
        while batch := list(islice(rest, _BATCH)):
            for key in batch:
                _refuse_outside(key, prefix)
            batch = list(dict.fromkeys(batch))
            query = "INSERT OR IGNORE INTO seen SELECT value FROM json_each(?) RETURNING key"
            fresh = {key for (key,) in base.execute(query, (json.dumps(batch),))}
            yield from (Wanted(key) for key in batch if key in fresh)
    finally:
        base.close()


def _refuse_outside(key: str, prefix: str) -> None:
    if names.readable(key) != key:
        raise BadParameters(f"The key {names.readable(key)!r} is not valid Unicode.", hint="Keys are whole, as a listing shows them.")
    if names.below(key, prefix) is None:
        raise BadParameters(f"The key {key!r} is not below the source prefix {prefix!r}.", hint="Keys are whole, as a listing shows them.")


def undone(earlier: Path, header: Mapping[str, Any]) -> Callable[[], Iterator[Wanted]] | None:
    """Return what a finished job left undone or failed; None when it left no plan like this one."""
    path = earlier / plan.PLAN_FILE
    count = plan.length_if_for(path, header)
    if count is None:
        return None
    state, job_id = JournalState(earlier / JOURNAL_FILE, count), plan.job_of(path)

    def wanted() -> Iterator[Wanted]:
        for entry in plan.read(path):
            if entry.action != "exclude" and not state.ended(entry.n):
                marks = [entry.ours, mark_of(job_id, entry.n) if state.begun(entry.n) else ""]
                settled = (entry.target_key, entry.reason) if entry.moves else ("", "")
                yield Wanted(entry.key, " ".join(filter(None, marks)), *settled)

    return wanted
