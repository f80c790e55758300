"""Finds every file of a table: metadata → manifest lists → manifests → files, each once, many at a time, into a database on disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from portal.lake.iceberg.containers import Container, Record
from portal.lake.iceberg.fence import Fence
from portal.lake.iceberg.files import Files
from portal.lake.iceberg.history import History, pruned
from portal.lake.iceberg.inventory import INVENTORY_FILE, MOVED, NAMING, Inventory, Kind, Manifest, TableFile
from portal.lake.iceberg.parallel import each
from portal.lake.iceberg.paths import identity, read_path
from portal.lake.iceberg.reading import Metadata, read_metadata
from portal.lake.iceberg.refusals import TableBroken, TableRefused, encrypted
from portal.lake.iceberg.statistics_files import entries as statistics
from portal.lake.iceberg.statistics_files import without_lost
from portal.stores.url import StoreURL

WORKERS = 8
_DELETED = 2
_CONTENTS: tuple[Kind, ...] = ("data", "position_deletes", "equality_deletes")
_TOGETHER = 1000
_COUNTS = (
    ("added_files_count", "added_data_files_count"), ("existing_files_count", "existing_data_files_count"),
    ("deleted_files_count", "deleted_data_files_count"),
)  # fmt: skip
"""How many entries a manifest has, as lists of format 2 and of format 1 call it."""


@dataclass(frozen=True)
class Walked:
    """A table whose files are known."""

    metadata_path: str
    metadata: Metadata
    """With the chosen snapshots alone, paths as they are at the source."""
    notes: tuple[str, ...]
    known: frozenset[int]
    """Snapshots that the target has already: their files are not among those found."""
    inventory: Inventory

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        """The chosen ones that the target does not have yet, oldest first."""
        return [item for item in self.metadata.get("snapshots") or [] if item["snapshot-id"] not in self.known]

    def roots(self) -> list[str]:
        """Return the URLs of the containers that hold what is moved as it is."""
        return self.inventory.roots()

    def moved(self, root: str = "") -> Iterator[TableFile]:
        """Yield what is moved as it is, in the order of URLs, of one container when `root` is its URL."""
        return self.inventory.files(*MOVED, root=root)

    def close(self) -> None:
        self.inventory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


def walk(
    files: Files, metadata_path: str, history: History, folder: Path, check: Callable[[], None], *,
    known: Collection[int] = (), elsewhere: Collection[StoreURL] = (), workers: int = WORKERS,
) -> Walked:  # fmt: skip
    """Find every file that the chosen snapshots need.

    Args:
        files: the source's
        metadata_path: the table's current metadata file
        folder: where the database goes; what an earlier attempt completed there for the same question is used again
        known: ids of snapshots that the target has, with all their files
        elsewhere: containers and folders that files may lie in besides the container of the metadata file
        check: called often; raises Cancelled when the job shall stop

    Raises:
        TableRefused: something in it cannot be brought over: encryption, position deletes in ORC, files in stores that are not reached, or in
            containers that are not the table's and not allowed
        TableBroken, NotFound, AccessDenied, Unreachable
    """
    metadata = read_metadata(files, metadata_path)
    fence = Fence(metadata_path, elsewhere)
    chosen = without_lost(files, pruned(metadata, history), fence, check, workers=workers)
    header = {
        "metadata": metadata_path, "uuid": metadata.get("table-uuid"), "history": str(history), "known": sorted(known),
        "elsewhere": sorted(map(str, elsewhere)), "version": 3,
    }  # fmt: skip
    walked = Walked(metadata_path, chosen.metadata, chosen.notes, frozenset(known), Inventory(folder / INVENTORY_FILE, header))
    try:
        if not walked.inventory.complete:
            _Walk(files, walked, fence, check, workers).run()
            walked.inventory.completed()
    except BaseException:
        walked.close()
        raise
    return walked


@dataclass(frozen=True)
class _Walk:
    files: Files
    walked: Walked
    fence: Fence
    check: Callable[[], None]
    workers: int

    def run(self) -> None:
        inventory, snapshots = self.walked.inventory, self.walked.snapshots
        inventory.add_files(self._statistics())
        inventory.add_lists((_list_of(item), item["snapshot-id"]) for item in snapshots)
        self.fence.refuse((identity(read_path(path)) for path, _ in inventory.lists()), "manifest lists")
        each(inventory.lists(), lambda one: self._read_list(one[0]), self.check, workers=self.workers)
        self.fence.refuse((manifest.url for manifest in inventory.manifests()), "manifests")
        each(inventory.manifests(), self._read_manifest, self.check, workers=self.workers)
        self.fence.refuse((file.url for file in inventory.files(*MOVED, *NAMING)), "files")

    def _statistics(self) -> Iterator[TableFile]:
        for item in statistics(self.walked.metadata):
            if item.get("key-metadata"):
                raise encrypted(item["statistics-path"])
            yield _file(item["statistics-path"], "statistics", "", item["file-size-in-bytes"], 0)

    def _read_list(self, path: str) -> None:
        with self.files.open(read_path(path)) as stream:
            found = Container(stream, path).records()
            while rows := [self._listed(record) for record in islice(found, _TOGETHER)]:
                self.walked.inventory.add_manifests(rows)

    def _listed(self, record: Record) -> Manifest:
        if record.get("key_metadata"):
            raise encrypted(record["manifest_path"])
        counts = [next((record[name] for name in names if record.get(name) is not None), None) for names in _COUNTS]
        entries = None if None in counts else sum(count for count in counts if count)
        path, snapshot = record["manifest_path"], record.get("added_snapshot_id")
        return Manifest(identity(read_path(path)), path, snapshot, record["manifest_length"], entries, snapshot in self.walked.known)

    def _read_manifest(self, manifest: Manifest) -> None:
        count = 0
        with self.files.open(read_path(manifest.path)) as stream:
            found = entries(stream, manifest)
            while batch := list(islice(found, _TOGETHER)):
                self.check()
                count += len(batch)
                self.walked.inventory.add_files(self._needed(batch, manifest))
        if manifest.entries is not None and count != manifest.entries:
            raise TableBroken(f"{manifest.path} has {count:,} entries, and its list says {manifest.entries:,}: it is cut off or damaged.")

    def _needed(self, batch: list[Record], manifest: Manifest) -> Iterator[TableFile]:
        for entry in batch:
            if entry["data_file"].get("key_metadata"):
                raise encrypted(entry["data_file"]["file_path"])
            added = entry.get("snapshot_id")
            if entry["status"] != _DELETED and (manifest.snapshot if added is None else added) not in self.walked.known:
                yield _entered(entry["data_file"])


def _list_of(snapshot: dict[str, Any]) -> str:
    if not snapshot.get("manifest-list"):
        raise TableRefused(
            f"Snapshot {snapshot['snapshot-id']} names its manifests in the metadata itself, as Iceberg did before it had manifest lists.",
            hint="Expire that snapshot at the source, or choose a history that begins after it.",
        )
    return str(snapshot["manifest-list"])


def entries(stream: Any, manifest: Manifest) -> Iterator[Record]:
    """Yield the entries of a manifest. Raises TableBroken, also when its length is not the one that its list has."""
    size = stream.seek(0, 2)
    stream.seek(0)
    if size != manifest.length:
        raise TableBroken(f"{manifest.path} has {size:,} bytes, and its list says {manifest.length:,}: it is cut off or was written over.")
    yield from Container(stream, manifest.path).records()


def kind_of(data_file: Record) -> Kind:
    """Return what a manifest's entry is: in format 1 everything is data. Raises TableRefused for what cannot be written anew."""
    kind = _CONTENTS[data_file.get("content") or 0]
    if kind != "position_deletes":
        return kind
    if data_file["file_format"].upper() == "PUFFIN":
        return "deletion_vectors"
    if data_file["file_format"].upper() not in ("PARQUET", "AVRO"):
        raise TableRefused(
            f"{data_file['file_path']} holds position deletes in {data_file['file_format']}: they name data files, and only those in Parquet, Avro "
            "and Puffin are written anew for another place.",
            hint="Run rewrite_position_delete_files on the table at the source, with write.delete.format.default=parquet.",
        )
    return kind


def _entered(data_file: Record) -> TableFile:
    return _file(data_file["file_path"], kind_of(data_file), data_file["file_format"], data_file["file_size_in_bytes"], data_file["record_count"])


def _file(path: str, kind: Kind, file_format: str, size_bytes: int, records: int) -> TableFile:
    url = read_path(path)
    return TableFile(identity(url), path, str(url.root), kind, file_format.upper(), size_bytes, records)
