"""A table of Hive and its partitions, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from portal.lake.hive.hive_type import HiveType
from portal.lake.table_name import TableName

Kind = Literal["managed", "external", "view", "materialized view", "iceberg", "delta", "hudi", "foreign"]
"""What a table is. `foreign`: its rows are not in files of its folder, but where its storage handler or Spark's provider gets them."""
Format = Literal["parquet", "orc", "avro", "text", "csv", "json", "sequence", "rcfile", ""]
"""What the files are; '' for a format that is none of these."""
ON_FILES = ("managed", "external")
"""The kinds of Hive's own tables."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """As the metastore tells it."""
    comment: str = ""

    @property
    def kind(self) -> HiveType:
        """Raises ValueError for a type that is none of Hive's."""
        return HiveType.parse(self.type)


@dataclass(frozen=True, slots=True)
class Storage:
    """Where and how files are kept: of a table, or of one partition, which may differ."""

    location: str
    format: Format
    input_format: str = ""
    """The Java class that reads the files."""
    serde: str = ""
    """The Java class that makes rows of what was read."""
    serde_parameters: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    """Without those of partitions."""

    def told(self, name: str, parameters: Mapping[str, str]) -> str:
        """Return what a property says, in small letters: Hive looks for it among the parameters of the table or partition and of its serde."""
        return (parameters.get(name) or self.serde_parameters.get(name, "")).strip().lower()


@dataclass(frozen=True, slots=True)
class HiveTable:
    """What a metastore knows of a table."""

    name: TableName
    kind: Kind
    storage: Storage
    partition_keys: tuple[Column, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    bucket_columns: tuple[str, ...] = ()
    buckets: int = 0
    sort_columns: tuple[str, ...] = ()
    owner: str = ""
    created_s: int = 0
    """Seconds since 1970."""
    view_text: str = ""
    """Of a view: its query."""

    @property
    def location(self) -> str:
        return self.storage.location

    @property
    def format(self) -> Format:
        return self.storage.format

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns in order, those of partitions last."""
        return (*self.storage.columns, *self.partition_keys)

    @property
    def on_files(self) -> bool:
        """Tell whether it is one of Hive's own, whose rows are the files of its folders."""
        return self.kind in ON_FILES

    @property
    def transactional(self) -> Literal["", "full", "insert_only"]:
        """Whether its folders hold deltas of transactions beside rows; such files cannot be taken as they are."""
        if self._told("transactional") != "true":
            return ""
        return "insert_only" if self._told("transactional_properties") == "insert_only" else "full"

    @property
    def purged_when_dropped(self) -> bool:
        """Tell whether dropping the table deletes its files at once."""
        return self.kind == "managed" or "true" in (self._told("external.table.purge"), self._told("auto.purge"))

    @property
    def changed_s(self) -> int:
        """When somebody last changed its definition, seconds since 1970; 0 when that is not known."""
        return self._number("transient_lastDdlTime") or 0

    @property
    def rows(self) -> int | None:
        """As Hive's statistics tell, which may be old; None when they do not. Of a partitioned table, the partitions know."""
        return self._number("numRows")

    @property
    def bytes(self) -> int | None:
        """Likewise, of its files."""
        return self._number("totalSize")

    @property
    def files(self) -> int | None:
        return self._number("numFiles")

    def _told(self, name: str) -> str:
        return self.parameters.get(name, "").strip().lower()

    def _number(self, name: str) -> int | None:
        return number(self.parameters, name)


@dataclass(frozen=True, slots=True)
class HivePartition:
    """One partition of a table."""

    name: str
    """`day=2024-01-01/region=eu`, escaped."""
    values: tuple[str | None, ...]
    """Of the partition keys, in their order, as text; None where the rows have NULL."""
    storage: Storage
    parameters: Mapping[str, str] = field(default_factory=dict)
    created_s: int = 0

    @property
    def location(self) -> str:
        return self.storage.location

    @property
    def changed_s(self) -> int:
        """When somebody last changed it, seconds since 1970; 0 when that is not known."""
        return number(self.parameters, "transient_lastDdlTime") or 0

    @property
    def rows(self) -> int | None:
        """As Hive's statistics tell, which may be old; None when they do not."""
        return number(self.parameters, "numRows")

    @property
    def bytes(self) -> int | None:
        return number(self.parameters, "totalSize")

    @property
    def files(self) -> int | None:
        return number(self.parameters, "numFiles")


def number(parameters: Mapping[str, str], name: str) -> int | None:
    """Return a parameter that is a count; None when it is not there, below zero (Hive's way to say unknown) or no number."""
    text = parameters.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() else None
