"""What is at the target before a table is brought there: nothing, an earlier state of the same table, or something that must stay as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from portal.errors import AlreadyExists, NotFound, TableChanged
from portal.lake.catalogs.base import Catalog
from portal.lake.catalogs.files import Files
from portal.lake.iceberg.paths import Paths, identity, read_path, written_path
from portal.lake.iceberg.reading import Metadata, parsed, read_metadata
from portal.lake.iceberg.refusals import TableRefused, TargetIncomplete
from portal.lake.migrating import stamp
from portal.lake.migrating.presence import NOTHING_LOST, Lost
from portal.lake.table_name import TableName

_ANOTHER = "Choose another target_namespace or target, or drop the table there if nobody needs it."


@dataclass(frozen=True)
class Standing:
    """The target's table as its catalog has it now."""

    metadata_location: str = ""
    """'' when there is no such table."""
    metadata: Metadata | None = None
    lost: Lost = NOTHING_LOST
    """Files of it that are not there as they should be."""

    @property
    def known(self) -> frozenset[int]:
        """Ids of the snapshots that are there with all their files: none when files were lost, and then every snapshot is brought again."""
        if self.lost:
            return frozenset()
        return frozenset(item["snapshot-id"] for item in (self.metadata or {}).get("snapshots") or [])

    def has(self, source: str, history: str) -> bool:
        """Whether this very state of the source, with as much of its history, was brought there."""
        found = self.metadata
        return found is not None and (stamp.property_of(found, stamp.SOURCE), stamp.property_of(found, stamp.HISTORY)) == (source, history)

    @property
    def at(self) -> datetime | None:
        """When its files were all there, by the clock of their store; None when nobody knows."""
        return stamp.date_of(self.metadata or {})

    def all_there(self, *times: datetime | None) -> datetime | None:
        """Return when its files and those that were brought now were all there, given the times that are known of these."""
        return max(filter(None, (*times, None if self.lost else self.at)), default=None)

    @property
    def properties(self) -> dict[str, str]:
        """Those that were set at the target."""
        return stamp.set_at_target(self.metadata or {})

    def names_from(self, location: str) -> str:
        """Return the location of the source that names are made from, given its present one: what has a name at the target keeps it."""
        return stamp.property_of(self.metadata or {}, stamp.LOCATION) or location

    def refuse_other_names(self, metadata: Metadata, paths: Paths) -> None:
        """Snapshots that are there are not written again, so their names must be the ones that they have. Raises TargetIncomplete."""
        there = {item["snapshot-id"]: item["manifest-list"] for item in (self.metadata or {}).get("snapshots") or []}
        for item in metadata.get("snapshots") or []:
            snapshot = item["snapshot-id"]
            if snapshot in there and read_path(there[snapshot]) != read_path(paths.written(item["manifest-list"])):
                raise TargetIncomplete(
                    f"Files of snapshot {snapshot} would get other names than they have at the target ({there[snapshot]}).",
                    hint="The source's location may have changed since. Drop the table at the target, and migrate it into an empty folder.",
                )


def look(catalog: Catalog, name: TableName, files: Files, source: Metadata, paths: Paths) -> Standing:
    """Return what is at the target. Raises AlreadyExists (another table is there), TableChanged (somebody has changed it since),
    TableRefused (the source has no UUID)."""
    _refuse_nameless(source, paths)
    try:
        location = catalog.metadata_location(name)
    except NotFound:
        _refuse_folder_of_another(files, source, paths)
        return Standing()
    metadata = read_metadata(files, location)
    _refuse_another(name, catalog.label, metadata, source, paths)
    if stamp.property_of(metadata, stamp.STATE) != stamp.state(metadata):
        raise TableChanged(
            f"{name} was changed in the catalog {catalog.label} since it was brought there: its snapshots, branches or schema are others.",
            hint="A migrated table is read only, else the next run would undo what was done to it. Migrate into another namespace, or drop it there.",
        )
    return Standing(location, metadata)


def _refuse_nameless(source: Metadata, paths: Paths) -> None:
    """By its UUID a table is known again: without one any other table could pass for it."""
    if not source.get("table-uuid"):
        raise TableRefused(
            f"The table in {paths.source} has no table-uuid (the first writers of format 1 left it out): nothing tells it from another of its name.",
            hint="Commit rows to it with any present version of Iceberg, an append for instance: that gives it a UUID.",
        )


def _refuse_another(name: TableName, label: str, found: Metadata, source: Metadata, paths: Paths) -> None:
    if found.get("table-uuid") != source.get("table-uuid"):
        raise AlreadyExists(f"The catalog {label} has another table {name} already.", hint=_ANOTHER)
    if not stamp.property_of(found, stamp.STATE):
        raise AlreadyExists(f"The catalog {label} has the table {name} already, and it was not brought there by a migration.", hint=_ANOTHER)
    if identity(read_path(found["location"].rstrip("/"))) != identity(paths.target):
        raise AlreadyExists(
            f"{name} was brought to {found['location']}, and this job would bring it to {written_path(paths.target)}.",
            hint="Name the same target as before, or another target_namespace.",
        )


def _refuse_folder_of_another(files: Files, source: Metadata, paths: Paths) -> None:
    """A folder that is another table's must not get our files between its own."""
    folder = f"{paths.location}/metadata"
    try:
        _, found = files.below(folder)
    except NotFound:
        return
    for info in found:
        if info.key.endswith(".metadata.json"):
            place = written_path(paths.target.at(info.key))
            other = parsed(files.read(place), place).get("table-uuid")
            if other != source.get("table-uuid"):
                raise AlreadyExists(f"{paths.location} is the folder of another table ({place}).", hint=_ANOTHER)
            return
