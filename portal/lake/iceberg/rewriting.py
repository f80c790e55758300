"""Writes a walked table's metadata for the target: files with position deletes, manifests, manifest lists, and last the metadata file.

Each is written whole under a name that depends on the source's alone, after all that it names. What is there already was written by an earlier
attempt or run and is not written over: a table that readers use never changes under them.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from portal.lake.iceberg.containers import Container, Record
from portal.lake.iceberg.files import Files
from portal.lake.iceberg.inventory import NAMING, Manifest, TableFile
from portal.lake.iceberg.manifests import entry_at, listed_at
from portal.lake.iceberg.metadata import encoded, metadata_at, metadata_name
from portal.lake.iceberg.parallel import each
from portal.lake.iceberg.paths import Paths, identity, read_path, written_path
from portal.lake.iceberg.position_deletes import Facts, copy_avro, copy_parquet, facts_of_parquet
from portal.lake.iceberg.puffin import copy_vectors
from portal.lake.iceberg.reading import Metadata
from portal.lake.iceberg.refusals import TableBroken, TargetIncomplete
from portal.lake.iceberg.walk import WORKERS, Walked
from portal.stores.base import ObjectInfo
from portal.stores.url import StoreURL

Item = TypeVar("Item")
_IN_MEMORY_BYTES = 8 << 20
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A table's metadata at the target; no catalog knows of it yet."""

    metadata_location: str
    """Path of the new metadata file, as catalogs and readers take it."""
    metadata: Metadata
    deletes: int
    """Files with deletes, manifests and lists that belong to it now and were written, or found there, by this."""
    manifests: int
    lists: int


@dataclass(frozen=True)
class Rewriting:
    """Writes the metadata of one table.

    Where the target has no snapshot of the table yet, files of the same names are written over, for nobody reads them as this table. Otherwise
    they stay: they are what an earlier run wrote. `tell` is told how many files are written and of how many. `properties` are those that the
    target's table has of its own: they stay as they are, but for those that the source has too. `finished` gives the metadata its last words; it is
    told when the last manifest list of these snapshots was written, by the target's clock, and None when there are no such snapshots.
    """

    walked: Walked
    source: Files
    target: Files
    paths: Paths
    scratch: Path
    check: Callable[[], None]
    tell: Callable[[int, int], None]
    workers: int = WORKERS
    properties: Mapping[str, str] = field(default_factory=dict)
    finished: Callable[[Metadata, datetime | None], Metadata] = lambda metadata, _: metadata

    def run(self) -> Rewritten:
        """Raises TargetIncomplete (what an earlier run brought is gone), TableRefused, TableBroken, and what stores raise."""
        inventory = self.walked.inventory
        inventory.written_for(self.paths.location)
        totals = inventory.totals()
        deletes = sum(totals[kind][0] for kind in NAMING if kind in totals)
        meter = _Meter(self.tell, deletes + inventory.count("manifests") + inventory.count("lists"))
        self._each(inventory.files(*NAMING, unwritten=True), self._copy_deletes, meter)
        self._each(inventory.manifests(unwritten=True), self._copy_manifest, meter)
        self._each(inventory.lists(unwritten=True), self._copy_list, meter)
        metadata = metadata_at(self.walked.metadata, self.paths)
        metadata["properties"] = {**self.properties, **(metadata.get("properties") or {})}
        metadata = self.finished(metadata, inventory.last_list())
        data = encoded(metadata)
        place = self.paths.place(metadata_name(self.walked.metadata_path, data))
        with self.target.create(place, len(data)) as writer:
            writer.write(data)
        return Rewritten(written_path(place), metadata, deletes, inventory.count("manifests"), inventory.count("lists"))

    def _each(self, items: Iterator[Item], action: Callable[[Item], None], meter: _Meter) -> None:
        def one(item: Item) -> None:
            action(item)
            meter.add()

        each(items, one, self.check, workers=self.workers)

    def _there(self, url: StoreURL) -> ObjectInfo | None:
        """What an earlier run wrote, None when it is to be written."""
        return self.target.find(url) if self.walked.known else None

    def _copy_deletes(self, file: TableFile) -> None:
        place = self.paths.url(file.path)
        if (found := self._there(place)) is None:
            facts = self._written_deletes(file, place)
        else:
            facts = self._facts_there(place, found.size_bytes, file.format)
        self.walked.inventory.set_facts(file.url, facts)

    def _written_deletes(self, file: TableFile, place: StoreURL) -> Facts:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(self.scratch)) as spool:
            fresh = cast(BinaryIO, spool)
            rows = self._converted(file, fresh)
            if rows is not None and rows != file.records:
                raise TableBroken(f"{file.path} has {rows:,} rows, and its manifest says {file.records:,}: it is damaged.")
            size = fresh.seek(0, 2)
            facts = facts_of_parquet(fresh, size) if file.format == "PARQUET" else Facts(size)
            fresh.seek(0)
            with self.target.create(place, size) as writer:
                shutil.copyfileobj(fresh, writer, _COPY_BYTES)
        return facts

    def _converted(self, file: TableFile, fresh: BinaryIO) -> int | None:
        with self.source.open(read_path(file.path)) as stream:
            if file.kind == "deletion_vectors":
                copy_vectors(stream, file.path, fresh, self.paths.written)
                return None
            copy = copy_parquet if file.format == "PARQUET" else copy_avro
            return copy(stream, file.path, fresh, self.paths.written)

    def _facts_there(self, place: StoreURL, size: int, file_format: str) -> Facts:
        if file_format != "PARQUET":
            return Facts(size)
        with self.target.open(place) as stream:
            return facts_of_parquet(stream, size)

    def _copy_manifest(self, manifest: Manifest) -> None:
        place = self.paths.url(manifest.path)
        found = self._there(place)
        if found is None:
            with self.source.open(read_path(manifest.path)) as stream, self.target.create(place) as fresh:
                Container(stream, manifest.path).copy(fresh, lambda record: entry_at(record, self.paths, self._facts_of))
            found = fresh.info
        self.walked.inventory.set_length(manifest.url, found.size_bytes)

    def _facts_of(self, data_file: Record) -> Facts:
        path = data_file["file_path"]
        if facts := self.walked.inventory.facts_of(identity(read_path(path))):
            return facts
        place = self.paths.url(path)
        return self._facts_there(place, self._found(place).size_bytes, data_file["file_format"].upper())

    def _found(self, place: StoreURL) -> ObjectInfo:
        if found := self.target.find(place):
            return found
        raise TargetIncomplete(
            f"{place} is gone, which an earlier run brought to the target and snapshots there need.",
            hint="See who removed files below the table's folder. Migrate the table into an empty folder, or drop the target's table and run again.",
        )

    def _copy_list(self, found: tuple[str, int]) -> None:
        path, _ = found
        place = self.paths.url(path)
        there = self._there(place)
        if there is None:
            with self.source.open(read_path(path)) as stream, self.target.create(place) as fresh:
                Container(stream, path).copy(fresh, lambda record: listed_at(record, self.paths, self._length_of))
            there = fresh.info
        written = there.modified or self._found(place).modified  # S3 does not tell it of what it has just taken
        self.walked.inventory.set_list(path, written or datetime.now(UTC))

    def _length_of(self, path: str) -> int:
        url = identity(read_path(path))
        length = self.walked.inventory.length_of(url)
        if length is None:
            length = self._found(self.paths.url(path)).size_bytes
            self.walked.inventory.set_length(url, length)
        return length


class _Meter:
    """Counts what many threads have done."""

    def __init__(self, tell: Callable[[int, int], None], total: int) -> None:
        self._tell, self._total, self._done = tell, total, 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self._done += 1
            self._tell(self._done, self._total)
