"""Where a plan's entries come from: a listing, chosen keys, or what an earlier job left undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from portal.errors import NotFound, StoreError
from portal.stores.base import ObjectInfo, Store
from portal.transfer import plan, planning
from portal.transfer.journal import JOURNAL_FILE, JournalState
from portal.transfer.names import as_folder
from portal.transfer.plan import Entry
from portal.transfer.planning import Rules
from portal.transfer.pool import each


def listed(source: Store, rules: Rules, check: Callable[[], None]) -> Iterator[Entry]:
    """Yield an entry for each object at or below the source prefix, page by page. Raises NotFound when there is no such container."""
    n = 0
    for info in objects(source, rules.source_prefix, check):
        entry = rules.entry(n, info)
        if entry is not None:
            yield entry
            n += 1


def objects(source: Store, prefix: str, check: Callable[[], None]) -> Iterator[ObjectInfo]:
    """Yield whatever is at or below a prefix, folders too, page by page. Raises NotFound when there is no such container."""
    if prefix and not prefix.endswith("/"):
        yield from _itself(source, prefix)
    continuation: str | None = None
    while True:
        check()
        page = source.list_page(as_folder(prefix), continuation=continuation)
        yield from page.objects
        continuation = page.continuation
        if continuation is None:
            return


def _itself(source: Store, key: str) -> Iterator[ObjectInfo]:
    try:
        yield source.stat(key)
    except NotFound:
        return


def chosen(source: Store, rules: Rules, keys: Iterable[str], threads: int) -> Iterator[Entry]:
    """Yield an entry for each chosen key; one that is not there becomes an entry that fails."""

    def look(key: str) -> Entry:
        try:
            info = source.stat(key)
        except NotFound as error:
            return _failing(key, error.message)
        return rules.entry(0, info) or _failing(key, "it is a folder, not an object")

    for n, entry in enumerate(each(planning.chosen(keys, rules.source_prefix), look, threads)):
        yield entry._replace(n=n)


def _failing(key: str, reason: str) -> Entry:
    return Entry(0, key, 0, "", "", "", "fail", reason)


def undone(earlier: Path, header: Mapping[str, Any], source: Store, rules: Rules, threads: int) -> Iterator[Entry] | None:
    """Return the entries that a finished job left undone or failed, their sources looked at anew; None when it left no plan like this one."""
    path = earlier / plan.PLAN_FILE
    count = plan.length_if_for(path, header)
    if count is None:
        return None
    state = JournalState(earlier / JOURNAL_FILE, count)
    left = (entry for entry in plan.read(path) if entry.action != "exclude" and not state.ended(entry.n))

    def look(before: Entry) -> Entry:
        ours = before.ours or state.begun(before.n)
        try:
            entry = rules.entry(0, source.stat(before.key)) or _failing(before.key, "it is a folder, not an object")
        except StoreError as error:
            if not isinstance(error, NotFound):
                raise
            entry = _failing(before.key, error.message)
        return entry._replace(ours=ours)

    return (entry._replace(n=n) for n, entry in enumerate(each(left, look, threads)))
