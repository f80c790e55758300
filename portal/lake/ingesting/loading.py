"""Brings units of a table into its target, a batch a commit: Spark writes their rows anew, or the target takes their files as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portal.lake.ingesting.choosing import IN_PLACE, Way
from portal.lake.ingesting.columns import Columns
from portal.lake.ingesting.java_class import java_class
from portal.lake.ingesting.java_threads import mapped
from portal.lake.ingesting.target import BATCH, MAIN, RUN, Target
from portal.lake.ingesting.units import Folder, Unit, batches, condition, selected

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MOST_UNITS = 200
"""In a batch. Each is a condition of the query."""
MOST_BYTES = 256 << 30
"""In a batch, of the source's files; what a killed run loses is at most that."""
_READERS = 16
_NAMES = "org.apache.iceberg.mapping.NameMappingParser"
"""Partitions whose files' footers are read at the same time."""


@dataclass(frozen=True)
class Loader:
    """Loads units of a source, as Spark's SQL takes it, into a branch of a target."""

    spark: SparkSession
    source: str
    columns: Columns
    target: Target
    way: Way
    branch: str = MAIN
    run: str = ""
    """What the snapshots are marked with, besides their batch."""

    def load(self, units: Sequence[Unit], replaced: set[Any], plan: str, tell: Callable[[int, int], None]) -> None:
        """Load units, batch by batch. Batches that an earlier attempt at the same plan has loaded are left out.

        Args:
            replaced: keys of which the target has rows already; those are taken out first
            plan: what the batches are marked with; another plan has another mark
            tell: called with units done and units in all; may raise
        """
        done = self.loaded(plan)
        count = 0
        for number, batch in enumerate(batches(units, MOST_UNITS, MOST_BYTES)):
            tell(count, len(units))
            if number not in done:
                self.target.delete(self.columns.partitions, [unit.key for unit in batch if unit.key in replaced], self.branch, self.run)
                self._add(batch, f"{plan}:{number}")
            count += len(batch)
        tell(count, len(units))

    def loaded(self, plan: str, branch: str | None = None) -> set[int]:
        """Return which batches of a plan are in the branch."""
        marks = (summary.get(BATCH, "").partition(":") for _, summary in self.target.ancestry(branch or self.branch))
        return {int(number) for mark, _, number in marks if mark == plan}

    def _add(self, units: Sequence[Unit], mark: str) -> None:
        if self.way in IN_PLACE:
            self._share(units, mark)
            return
        where = condition(self.columns.partitions, [unit.key for unit in units])
        wanted = self.spark.sql(selected(self.columns.expressions, self.source, where))
        wanted.writeTo(self.target.on(self.branch)).option(f"snapshot-property.{BATCH}", mark).option(f"snapshot-property.{RUN}", self.run).append()

    def _share(self, units: Sequence[Unit], mark: str) -> None:
        """Make the source's files part of the target; Iceberg reads each one's footer for its statistics."""
        table = self.target.table()
        append = table.newAppend() if self.branch == MAIN else table.newAppend().toBranch(self.branch)
        reader = _Footers(self.spark, table, [column.name for column in self.columns.partitions])
        folders = [folder for unit in units if unit.files.count for folder in unit.folders]
        for files in mapped(reader.files, folders, _READERS):
            for file in files:
                append.appendFile(file)
        append.set(BATCH, mark)
        append.set(RUN, self.run)
        append.commit()


class _Footers:
    """Reads what Iceberg has to know of files, by what it uses itself for add_files."""

    def __init__(self, spark: SparkSession, table: Any, columns: list[str]) -> None:
        session: Any = spark._jsparkSession
        self._maps, self._columns, self._spec = java_class(spark, "java.util.HashMap"), columns, table.spec()
        self._listed = java_class(spark, "org.apache.iceberg.data.TableMigrationUtil").listPartition
        self._conf = session.sessionState().newHadoopConf()
        self._metrics = java_class(spark, "org.apache.iceberg.MetricsConfig").forTable(table)
        self._names = java_class(spark, _NAMES).fromJson(table.properties().get(NAME_MAPPING))

    def files(self, folder: Folder) -> list[Any]:
        values = self._maps()
        for column, value in zip(self._columns, folder.values, strict=True):
            values.put(column, "__HIVE_DEFAULT_PARTITION__" if value is None else value)
        return list(self._listed(values, folder.location, folder.format, self._spec, self._conf, self._metrics, self._names, 1))


NAME_MAPPING = "schema.name-mapping.default"
"""The property by which a table finds columns in files that do not carry its ids."""


def set_name_mapping(target: Target) -> None:
    """Have the table find its columns in files by their names: those of Hive carry no ids."""
    mapping = java_class(target.spark, "org.apache.iceberg.mapping.MappingUtil").create(target.table().schema())
    target.set_properties(**{NAME_MAPPING: java_class(target.spark, _NAMES).toJson(mapping)})
