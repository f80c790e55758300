"""Which tables can be brought over at all, and which way: each with the reason, as it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from portal.errors import PortalError
from portal.lake.hive.table import HivePartition, HiveTable, Storage
from portal.lake.ingesting.columns import has, refusals

Way = Literal["ctas", "snapshot", "add_files"]
"""`ctas`: Spark reads the rows and writes new files. The others take the source's files as they are: `snapshot` all in one commit,
`add_files` partition by partition."""
IN_PLACE = ("snapshot", "add_files")

_LAKES = {
    "iceberg": "it is an Iceberg table already: migrate_iceberg takes it as it is",
    "delta": "it is a Delta table: its folder also holds files that are no longer part of it",
    "hudi": "it is a Hudi table: its folder also holds files that are no longer part of it",
    "view": "it is a view, which has no rows of its own: bring the tables over that it reads, and make the view there anew",
    "materialized view": "it is a materialized view: bring the tables over that it reads",
    "foreign": "its rows are not in files of its folder",
}  # fmt: skip


_NO_ROWS = ("skip.header.line.count", "skip.footer.line.count")
_BY_PLACE = "parquet.column.index.access"
_ORC_BY_PLACE = "orc.force.positional.evolution"


@dataclass(frozen=True, slots=True)
class Chosen:
    way: Way
    reason: str


def excluded(table: HiveTable) -> str:
    """Return why a table cannot be brought over; '' when it can."""
    if not table.on_files:
        handler = table.parameters.get("storage_handler", "").rpartition(".")[2]
        return _LAKES[table.kind] + (f", {handler} gets them elsewhere" if handler and table.kind == "foreign" else "")
    if table.transactional:
        return "it is transactional (ACID): its folders hold deltas that only Hive can read; copy it with Hive into a table that is not"
    return misread(table.storage, table.parameters) or "; ".join(refusals(table))


def misread(storage: Storage, parameters: Mapping[str, str]) -> str:
    """Return why the files of a table or a partition would be read as something else than Hive reads, '' when they are read as they are.

    What else says how to read text and Avro (delimiters, escapes, texts for NULL, forms of timestamps, encodings, schemas) Hive's own classes in
    Spark hold to; ORC's place of columns Spark's do, too."""
    if not storage.format:
        reader = storage.input_format or storage.serde
        return f"nobody here reads its files ({reader or 'no format is told'})"
    for name in _NO_ROWS:
        if storage.told(name, parameters).strip("0"):
            return f"its files begin or end with lines that are no rows ({name}), and Spark would read them as rows"
    if storage.told(_BY_PLACE, parameters) == "true":
        return f"Hive finds columns in its files by their place ({_BY_PLACE}), and Spark by their names: values would be NULL or another column's"
    return ""


def readable(table: HiveTable, partitions: Iterable[HivePartition]) -> Iterator[HivePartition]:
    """Yield a table's partitions. Raises PortalError for one whose files would be read as something else than Hive reads."""
    for partition in partitions:
        if why := _misread(partition, table):
            raise PortalError(f"{table.name} cannot be brought over for its partition {partition.name}: {why}.")
        yield partition


def _misread(partition: HivePartition, table: HiveTable) -> str:
    by_place = partition.storage.told(_ORC_BY_PLACE, partition.parameters) == "true" != table.storage.told(_ORC_BY_PLACE, table.parameters)
    only = f"{_ORC_BY_PLACE} holds for it and not for the table, and Spark asks the table alone" if by_place else ""
    return misread(partition.storage, partition.parameters) or only


def choose(table: HiveTable, wanted: str, target_location: str, formats: frozenset[str]) -> Chosen:
    """Return the way for a table and why.

    Args:
        wanted: `auto`, or a way that somebody asked for
        target_location: the URL of the folder that the table will be in
        formats: those of its partitions, which may differ from the table's
    """
    if wanted == "ctas":
        return Chosen("ctas", "asked for")
    against = _against_sharing(table, target_location, formats)
    if wanted == "auto":
        if against:
            return Chosen("ctas", against)
        shared = "external Parquet files whose types Iceberg reads as they are: no byte is copied"
        return Chosen("add_files", f"{shared}, and later runs add new partitions") if table.partition_keys else Chosen("snapshot", shared)
    way: Way = "snapshot" if wanted == "snapshot" else "add_files"
    return Chosen(way, f"asked for, though {against}" if against else "asked for")


def refused(table: HiveTable, way: Way, formats: frozenset[str]) -> str:
    """Return why a table cannot be brought over in a way that somebody asked for; '' when it can."""
    others = formats - {"parquet", "orc", "avro"}
    if way in IN_PLACE and others:
        return f"{way} takes Parquet, ORC and Avro files as they are, and these are {', '.join(sorted(others))}: take the way ctas"
    if way in IN_PLACE and table.storage.told(_ORC_BY_PLACE, table.parameters) == "true":
        return f"Hive finds columns in its files by their place ({_ORC_BY_PLACE}), and Iceberg by their names: take the way ctas"
    return ""


def _against_sharing(table: HiveTable, target_location: str, formats: frozenset[str]) -> str:
    """Return what speaks against sharing the source's files with the target, '' when nothing does."""
    if formats != {"parquet"}:
        return f"{' and '.join(sorted(formats))} files are written anew as Parquet, which every reader of Iceberg takes"
    if table.purged_when_dropped:
        return "Hive deletes the files when it drops the table, so the target gets its own"
    source, target = urlsplit(table.location).scheme, urlsplit(target_location).scheme
    if source != target:
        return f"the files are in {source}:// and the target is in {target}://"
    for column in table.columns:
        partition = column in table.partition_keys
        if has(column.kind, "timestamp"):
            return f"Hive's timestamps in Parquet (INT96: {column.name}) are none that Iceberg knows"
        if has(column.kind, "char"):
            return f"char is padded by its reader and not in the files ({column.name})"
        if partition and has(column.kind, "binary", "float", "double"):
            return f"values of {column.type} in the names of folders ({column.name}) are not exact"
    return ""
