"""One data set of everything that a plan holds: all of it, or nothing. Stands in for the check of the targets and the moving, object by object."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from portal.errors import Cancelled, PortalError, SourceChanged
from portal.ledger.journal import JOURNAL_FILE, Journal, JournalState
from portal.movers.messages import Failure, failure_of
from portal.planning import plan
from portal.planning.plan import Entry, Page, Verdict, cause_of
from portal.planning.planner import Planned
from portal.planning.preflight import Preflight
from portal.stores.base import ObjectInfo, Store
from portal.tabular.outcome import Converted
from portal.transfer.migration import Migration
from portal.transfer.route import Route
from portal.transfer.rows import Rows

MAX_TRIES = 3
_BACKOFF_S = 0.5
_LOOKERS = 16
_STOPPED = "not tried: the data set is all or nothing, and {key} cannot be read"

log = logging.getLogger("portal.transfer")
Tell = Callable[[int, int], None]


class Together(Protocol):
    """Makes one data set of many objects; see `portal.transfer.converter`."""

    def dataset(
        self, infos: Sequence[ObjectInfo], key: str, *, overwrite: bool, before: Sequence[str], moved: Callable[[int], None]
    ) -> Converted: ...  # fmt: skip


def checked(migration: Migration, planned: Planned, folder: str) -> Preflight:
    """Return what stands in a data set's way: with overwrite=fail, anything below its folder, unless this job or one that it retries began it. Who
    writes looks then: only what their marks are on is replaced.

    Arguments:
        folder: of the target, without a '/' at its end
    """
    target, policies = migration.route.target.store, migration.policies
    found = Preflight(bytearray(planned.listed))
    there = target.list_page(f"{folder}/", limit=1).objects
    if there and policies.overwrite != "fail":
        found.verdicts = bytearray([Verdict.REPLACE]) * planned.listed
    elif there and _begun(migration, planned):
        found.verdicts = bytearray([Verdict.UNKNOWN]) * planned.listed
    elif there:
        found.verdicts = bytearray([Verdict.EXISTS]) * planned.listed
        found.occupied = [str(target.url.at(there[0].key))]
    return found


def _begun(migration: Migration, planned: Planned) -> bool:
    if any(any(page.ours) for page in plan.pages(planned.path)):
        return True
    path = migration.folder / JOURNAL_FILE
    if not path.exists():
        return False
    state = JournalState(path, planned.listed)
    return any(state.begun(n) or state.ended(n) for n in range(planned.listed))


class DataSet:
    """Moves a plan as one data set into `folder`; takes the place of `portal.transfer.moving.move`."""

    def __init__(self, together: Together, folder: str) -> None:
        self._together, self._folder = together, folder

    def __call__(self, route: Route, pages: Iterable[Page], verdicts: Sequence[int], journal: Journal, tell: Tell) -> bool:
        """Returns whether it failed for a reason that may pass. Raises Cancelled."""
        moving, others = _parted(pages)
        entries = {entry.n: entry for entry in moving}
        rows = Rows(journal, entries)
        try:
            rows.settled([_settled(entry) for entry in others if not journal.state.ended(entry.n)])
            if all(journal.state.ended(entry.n) for entry in moving):
                return False
            if hindered := next((entry.key for entry in others if entry.action == "fail"), ""):
                rows.add_rows(_failures(moving, Failure("other", _STOPPED.format(key=hindered), False), 0))
                return False
            journal.begin([entry.n for entry in moving])
            return self._tried(route, moving, rows, any(verdicts[entry.n] == Verdict.REPLACE for entry in moving), tell)
        finally:
            rows.close()

    def _tried(self, route: Route, entries: list[Entry], rows: Rows, overwrite: bool, tell: Tell) -> bool:
        began, before = time.time_ns() // 1_000_000, _earlier_jobs(entries)
        for attempt in range(1, MAX_TRIES + 1):
            try:
                infos = looked(route.source.store, entries)
                done = self._together.dataset(infos, self._folder, overwrite=overwrite, before=before, moved=lambda size: tell(0, size))
            except Cancelled:
                raise
            except Exception as error:
                failure = failure_of(error)
                if failure.retryable and attempt < MAX_TRIES:
                    _pause(attempt, tell)
                    continue
                _log(error, failure)
                rows.add_rows(_failures(entries, failure, attempt))
                tell(len(entries), 0)
                return failure.retryable
            times = {"started_at": began, "finished_at": time.time_ns() // 1_000_000, "attempts": attempt}
            rows.add_rows({**row, **times} for row in _converted(entries, infos, done))
            tell(len(entries), 0)
            return False
        raise AssertionError("unreachable")


def _earlier_jobs(entries: Iterable[Entry]) -> list[str]:
    """Return the ids of the jobs that this one retries, and that began the entries."""
    return sorted({mark.rpartition(".")[0] for entry in entries for mark in entry.ours.split()})


def looked(store: Store, entries: Sequence[Entry]) -> list[ObjectInfo]:
    """Return what a store knows of each object now. Raises SourceChanged for one that was replaced after it was listed."""
    with ThreadPoolExecutor(_LOOKERS, thread_name_prefix="look") as pool:
        infos = list(pool.map(store.stat, [entry.key for entry in entries]))
    for entry, info in zip(entries, infos, strict=True):
        if entry.etag and info.etag != entry.etag:
            raise SourceChanged(f"{store.url.at(entry.key)} was replaced after it was listed.", hint="Run the job again.")
    return infos


def _parted(pages: Iterable[Page]) -> tuple[list[Entry], list[Entry]]:
    """Return what goes into the data set, and the rest. After a cut all of it is made again: half of it is no data set."""
    moving: list[Entry] = []
    others: list[Entry] = []
    for page in pages:
        for entry in page.entries():
            (moving if entry.moves else others).append(entry)
    return moving, others


def _settled(entry: Entry) -> tuple[Entry, str, str, str]:
    if entry.action == "exclude":
        return entry, "excluded", entry.reason, ""
    return entry, "failed", entry.reason, cause_of(entry.reason)


def _failures(entries: Iterable[Entry], failure: Failure, attempts: int) -> Iterator[dict[str, Any]]:
    for entry in entries:
        yield {"n": entry.n, "outcome": "failed", "reason": failure.reason, "cause": failure.cause, "attempts": attempts}


def _converted(entries: Sequence[Entry], infos: Sequence[ObjectInfo], done: Converted) -> Iterator[dict[str, Any]]:
    """The ledger's rows: what became of each source's rows, and the folder that they went to."""
    for entry, info, told in zip(entries, infos, done.sources, strict=True):
        yield {
            "n": entry.n, "outcome": "converted", "source_version": info.version_id or None, "source_checksum": told.compared or None,
            "proof": "converted" if done.read_back else "none", "rows_in": told.rows_in, "rows_out": told.rows_out,
            "rows_rejected": told.rows_rejected, "rows_filtered": told.rows_filtered, "mode": "convert", "bytes_through": told.size_bytes,
        }  # fmt: skip


def _log(error: Exception, failure: Failure) -> None:
    if not isinstance(error, PortalError):
        log.exception("the data set failed in a way nobody knows")
    log.error("the data set failed: %s", failure.reason)


def _pause(attempt: int, tell: Tell) -> None:
    """Wait before the next try, longer each time; a cancel ends the wait."""
    until = time.monotonic() + _BACKOFF_S * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311
    while time.monotonic() < until:
        tell(0, 0)
        time.sleep(0.05)
