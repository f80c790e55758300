"""Moves the files of a table that go over as they are: one transfer for each container they lie in, with plan, journal, proof and ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from portal.connections import KIND_OF_SCHEME
from portal.errors import TransferFailed
from portal.lake.catalogs.files import Files, Lookup
from portal.lake.iceberg.paths import Paths, read_path
from portal.lake.iceberg.walk import Walked
from portal.lake.migrating.stamp import is_after
from portal.ledger.balance import Books
from portal.planning import limits, plan
from portal.planning.compare import SameBytes
from portal.planning.plan import Entry
from portal.planning.planner import Planned
from portal.planning.planning import Rules
from portal.planning.policies import Policies
from portal.planning.preflight import Preflight
from portal.planning.verdicts import is_later
from portal.stores.url import StoreURL
from portal.transfer.migration import Migration, Mover, Outcome, Tell
from portal.transfer.route import Route
from portal.transfer.side import Side
from portal.wire.access import access_of
from portal.wire.ends import Found

POLICIES = Policies("different")
"""A file that is there is left alone when it is the copy of this very version; data files never change under their names."""


@dataclass(frozen=True)
class Moving:
    """What the transfers of a job have in common."""

    source: Files
    target: Files
    lookup: Lookup
    route: Callable[[Side, Side], Route]
    """Says how fast, and how it is proven."""
    mover: Mover
    job_id: str
    check: Callable[[], None]
    stall_s: float = 60.0

    def side(self, files: Files, url: StoreURL) -> Side:
        """Open a container of one of the two sides."""
        connection: Any = self.lookup(KIND_OF_SCHEME[url.scheme], files.connection_name(url.scheme))
        return Side(url, files.store(url), lambda: replace(access_of(url, connection), stall_s=self.stall_s))


@dataclass
class Moved:
    """What was moved for one table."""

    files: int = 0
    bytes: int = 0
    there: int = 0
    """Files that were at the target already."""
    latest: datetime | None = None
    """The latest time that a copy keeps of what it was made from; None where copies have times of their own."""


@dataclass(frozen=True)
class DataFiles:
    """The files of one table that are moved as they are."""

    moving: Moving
    walked: Walked
    paths: Paths
    folder: Path
    """Of this table among the job's files: each container has a folder in it."""
    tell: Tell
    doubted_since: datetime | None = None
    """What was written later at the target is copied again, whatever it says of where it came from; None: what it says is believed."""

    def transfers(self) -> Iterator[tuple[Migration, Planned]]:
        """Yield a transfer, planned, for each container that files lie in. Raises NotFound, AccessDenied, TransferFailed (files are not as the
        manifests say)."""
        for number, root in enumerate(self.walked.roots()):
            migration = self._transfer(number, root)
            planned = migration.plan()
            _refuse_lost(planned)
            self._refuse_other_sizes(root, planned)
            yield migration, planned

    def run(self) -> Moved:
        """Move everything. Raises TransferFailed when a file has not arrived, Cancelled, and what stores raise."""
        total = Moved()
        for migration, planned in self.transfers():
            found = self.checked(migration, planned)
            books = Books(migration.route.target.base)
            outcome = migration.move(planned, found, books)
            _refuse_failures(outcome)
            total.files += books.moved
            total.bytes += books.bytes
            total.there += books.outcomes["skipped"]
            if self.paths.target.scheme == "file":
                total.latest = max((*_times(planned), *filter(None, (total.latest,))), default=None)
        return total

    def checked(self, migration: Migration, planned: Planned) -> Preflight:
        """Raises what stands in the way."""
        found = migration.preflight(planned)
        found.refuse(migration.policies)
        return found

    def _transfer(self, number: int, root: str) -> Migration:
        folder = self.folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        source_root = StoreURL.parse(root).root
        source = self.moving.side(self.moving.source, source_root)
        target = self.moving.side(self.moving.target, self.paths.target)
        base = str(source_root)
        rules = Rules(
            "", self.paths.target.key, self.paths.target.scheme, limit_bytes=limits.largest(target.store, self.paths.target.key),
            key_of=lambda below, modified: self.paths.name(base + below),
        )  # fmt: skip
        header = {
            "table": self.walked.metadata_path, "root": root, "target": str(self.paths.target), "known": sorted(self.walked.known),
            "snapshots": [item["snapshot-id"] for item in self.walked.snapshots],
        }  # fmt: skip
        return Migration(
            self.moving.route(source, target), rules, POLICIES, folder, self.moving.job_id, header, self.tell, self.moving.check,
            lambda: (read_path(file.path).key for file in self.walked.moved(root)), mover=self.moving.mover, same_bytes=self._same(target),
        )  # fmt: skip

    def _same(self, target: Side) -> SameBytes | None:
        since = self.doubted_since
        if since is None:
            return None
        if target.url.scheme == "file":  # a copy has the time of its source, to the microsecond
            return lambda entry, found: not (is_later(entry.modified, found.about.modified) or is_later(found.about.modified, entry.modified))
        return lambda entry, found: _is_copy(entry, found) and not _is_after(found.about.modified, since)

    def _refuse_other_sizes(self, root: str, planned: Planned) -> None:
        """A reader believes the manifests: a file of another size than they say is damaged, and would be at the target too."""
        for file, entry in zip(self.walked.moved(root), plan.read(planned.path), strict=True):
            if read_path(file.path).key != entry.key:
                raise TransferFailed(f"The plan has {entry.key}, where the table has {file.path}.", hint="Run it again in a new job.")
            if entry.size_bytes != file.size_bytes:
                raise TransferFailed(
                    f"{file.path} has {entry.size_bytes:,} bytes, and its manifest says {file.size_bytes:,}: it was cut off or written over.",
                    hint="The table is damaged at the source. See whether history=current leaves that file out, or restore it there.",
                )


def _times(planned: Planned) -> Iterator[datetime]:
    """Yield when the source's files were modified, as far as their store says."""
    return (datetime.fromisoformat(moment) for page in plan.pages(planned.path) for moment in page.modified if moment)


def _is_after(modified: str, at: datetime) -> bool:
    """What nobody knows counts as later."""
    return not modified or is_after(datetime.fromisoformat(modified), at)


def _is_copy(entry: Entry, found: Found) -> bool:
    return bool(entry.etag) and found.about.metadata.get("source_etag", "") == entry.etag


def _refuse_lost(planned: Planned) -> None:
    """With a file that is gone the table cannot be whole: nothing is moved for it."""
    if not planned.survey.failing:
        return
    first = next(entry for entry in plan.read(planned.path) if entry.action == "fail")
    planned.path.unlink()  # the next attempt looks again
    raise TransferFailed(
        f"{planned.survey.failing:,} of the table's files cannot be read. {first.key}: {first.reason}",
        hint="Files may have gone while the job ran (expired snapshots): run it again. Else the table is damaged: see whether history=current helps.",
    )


def _refuse_failures(outcome: Outcome) -> None:
    failed = outcome.books.outcomes["failed"]
    if not failed:
        return
    first = outcome.books.failures[0]
    error = TransferFailed(
        f"{failed:,} of the table's files have not arrived. {first['key']}: {first['reason']}",
        hint="" if "what to do:" in first["reason"] else "The ledger has all of them. Run it again: what has arrived stays.",
    )
    error.retryable = outcome.retryable
    raise error

