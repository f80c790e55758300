"""What becomes of a table's columns: their types in Iceberg, how Spark gets there, and what is different afterwards."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portal.errors import PortalError
from portal.lake.hive.hive_type import HiveType
from portal.lake.hive.partitions import NOTHING
from portal.lake.hive.table import HiveTable
from portal.lake.hive.type_mapping import Zone, mapped
from portal.lake.ingesting.units import PartitionColumn, literal, quoted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DataType, StructType


class Unmappable(PortalError):
    """The table has a column that Iceberg cannot hold."""


@dataclass(frozen=True, slots=True)
class IngestedColumn:
    name: str
    hive: str
    """Its type in Hive."""
    iceberg: str
    """Its type in Iceberg, as Iceberg names it."""
    expression: str
    """What Spark selects of the source for it."""
    notes: tuple[str, ...] = ()
    partition: bool = False

    def told(self) -> dict[str, Any]:
        """As the report shows it."""
        return {"column": self.name, "hive": self.hive, "iceberg": self.iceberg, **({"notes": list(self.notes)} if self.notes else {})}


@dataclass(frozen=True)
class Columns:
    """All columns of a table, those of partitions last."""

    each: tuple[IngestedColumn, ...]
    schema: StructType
    """What the target shall have, as Spark's type; comments included."""
    partitions: tuple[PartitionColumn, ...]

    @property
    def expressions(self) -> list[str]:
        return [f"{column.expression} AS {quoted(column.name)}" for column in self.each]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.each]

    def target_types(self) -> dict[str, str]:
        """Spark's types of the target's partition columns."""
        return {column.name: self.schema[column.name].dataType.simpleString() for column in self.partitions}


def refusals(table: HiveTable) -> list[str]:
    """Return why a table's columns cannot all be brought over; empty when they can."""
    found = []
    for column in table.columns:
        try:
            whys: Sequence[str] = mapped(column.kind).refused
        except ValueError as error:
            whys = [str(error)]
        found += [f"column {column.name}: {why}" for why in whys]
    return found


def columns(
    spark: SparkSession, table: HiveTable, read: StructType, zone: Zone, time_zone: str, formats: frozenset[str] = frozenset()
) -> Columns:  # fmt: skip
    """Map a table's columns.

    Args:
        read: what Spark reads of the source
        zone: what becomes of timestamps
        time_zone: of whom wrote the Parquet files' timestamps, which hold moments; the session's own is UTC
        formats: those of its partitions, which may differ from the table's; empty: the table's
    Raises Unmappable when Spark reads other columns than the metastore tells of, or timestamps of some files are moments and of others clocks."""
    known = {column.name.lower(): column for column in table.columns}
    if sorted(known) != sorted(field.name.lower() for field in read.fields):
        raise Unmappable(
            f"Spark reads the columns {', '.join(field.name for field in read.fields)}, and Hive's metastore tells of "
            f"{', '.join(column.name for column in table.columns)}.",
            hint="Somebody changed the columns with Hive after Spark had made the table: have Spark make it anew.",
        )
    keys = {column.name.lower() for column in table.partition_keys}
    moved = time_zone if zone == "timestamp" and time_zone != "UTC" and _of_moments(table, formats or frozenset((table.format,)), time_zone) else ""
    each, fields = [], []
    types = importlib.import_module("pyspark.sql.types")
    for field in read.fields:
        column = known[field.name.lower()]
        partition = field.name.lower() in keys
        kind = _target(field.dataType, zone)
        each.append(_column(spark, field.name, column.kind, field.dataType, kind, zone, partition, "" if partition else moved))
        fields.append(types.StructField(field.name, kind, True, {"comment": column.comment} if column.comment else {}))
    partitions = tuple(PartitionColumn(field.name, known[field.name.lower()].kind) for field in read.fields if field.name.lower() in keys)
    return Columns(tuple(each), types.StructType(fields), partitions)


def _of_moments(table: HiveTable, formats: frozenset[str], time_zone: str) -> bool:
    """Tell whether the timestamps in a table's files are moments, as in Parquet, and not clocks. Raises Unmappable where only some are."""
    if "parquet" not in formats or not any(has(column.kind, "timestamp") for column in table.storage.columns):
        return False
    if len(formats) > 1:
        raise Unmappable(
            f"{table.name} has partitions of {' and '.join(sorted(formats))}: timestamps in Parquet are moments, of which {time_zone} makes clocks, "
            "and those in the others are clocks already.",
            hint="Have Hive write the partitions anew in one format; time_zone=UTC takes all of them as they are.",
        )
    return True


def _column(
    spark: SparkSession, name: str, hive: HiveType, read: DataType, kind: DataType, zone: Zone, partition: bool, moved_to: str
) -> IngestedColumn:  # fmt: skip
    found = mapped(hive, zone)
    expression, notes = quoted(name), list(found.notes)
    if partition and hive.name in ("string", "char", "varchar"):
        expression = f"NULLIF({expression}, {literal(NOTHING)})"  # Hive's own classes in Spark read NULL's folder so
    if read != kind:
        if moved_to and has(hive, "timestamp"):
            expression = _moved(expression, read, moved_to)
            notes.append(f"moments in the files are clocks of {moved_to}")
        expression = f"CAST({expression} AS {ddl(spark, kind)})"
    return IngestedColumn(name, str(hive), found.iceberg, expression, tuple(notes), partition)


def _moved(expression: str, kind: Any, zone: str, depth: int = 0) -> str:
    """Return the SQL of a value whose moments, however deep inside, have become clocks of a time zone."""
    name = f"m{depth}"
    if not _holds_moments(kind):
        return expression
    if type(kind).__name__ == "TimestampType":
        return f"CONVERT_TIMEZONE('UTC', {literal(zone)}, CAST({expression} AS TIMESTAMP_NTZ))"
    if hasattr(kind, "elementType"):
        return f"transform({expression}, {name} -> {_moved(name, kind.elementType, zone, depth + 1)})"
    if hasattr(kind, "keyType"):
        pair = (_moved(f"{name}.key", kind.keyType, zone, depth + 1), _moved(f"{name}.value", kind.valueType, zone, depth + 1))
        return f"map_from_entries(transform(map_entries({expression}), {name} -> struct({pair[0]} AS k, {pair[1]} AS v)))"
    fields = ", ".join(
        f"{_moved(f'{expression}.{quoted(field.name)}', field.dataType, zone, depth + 1)} AS {quoted(field.name)}" for field in kind.fields
    )  # fmt: skip
    return f"IF({expression} IS NULL, NULL, struct({fields}))"


def _holds_moments(kind: Any) -> bool:
    inside = [getattr(kind, name) for name in ("elementType", "keyType", "valueType") if hasattr(kind, name)]
    inside += [field.dataType for field in getattr(kind, "fields", ())]
    return type(kind).__name__ == "TimestampType" or any(map(_holds_moments, inside))


def ddl(spark: SparkSession, kind: DataType) -> str:
    """Return a type as Spark's SQL takes it, all names quoted."""
    session: Any = spark._jsparkSession
    return str(session.parseDataType(kind.json()).sql())


def has(kind: HiveType, *names: str) -> bool:
    """Tell whether a type is, or holds, one of these."""
    return kind.name in names or any(has(child, *names) for child in kind.children)


def _target(kind: DataType, zone: Zone) -> DataType:
    """Return Spark's type of a column in Iceberg."""
    types = importlib.import_module("pyspark.sql.types")
    if isinstance(kind, types.ByteType | types.ShortType):
        return types.IntegerType()  # type: ignore[no-any-return]
    if isinstance(kind, types.TimestampType) and zone == "timestamp":
        return types.TimestampNTZType()  # type: ignore[no-any-return]
    if isinstance(kind, types.ArrayType):
        return types.ArrayType(_target(kind.elementType, zone), True)  # type: ignore[no-any-return]
    if isinstance(kind, types.MapType):
        return types.MapType(_target(kind.keyType, zone), _target(kind.valueType, zone), True)  # type: ignore[no-any-return]
    if isinstance(kind, types.StructType):
        return types.StructType([types.StructField(field.name, _target(field.dataType, zone), True) for field in kind.fields])  # type: ignore[no-any-return]
    return kind
