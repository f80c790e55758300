"""Which of Spark's readers read a table: its own, or those of Hive."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class HivesReaders:
    """Partitions of several formats are read by Hive's own readers: Spark's takes all for the table's."""

    _NAMES = ("spark.sql.hive.convertMetastoreParquet", "spark.sql.hive.convertMetastoreOrc")

    def __init__(self, spark: SparkSession, wanted: bool) -> None:
        self._spark, self._wanted = spark, wanted

    def __enter__(self) -> None:
        if self._wanted:
            self._before = [self._spark.conf.get(name) for name in self._NAMES]
            for name in self._NAMES:
                self._spark.conf.set(name, "false")

    def __exit__(self, *_: object) -> None:
        if self._wanted:
            for name, value in zip(self._NAMES, self._before, strict=True):
                self._spark.conf.set(name, str(value))
