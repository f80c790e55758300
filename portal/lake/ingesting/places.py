"""What of this machine an ingestion may read and write: a metastore names folders, and does not decide that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from portal.errors import AccessDenied
from portal.lake.hive.table import HivePartition, HiveTable, Storage
from portal.lake.ingesting.listing import normal
from portal.stores.local_files import confined, resolved

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OF_AVRO = "avro.schema.url"
_OF_SPARK = "path"
_WRITTEN_TO = ("write.data.path", "write.metadata.path", "write.folder-storage.path", "write.object-storage.path")
_OF_FILES = ("file", "har", "")
"""Schemes behind which folders of this machine are, or may be: an archive (har) lies in one, and what no scheme names Spark's default decides."""


@dataclass(frozen=True)
class Places:
    """Folders of this machine that may be used; those of HDFS and object stores are Spark's to allow."""

    spark: SparkSession
    roots: tuple[Path, ...]

    def source(self, table: HiveTable) -> None:
        """Raises AccessDenied for a table of Hive whose files, or whose schema's file, are elsewhere on this machine."""
        self._storage(f"The table {table.name}", table.storage, table.parameters)

    def partitions(self, table: HiveTable, partitions: Iterable[HivePartition]) -> Iterator[HivePartition]:
        """Yield partitions. Raises AccessDenied likewise."""
        for partition in partitions:
            self._storage(f"The partition {partition.name} of {table.name}", partition.storage, partition.parameters)
            yield partition

    def target(self, name: object, location: str, properties: Mapping[str, str]) -> None:
        """Raises AccessDenied for a target that would be written elsewhere on this machine."""
        for place in (location, *(properties.get(key, "") for key in _WRITTEN_TO)):
            self._allow(f"The target {name}", place)

    def _storage(self, whose: str, storage: Storage, parameters: Mapping[str, str]) -> None:
        given = [*storage.serde_parameters.items(), *parameters.items()]
        others = [value for key, value in given if key.lower() == _OF_AVRO]
        others += [value for key, value in storage.serde_parameters.items() if key.lower() == _OF_SPARK]
        for place in (storage.location, *others):
            self._allow(whose, place)

    def _allow(self, whose: str, place: str) -> None:
        if not place or urlsplit(place).scheme.lower() not in _OF_FILES:
            return
        found = urlsplit(normal(self.spark, place).replace("?", "%3F").replace("#", "%23"))
        scheme = found.scheme.lower()
        if scheme not in _OF_FILES or (scheme == "har" and found.netloc and not found.netloc.startswith("file")):
            return
        path = found.path.replace("%3F", "?").replace("%23", "#")
        try:
            confined(path.lstrip("/"), resolved(map(str, self.roots)))
        except AccessDenied as error:
            raise AccessDenied(
                f"{whose} lies in {place} on this machine, outside the folders that may be used.",
                hint=f"{error.hint} A metastore does not decide what of this machine is read or written.",
            ) from None
