"""Partitions that have files and gave no rows: looked at once more, for a partition that was left out would look the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from portal.lake.ingesting.checking import RowsDiffer
from portal.lake.ingesting.columns import Columns
from portal.lake.ingesting.target import Target
from portal.lake.ingesting.units import Unit, shown

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_READ_AS = {"parquet": "parquet", "orc": "orc", "text": "text", "csv": "text", "json": "text"}
"""How Spark reads the files of a folder by themselves. The formats that are not here it reads through Hive only."""


def check(spark: SparkSession, units: Sequence[Unit], columns: Columns, target: Target, branch: str) -> None:
    """Raises RowsDiffer when files of units without rows in the branch of the target hold rows. Files without any are as good as none."""
    has = target.keys(columns.partitions, branch)
    for unit in units:
        if unit.files.bytes and unit.key not in has and not all(_is_empty(spark, folder.location, folder.format) for folder in unit.folders):
            raise RowsDiffer(
                f"{shown(columns.partitions, unit.key)} has files of {unit.files.bytes:,} bytes in {unit.folders[0].location}, and Spark finds "
                "no row of this partition: repair the partition, or take its files away if it shall have none."
            )


def _is_empty(spark: SparkSession, folder: str, form: str) -> bool:
    reader = _READ_AS.get(form)
    return reader is not None and spark.read.format(reader).load(folder).isEmpty()
