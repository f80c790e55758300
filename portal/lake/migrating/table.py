"""Brings one table over: look, walk, move, write the metadata, compare, and only then make it known. Whatever ends it before leaves the target's
catalog as it was, and the next run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from portal.errors import CatalogError, NotFound, PortalError, TransferFailed
from portal.lake.catalogs.base import Catalog
from portal.lake.catalogs.file_io import PortalIO
from portal.lake.iceberg.comparing import Side, SnapshotCompared, compare
from portal.lake.iceberg.fence import Fence
from portal.lake.iceberg.history import History
from portal.lake.iceberg.paths import Paths, identity
from portal.lake.iceberg.reading import Metadata, read_metadata
from portal.lake.iceberg.rewriting import Rewriting, Rewritten
from portal.lake.iceberg.walk import Walked, walk
from portal.lake.migrating import stamp
from portal.lake.migrating.data_files import DataFiles, Moved, Moving
from portal.lake.migrating.presence import Lost, lost
from portal.lake.migrating.standing import Standing, look
from portal.lake.table_name import TableName, joined
from portal.lake.table_outcome import TableOutcome
from portal.stores.url import StoreURL

Check = Literal["counts", "rows", "none"]
Tell = Callable[[str, int, int | None, int], None]
"""Told (what is done now, how many are done, of how many, bytes moved)."""


@dataclass(frozen=True)
class Wanted:
    """Which table, and where it goes."""

    name: TableName
    target: TableName
    folder: StoreURL
    """Becomes the table's location."""
    history: History
    check: Check
    elsewhere: tuple[StoreURL, ...] = ()
    """Containers and folders that its files may lie in besides the container of its metadata."""


@dataclass(frozen=True)
class TableMigration:
    """One table from one catalog to another."""

    wanted: Wanted
    source: Catalog
    target: Catalog
    moving: Moving
    scratch: Path
    """Folder of this table among the job's files."""
    tell: Tell

    def run(self) -> TableOutcome:
        """Raises what stands in the way: AlreadyExists, TableChanged, TableRefused, TransferFailed, TablesDiffer, and what stores raise."""
        location, paths, standing = self._looked()
        if self._is_there(location, standing):
            return self._outcome("unchanged", standing.metadata_location, standing.metadata or {}, "is there already")
        with self._may_move_on(location), self._walked(location, paths, standing) as walked:
            files = DataFiles(self.moving, walked, paths, self.scratch, self._told("moving files"), standing.at if standing.lost else None)
            moved = files.run()
            rewritten = Rewriting(
                walked, self.moving.source, self.moving.target, paths, self.scratch, self.moving.check, self._counted("writing metadata"),
                properties=standing.properties, finished=lambda metadata, at: stamp.dated(metadata, standing.all_there(at, moved.latest)),
            ).run()
            compared = self._compared(location, rewritten, paths, walked)
            now = self._committed(standing, rewritten)
            outcome = self._done(walked, moved, rewritten, compared, now, standing.lost)
        self._tidy()
        return outcome

    def planned(self) -> tuple[TableOutcome, list[Any]]:
        """Return what would be done, and the transfers of its files, planned; nothing is written at the target."""
        location, paths, standing = self._looked()
        if self._is_there(location, standing):
            return self._outcome("unchanged", standing.metadata_location, standing.metadata or {}, "is there already"), []
        with self._walked(location, paths, standing) as walked:
            transfers = list(DataFiles(self.moving, walked, paths, self.scratch, self._told("planning")).transfers())
            totals = walked.inventory.totals()
            facts = {"files_by_kind": {kind: count for kind, (count, _, _) in totals.items()}, **_said(walked)}
            outcome = self._outcome("done", "", walked.metadata, "would be brought over")
            count, size = sum(one[0] for one in totals.values()), sum(one[1] for one in totals.values())
            return replace(outcome, files=count, bytes=size, snapshots=len(walked.snapshots), facts=facts), transfers

    def _looked(self) -> tuple[str, Paths, Standing]:
        location = self.source.metadata_location(self.wanted.name)
        metadata = read_metadata(self.moving.source, location)
        paths = Paths(metadata["location"], self.wanted.folder)
        standing = look(self.target, self.wanted.target, self.moving.target, metadata, paths)
        paths = Paths(standing.names_from(metadata["location"]), self.wanted.folder)
        standing.refuse_other_names(metadata, paths)
        return location, paths, self._with_losses(standing)

    def _with_losses(self, standing: Standing) -> Standing:
        """Files at the target may have gone or been written over since: what is new must not be built on them."""
        if not standing.metadata_location or self.wanted.check == "none":
            return standing
        self.tell("looking at what is there", 0, None, 0)
        moving, folder = self.moving, self.wanted.folder
        found = lost(moving.target, standing.metadata_location, folder, self.scratch, moving.check, since=standing.at)
        return replace(standing, lost=found)

    def _is_there(self, location: str, standing: Standing) -> bool:
        return standing.has(location, str(self.wanted.history)) and not standing.lost

    def _walked(self, location: str, paths: Paths, standing: Standing) -> Walked:
        self.tell("reading the table's metadata", 0, None, 0)
        self.scratch.mkdir(parents=True, exist_ok=True)
        wanted = self.wanted
        walked = walk(
            self.moving.source, location, wanted.history, self.scratch, self.moving.check, known=standing.known, elsewhere=wanted.elsewhere
        )
        return replace(walked, metadata=stamp.stamped(stamp.unstamped(walked.metadata), location, str(self.wanted.history), str(paths.source)))

    def _compared(self, location: str, rewritten: Rewritten, paths: Paths, walked: Walked) -> list[SnapshotCompared]:
        if self.wanted.check == "none":
            return []
        ours = Side(location, PortalIO(self.moving.source)), Side(rewritten.metadata_location, PortalIO(self.moving.target))
        fresh = {item["snapshot-id"] for item in walked.snapshots}
        return compare(
            *ours, paths, snapshots=fresh, rows=self.wanted.check == "rows", check=self.moving.check, tell=self._counted("comparing snapshots")
        )

    def _committed(self, standing: Standing, rewritten: Rewritten) -> str:
        """The one step that others see; it is made or not made."""
        self.moving.check()
        name = self.wanted.target
        if standing.metadata_location:
            now = self.target.replace(name, standing.metadata_location, rewritten.metadata_location)
        else:
            self.target.create_namespace(name.namespace)
            now = self.target.register(name, rewritten.metadata_location)
        if stamp.state(read_metadata(self.moving.target, now)) != stamp.state(rewritten.metadata):
            told = f"The catalog {self.target.label} took {name}, and holds other snapshots or another schema than were given to it."
            raise CatalogError(told, hint="See what the catalog did to it; a table that it changes itself is not the source's.")
        return now

    def _done(self, walked: Walked, moved: Moved, rewritten: Rewritten, compared: list[SnapshotCompared], now: str, lost: Lost) -> TableOutcome:
        facts = {
            "deletes": rewritten.deletes, "manifests": rewritten.manifests, "lists": rewritten.lists, "files_there_already": moved.there,
            **_said(walked), "check": self.wanted.check, "snapshots": [_told(one) for one in compared[-20:]],
        }  # fmt: skip
        why = f"{len(walked.snapshots)} new snapshots" if walked.known else f"history: {self.wanted.history}"
        outcome = self._outcome("done", now, rewritten.metadata, f"{why}; {lost}" if lost else why)
        files = moved.files + rewritten.deletes
        return replace(outcome, files=files, bytes=moved.bytes, snapshots=len(walked.snapshots), facts=facts)

    def _outcome(self, ended: Literal["done", "unchanged"], metadata_location: str, metadata: Metadata, why: str) -> TableOutcome:
        location = str(metadata.get("location", "")) if metadata_location else str(self.wanted.folder)
        return TableOutcome(
            str(self.wanted.name), ended, why, target=joined(self.wanted.target.identifier), way="copy", rows=rows_of(metadata),
            location=location, metadata_location=metadata_location, snapshot_id=stamp.current(metadata),
        )  # fmt: skip

    @contextmanager
    def _may_move_on(self, location: str) -> Iterator[None]:
        """What is gone after the source has committed meanwhile was expired there: the next attempt begins from what is there now."""
        try:
            yield
        except (NotFound, TransferFailed) as error:
            error.retryable = error.retryable or self._moved_on(location)
            raise

    def _moved_on(self, location: str) -> bool:
        try:
            return self.source.metadata_location(self.wanted.name) != location
        except PortalError:
            return False

    def _told(self, what: str) -> Callable[[int, int | None, int, str], None]:
        return lambda done, total, size, note: self.tell(note or what, done, total, size)

    def _counted(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.tell(what, done, total, 0)

    def _tidy(self) -> None:
        """The transfers' own files stay for whoever looks; the inventory can be large and has served."""
        for path in self.scratch.glob("table.sqlite*"):
            path.unlink()


def rows_of(metadata: Metadata) -> int | None:
    """Return the rows of the current snapshot as its summary has them, None when it does not say or deletes make them fewer."""
    current = next((one for one in metadata.get("snapshots") or [] if one["snapshot-id"] == metadata.get("current-snapshot-id")), None)
    if current is None:
        return 0
    summary = current.get("summary") or {}
    deletes = int(summary.get("total-position-deletes", 0)) + int(summary.get("total-equality-deletes", 0))
    return int(summary["total-records"]) if "total-records" in summary and not deletes else None


def _said(walked: Walked) -> dict[str, Any]:
    """What there is to say of its files: what is left out of the history, and those that come from other containers than the table's own."""
    fence = Fence(walked.metadata_path)
    sums = walked.inventory.totals_by_root().items()
    found = [{"container": root, "files": count, "bytes": size} for root, (count, size) in sums if not fence.holds(identity(StoreURL.parse(root)))]
    return {"notes": list(walked.notes), **({"elsewhere": found} if found else {})}


def _told(one: SnapshotCompared) -> dict[str, Any]:
    found: dict[str, Any] = {"snapshot_id": str(one.snapshot_id), **one.counts._asdict()}
    if one.rows is not None:
        found["rows_compared"] = one.rows
    return {**found, **({"rows_unread": one.unread, "files_compared": one.files} if one.unread else {})}
