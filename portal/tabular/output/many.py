"""The same done to many objects of a store in a few threads: mostly it is the store that is waited for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TypeVar

from portal.stores.base import HasFolders, Store
from portal.tabular.conversion.pipeline import in_order
from portal.tabular.output.publish import Published, withdraw
from portal.tabular.rows import Check

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = 8
TELL_S = 5.0

_LOG = logging.getLogger("portal.tabular")


def in_threads(
    act: Callable[[Item], Result], items: Sequence[Item], check: Check | None = None, *, telling: str = "", workers: int = WORKERS
) -> list[Result]:  # fmt: skip
    """Return act(item) of each item, in their order. The first error ends it, once what has begun has ended.

    Arguments:
        act: is called by a few threads at once.
        check: called often, also while a single item is worked on; what it raises ends it too.
        telling: what is done, for a line of the log now and then, like 'published'.
    """
    if not items or (check is None and len(items) == 1):  # nothing is done beside it and nobody is asked, so no threads are started for it
        return [act(item) for item in items]
    with closing(in_order(items, act, check=check or _ask_nobody, workers=min(workers, len(items)))) as results:
        return list(told(results, len(items), telling))


def _ask_nobody() -> None:
    return


def told(results: Iterable[Result], total: int, telling: str) -> Iterator[Result]:
    """Pass results on, and tell in the log now and then how many there were."""
    last = time.monotonic()
    for count, result in enumerate(results, 1):
        yield result
        if telling and time.monotonic() - last >= TELL_S:
            last = time.monotonic()
            _LOG.info("%s %s of %s parts", telling, f"{count:,}", f"{total:,}")


def withdraw_all(store: Store, published: Iterable[Published]) -> None:
    """See `portal.tabular.output.publish.withdraw`."""
    in_threads(lambda each: withdraw(store, each), list(published))


def missing_folders(store: Store, folder: str, keys: Iterable[str]) -> list[str]:
    """Return the folders, from `folder` (which ends in '/') down, that writing these keys will make, in a store that has folders."""
    return [path for path in folders_of(folder, keys) if not store.has_folder(path)] if isinstance(store, HasFolders) else []


def remove_empty(store: Store, folders: Iterable[str]) -> None:
    """Remove those folders that are empty, those within others first, from a store that has folders."""
    if isinstance(store, HasFolders):
        for folder in sorted(folders, reverse=True):
            store.remove_folder(folder)


def sync_folders(store: Store, folders: Sequence[str], check: Check) -> None:
    """Make the names in folders durable, in a store that has folders: once each, however many names they hold."""
    if isinstance(store, HasFolders):
        in_threads(store.sync_folder, folders, check)


def folders_of(folder: str, keys: Iterable[str]) -> list[str]:
    """Return the folders that lead to keys, from `folder` (which ends in '/') down, those that hold others first."""
    found = {folder}
    for key in keys:
        place = key.rfind("/") + 1
        while place > len(folder) and key[:place] not in found:
            found.add(key[:place])
            place = key.rfind("/", 0, place - 1) + 1
    return sorted(found)
