"""What columns files tell of themselves: a target that shares them names only those that Hive's table has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from portal.lake.hive.hive_type import HiveType
from portal.lake.hive.table import HiveTable
from portal.lake.ingesting.units import Unit, chunks
from portal.lake.spark.failures import first_cause

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_AT_ONCE = 1000
"""Folders whose files' footers are read by one job of Spark's."""
_GLOB = re.compile(r"([\\{}\[\]*?])")
_READ = ("parquet", "orc")


def unknown_columns(spark: SparkSession, table: HiveTable, units: Iterable[Unit]) -> str:
    """Return why files of units cannot be shared, '' when they can: columns that the table has not, which other readers than Spark stop at.

    The footers of all their Parquet and ORC files are read; Iceberg reads them, too, for its statistics."""
    for kind in _READ:
        folders = [folder.location for unit in units if unit.files.count for folder in unit.folders if folder.format == kind]
        for some in chunks(folders, _AT_ONCE):
            for told in _schemas(spark, kind, some):
                if isinstance(told, str):
                    return f"the columns of its files do not fit together ({told})"
                if unknown := sorted(_unknown(told, {column.name: column.kind for column in table.columns})):
                    return f"its files have columns that the table has not ({', '.join(unknown[:5])}), and not every reader of Iceberg takes such"
    return ""


def _schemas(spark: SparkSession, kind: str, folders: list[str]) -> Iterator[Any]:
    """Yield what Spark reads of the files' columns, all of some folders together; where they cannot be read, the cause."""
    options = {"mergeSchema": "true", "recursiveFileLookup": "true"}
    try:
        yield spark.read.format(kind).options(**options).load([_GLOB.sub(r"\\\1", folder) for folder in folders]).schema
    except Exception as error:
        if len(folders) > 1:  # one of them is not there, or has older types than another
            half = len(folders) // 2
            yield from _schemas(spark, kind, folders[:half])
            yield from _schemas(spark, kind, folders[half:])
        elif "PATH_NOT_FOUND" not in str(error):
            yield first_cause(error)


def _unknown(read: Any, known: dict[str, HiveType], above: str = "") -> Iterator[str]:
    """Yield the names of columns and fields that Hive has not, whatever their case: NULL instead of values the check would see."""
    names = {name.lower(): kind for name, kind in known.items()}
    for field in read.fields:
        kind = names.get(field.name.lower())
        if kind is None:
            yield f"{above}{field.name}"
        else:
            yield from _inside(field.dataType, kind, f"{above}{field.name}.")


def _inside(read: Any, kind: HiveType, above: str) -> Iterator[str]:
    if kind.name == "struct" and hasattr(read, "fields"):
        yield from _unknown(read, dict(zip(kind.fields, kind.children, strict=True)), above)
    elif kind.name == "array" and hasattr(read, "elementType"):
        yield from _inside(read.elementType, kind.children[0], above)
    elif kind.name == "map" and hasattr(read, "valueType"):
        yield from _inside(read.keyType, kind.children[0], above)
        yield from _inside(read.valueType, kind.children[1], above)
