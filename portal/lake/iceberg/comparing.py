"""Holds a migrated table against its source, both read by pyiceberg, which shares no code with what wrote the target.

Each manifest is compared once, a few at a time and entry by entry: memory holds their files' bytes, and of each manifest its counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from pyiceberg.avro.file import AvroFile
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import FileIO
from pyiceberg.manifest import (
    DATA_FILE_TYPE,
    MANIFEST_ENTRY_SCHEMAS,
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    clear_manifest_cache,
    read_manifest_list,
)
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.metadata import TableMetadataUtil
from pyiceberg.table.snapshots import Snapshot

from portal.errors import AccessDenied, NotFound
from portal.lake.iceberg.comparing_deletes import compare_deletes
from portal.lake.iceberg.comparing_files import compare_bytes
from portal.lake.iceberg.comparing_rows import rows_compared
from portal.lake.iceberg.parallel import each, in_order
from portal.lake.iceberg.paths import Paths
from portal.lake.iceberg.position_deletes import PATH_ID
from portal.lake.iceberg.reading import unpacked
from portal.lake.iceberg.refusals import TablesDiffer
from portal.lake.iceberg.walk import WORKERS

_GONE = "One at the source is lost: restore it, choose a history that does without it, or check=counts. One at the target is brought again next time."
_READ_AS = 3
"""Format of the schema that entries are read by: it has all fields of the formats before."""
_FIELDS = (
    "content", "file_format", "partition", "record_count", "file_size_in_bytes", "column_sizes", "value_counts", "null_value_counts",
    "nan_value_counts", "lower_bounds", "upper_bounds", "key_metadata", "split_offsets", "equality_ids", "sort_order_id",
)  # fmt: skip
_NEWEST = {
    field.name: place for place, field in enumerate(DATA_FILE_TYPE[_READ_AS].fields)
    if field.name in ("first_row_id", "content_offset", "content_size_in_bytes", "referenced_data_file")
}  # fmt: skip
"""Fields that pyiceberg reads and has no names for, and where they stand in its records."""
_OF_WHAT_IS_WRITTEN_ANEW = ("file_size_in_bytes", "column_sizes", "split_offsets")
_BOUNDS = ("lower_bounds", "upper_bounds")
_OF_MANIFESTS = (
    "content", "partition_spec_id", "sequence_number", "min_sequence_number", "added_snapshot_id", "added_files_count", "existing_files_count",
    "deleted_files_count", "added_rows_count", "existing_rows_count", "deleted_rows_count", "partitions",
)  # fmt: skip
_OF_SNAPSHOTS = ("parent_snapshot_id", "sequence_number", "timestamp_ms", "summary", "schema_id")
_OF_TABLES = ("table_uuid", "format_version", "schemas", "partition_specs", "sort_orders", "current_schema_id", "default_spec_id",
              "default_sort_order_id", "last_column_id", "last_partition_id", "current_snapshot_id", "last_sequence_number")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Side:
    """A table by its metadata file, and what reads its files."""

    metadata_location: str
    io: FileIO

    def table(self) -> Table:
        with self.io.new_input(self.metadata_location).open() as stream:  # pyiceberg goes by the name alone, and writers pack files of other names
            data = stream.read()
        metadata = TableMetadataUtil.parse_raw(unpacked(data).decode("utf-8"))
        return StaticTable(("table",), metadata, self.metadata_location, self.io, NoopCatalog("static"))


class Counts(NamedTuple):
    """What is alive: files and records of data, files with deletes and how many deletes."""

    files: int = 0
    records: int = 0
    delete_files: int = 0
    deletes: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(*(one + more for one, more in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class SnapshotCompared:
    """A snapshot that is the same on both sides."""

    snapshot_id: int
    counts: Counts
    rows: int | None = None
    """Rows whose values were read and compared on both sides; None when they were not."""
    unread: str = ""
    """Why not, when it was asked for. Then its files were compared instead."""
    files: int = 0
    """How many of its files were compared byte by byte: all that hold data or equality deletes, but for those that an earlier snapshot has."""


def compare(
    source: Side, target: Side, paths: Paths, *, snapshots: Collection[int] | None, rows: bool, check: Callable[[], None],
    tell: Callable[[int, int], None], workers: int = WORKERS,
) -> list[SnapshotCompared]:  # fmt: skip
    """Compare both sides and return what was found, a line per snapshot, in the target's order.

    Args:
        snapshots: ids of those to compare; None for all that the target has
        rows: also read every row of every snapshot, and compare their values, whatever their order; where the reader cannot, the files' bytes
        tell: told snapshots done and in all

    Raises TablesDiffer, saying where, and NotFound or AccessDenied for a file that one side's table needs and this reader does not get."""
    clear_manifest_cache()  # it goes by paths alone, and knows what stood there before
    try:
        theirs = source.table()
        by_id = {one.snapshot_id: one for one in theirs.metadata.snapshots}
        return _Comparison(theirs, target.table(), paths, rows, check, workers, by_id).run(snapshots, tell)
    except FileNotFoundError as error:
        raise NotFound(f"Both sides were compared, and a file of the table was not there: {error}", hint=_GONE) from error
    except PermissionError as error:
        raise AccessDenied(f"Both sides were compared, and a file of the table could not be read: {error}") from error


@dataclass(frozen=True)
class _Comparison:
    source: Table
    target: Table
    paths: Paths
    rows: bool
    check: Callable[[], None]
    workers: int
    snapshots: dict[int, Snapshot]
    """The source's, by their ids."""
    counted: dict[str, Counts] = field(default_factory=dict)
    """By path of the source's manifest."""
    chosen: set[int] = field(default_factory=set)
    """Ids of the snapshots that are compared."""
    deletes: set[str] = field(default_factory=set)
    """Paths of the source's files with deletes that were compared: a Puffin file has an entry for each of its vectors."""
    bytes_of: set[str] = field(default_factory=set)
    """Paths of the source's files whose bytes were compared, and of the manifests that name them."""

    def run(self, snapshots: Collection[int] | None, tell: Callable[[int, int], None]) -> list[SnapshotCompared]:
        self._tables()
        chosen = [one for one in self.target.metadata.snapshots if snapshots is None or one.snapshot_id in snapshots]
        self.chosen.update(one.snapshot_id for one in chosen)
        found = []
        for number, listed in enumerate(in_order(chosen, self._lists, self.check, workers=self.workers)):
            tell(number, len(chosen))
            found.append(self._snapshot(chosen[number], listed))
        tell(len(chosen), len(chosen))
        return found

    def _tables(self) -> None:
        ours, theirs = self.target.metadata, self.source.metadata
        for name in _OF_TABLES:
            _equal(f"The table's {name}", getattr(theirs, name, None), getattr(ours, name, None))
        _equal("The table's location", self.paths.location, ours.location)
        known = {one.snapshot_id for one in ours.snapshots}
        refs = {name: ref for name, ref in theirs.refs.items() if ref.snapshot_id in known}
        _equal("The table's branches and tags", refs, ours.refs)

    def _lists(self, ours: Snapshot) -> list[tuple[ManifestFile, ManifestFile]]:
        """What the metadata and the manifest list say of a snapshot; returns its manifests, each with its copy."""
        what = f"Snapshot {ours.snapshot_id}"
        theirs = self.snapshots.get(ours.snapshot_id)
        if theirs is None:
            raise TablesDiffer(f"{what} is at the target and not at the source.")
        for name in _OF_SNAPSHOTS:
            _equal(f"{what}: {name}", getattr(theirs, name), getattr(ours, name))
        manifests, copies = _listed_in(theirs, self.source.io), _listed_in(ours, self.target.io)
        _equal(f"{what}: the number of manifests", len(manifests), len(copies))
        pairs = list(zip(manifests, copies, strict=True))
        for manifest, copy in pairs:
            self._listed(what, manifest, copy)
        return pairs

    def _snapshot(self, ours: Snapshot, pairs: list[tuple[ManifestFile, ManifestFile]]) -> SnapshotCompared:
        manifests = [manifest for manifest, _ in pairs]
        each((pair for pair in pairs if pair[0].manifest_path not in self.counted), self._entries, self.check, workers=self.workers)
        counts = reduce(Counts.plus, (self.counted[manifest.manifest_path] for manifest in manifests), Counts())
        if not self.rows:
            return SnapshotCompared(ours.snapshot_id, counts)
        read = rows_compared(self.source, self.target, ours.snapshot_id, self.check)
        files = self._bytes(manifests) if read.rows is None else 0
        return SnapshotCompared(ours.snapshot_id, counts, read.rows, read.why_not, files)

    def _bytes(self, manifests: list[ManifestFile]) -> int:
        """Deletes that nobody here applies leave the same rows on both sides when they, and what they are applied to, are the same."""
        fresh = self._files_of(manifest for manifest in manifests if manifest.manifest_path not in self.bytes_of)
        compared = each(fresh, self._same_bytes, self.check, workers=self.workers)
        self.bytes_of.update(manifest.manifest_path for manifest in manifests)
        return compared

    def _same_bytes(self, path: str) -> None:
        compare_bytes(path, self.source.io, self.paths.written(path), self.target.io, self.check)

    def _files_of(self, manifests: Iterable[ManifestFile]) -> Iterator[str]:
        """Position deletes are written anew, and were compared by what they say."""
        for entry in chain.from_iterable(_read(manifest, self.source.io) for manifest in manifests):
            path = entry.data_file.file_path
            alive = entry.status != ManifestEntryStatus.DELETED and entry.data_file.content != DataFileContent.POSITION_DELETES
            if alive and path not in self.bytes_of:
                self.bytes_of.add(path)
                yield path

    def _listed(self, what: str, theirs: ManifestFile, ours: ManifestFile) -> None:
        path = theirs.manifest_path
        _equal(f"{what}: a manifest's path", self.paths.written(path), ours.manifest_path)
        for name in _OF_MANIFESTS:
            _equal(f"{what}: {name} of {path}", getattr(theirs, name), getattr(ours, name))

    def _entries(self, pair: tuple[ManifestFile, ManifestFile]) -> None:
        theirs, ours = pair
        length = len(self.target.io.new_input(ours.manifest_path))
        _equal(f"The length of {ours.manifest_path}", ours.manifest_length, length)
        counts = Counts()
        entries, copies = _read(theirs, self.source.io), _read(ours, self.target.io)
        for entry, copy in zip_longest(entries, copies):
            if entry is None or copy is None:
                raise TablesDiffer(f"{ours.manifest_path} has {'more' if entry is None else 'fewer'} entries than {theirs.manifest_path}.")
            self._entry(entry, copy)
            self._deletes(entry, copy, theirs.added_snapshot_id)
            if entry.status != ManifestEntryStatus.DELETED:
                counts = counts.plus(_counts(entry.data_file))
        self.counted[theirs.manifest_path] = counts

    def _entry(self, theirs: Any, ours: Any) -> None:
        path = theirs.data_file.file_path
        _equal(f"The path of {path}", self.paths.written(path), ours.data_file.file_path)
        for name in ("status", "snapshot_id", "sequence_number", "file_sequence_number"):
            _equal(f"{name} of {path}", getattr(theirs, name), getattr(ours, name))
        anew = theirs.data_file.content == DataFileContent.POSITION_DELETES
        for name in _FIELDS:
            if anew and name in _OF_WHAT_IS_WRITTEN_ANEW:
                continue
            values = (getattr(one.data_file, name) for one in (theirs, ours))
            _equal(f"{name} of {path}", *(map(_without_paths, values) if anew and name in _BOUNDS else values))
        for name, place in _NEWEST.items():
            value = theirs.data_file[place]
            expected = self.paths.written(value) if name == "referenced_data_file" and value else value
            _equal(f"{name} of {path}", expected, ours.data_file[place])

    def _deletes(self, theirs: Any, ours: Any, added: int | None) -> None:
        """What files with deletes say is compared with the snapshot that added them."""
        file = theirs.data_file
        if theirs.status == ManifestEntryStatus.DELETED or file.content != DataFileContent.POSITION_DELETES or file.file_path in self.deletes:
            return
        if (added if theirs.snapshot_id is None else theirs.snapshot_id) in self.chosen:
            self.deletes.add(file.file_path)
            compare_deletes(file, self.source.io, ours.data_file, self.target.io, self.paths.written)


def _listed_in(snapshot: Snapshot, io: FileIO) -> list[ManifestFile]:
    """The entries of a manifest list as they are in it: pyiceberg's own function has each manifest's from the first list that named it."""
    return list(read_manifest_list(io.new_input(snapshot.manifest_list)))


def _read(manifest: ManifestFile, io: FileIO) -> Iterator[Any]:
    """Yield a manifest's entries one by one, as pyiceberg reads them: its own function makes a list of them."""
    with AvroFile[ManifestEntry](
        io.new_input(manifest.manifest_path), MANIFEST_ENTRY_SCHEMAS[_READ_AS], read_types={-1: ManifestEntry, 2: DataFile},
        read_enums={0: ManifestEntryStatus, 101: FileFormat, 134: DataFileContent},
    ) as entries:  # fmt: skip
        yield from entries


def _without_paths(bounds: dict[int, bytes] | None) -> dict[int, bytes]:
    return {key: value for key, value in (bounds or {}).items() if key != PATH_ID}


def _counts(file: Any) -> Counts:
    if file.content == DataFileContent.DATA:
        return Counts(files=1, records=file.record_count)
    return Counts(delete_files=1, deletes=file.record_count)


def _equal(what: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise TablesDiffer(
            f"{what} is {ours!r} at the target, and should be {theirs!r}.",
            hint="The target's table is not registered. Remove its folder and run the migration again; if it differs again, report it.",
        )
