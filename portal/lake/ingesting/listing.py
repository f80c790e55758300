"""What files a table's partitions have, listed by Spark: so that a later run knows which of them changed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portal.errors import PortalError
from portal.lake.ingesting.java_class import java_class
from portal.lake.ingesting.java_threads import mapped
from portal.lake.ingesting.units import NO_FILES, Files, Key, Unit, chunks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_AT_ONCE = 1000
"""Folders listed by one job of Spark's; the names of their files are in the driver's memory until it is over."""
_LOOKERS = 16
_PATH = "org.apache.hadoop.fs.Path"
_NO_HOST = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):///+")
_GLOB = re.compile(r"([\\{}\[\]*?])")
_NAME = "substring_index(path, '/', -1)"
_FOLDER = f"left(path, length(path) - length({_NAME}) - 1)"
# Two hashes that are equal would take each other out of a XOR.
_STAMP = "sum(CAST(xxhash64(path, length, modificationTime) AS DECIMAL(20, 0)))"


def with_files(spark: SparkSession, units: Mapping[Key, Unit], check: Callable[[], None]) -> dict[Key, Unit]:
    """Return the units with what lies in their folders; a folder that is not there has no files. `check` may raise between two jobs."""
    owners: dict[str, set[Key]] = {}
    for key, unit in units.items():
        for folder in unit.folders:
            owners.setdefault(normal(spark, folder.location), set()).add(key)
    found: dict[Key, Files] = {}
    for some in chunks(roots(owners), _AT_ONCE):
        check()
        for place, files in _listed(spark, some):
            for key in owners_of(place, owners):
                found[key] = found.get(key, NO_FILES) + files
    return {key: replace(unit, files=found.get(key, NO_FILES)) for key, unit in units.items()}


def normal(spark: SparkSession, location: str) -> str:
    """Return a folder's URL as Hadoop spells it: file:/folder."""
    if ":/" not in location:
        path = java_class(spark, _PATH)(location)
        location = path.getFileSystem(_hadoop(spark)).makeQualified(path).toString()
    return with_one_slash(location)


def with_one_slash(location: str) -> str:
    """`file:///a/` is `file:/a`; a URL with a host stays as it is."""
    text = _NO_HOST.sub(r"\1:/", location)
    return text.rstrip("/") if len(text) > 1 else text


def _hadoop(spark: SparkSession) -> Any:
    session: Any = spark._jsparkSession
    return session.sessionState().newHadoopConf()


def roots(owners: Mapping[str, set[Key]]) -> list[str]:
    """Return the folders to list, so that no file is listed twice: those that are not below another one, or where its listing does not come."""
    return [folder for folder in owners if not any(above in owners for above in _above(folder))]


def owners_of(folder: str, owners: Mapping[str, set[Key]]) -> set[Key]:
    """Return the units that a folder with files is of: those that have it, and those that have one above it. Raises PortalError for none."""
    found: set[Key] = set()
    for place in (folder, *_above(folder, hidden=True)):
        found |= owners.get(place, set())
    if not found:
        raise PortalError(f"Spark lists files in {folder}, which is the folder of no partition.", hint="Please report it.")
    return found


def _above(folder: str, *, hidden: bool = False) -> Iterator[str]:
    """Yield the folders that a folder lies in; unless `hidden`, only those whose listing comes to it: Spark leaves out _names and .names."""
    while "/" in folder:
        folder, _, name = folder.rpartition("/")
        if not folder or (not hidden and name.startswith(("_", "."))):
            return
        yield folder


def _listed(spark: SparkSession, folders: list[str]) -> list[tuple[str, Files]]:
    try:
        return _read(spark, folders)
    except Exception as error:
        if "PATH_NOT_FOUND" not in str(error):
            raise
    there = _there(spark, folders)
    return _read(spark, there) if there else []


def _read(spark: Any, folders: list[str]) -> list[tuple[str, Files]]:
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load([_GLOB.sub(r"\\\1", folder) for folder in folders])
    grouped = files.selectExpr(f"{_FOLDER} AS folder", "path", "length", "modificationTime").groupBy("folder")
    functions = importlib.import_module("pyspark.sql.functions")
    rows = grouped.agg(functions.expr("count(*) AS n"), functions.expr("sum(length) AS size"), functions.expr(f"{_STAMP} AS stamp")).collect()
    return [(with_one_slash(row.folder), Files(row.n, row.size, int(row.stamp) % (1 << 64))) for row in rows]


def _there(spark: SparkSession, folders: list[str]) -> list[str]:
    conf, kind = _hadoop(spark), java_class(spark, _PATH)

    def is_there(folder: str) -> bool:
        path = kind(folder)
        return bool(path.getFileSystem(conf).exists(path))

    return [folder for folder, there in zip(folders, mapped(is_there, folders, _LOOKERS), strict=True) if there]
