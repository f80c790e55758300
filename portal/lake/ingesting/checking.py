"""Whether a target's rows are the source's: counts and a checksum per column and partition, of both sides in one job of Spark's."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from portal.errors import PortalError
from portal.lake.ingesting.columns import Columns
from portal.lake.ingesting.target import Target
from portal.lake.ingesting.units import Key, condition, quoted, shown

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType

Depth = Literal["full", "counts"]
_TOLD = 10
"""Partitions that differ and are named."""


class RowsDiffer(PortalError):
    """The target's rows are not the source's."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found."""

    partitions: int
    rows_source: int
    rows_target: int
    columns: int
    """How many were compared by checksum."""
    different: int
    """Partitions that are not equal."""
    by_column: tuple[tuple[str, int], ...] = ()
    """Columns that differ, and in how many partitions."""
    first: tuple[tuple[Key, int, int], ...] = ()
    """Some of those partitions, with the rows of source and target."""

    def __add__(self, other: Compared) -> Compared:
        by_column = dict(self.by_column)
        for name, count in other.by_column:
            by_column[name] = by_column.get(name, 0) + count
        return Compared(
            self.partitions + other.partitions, self.rows_source + other.rows_source, self.rows_target + other.rows_target, other.columns,
            self.different + other.different, tuple(by_column.items()), (*self.first, *other.first)[:_TOLD],
        )  # fmt: skip

    def told(self) -> dict[str, Any]:
        """As the report shows it."""
        return {
            "partitions": self.partitions, "rows_source": self.rows_source, "rows_target": self.rows_target, "columns": self.columns,
            "different_partitions": self.different, "equal": not self.different,
        }  # fmt: skip

    def text(self, columns: Columns) -> str:
        """What differs, for people."""
        places = [f"{shown(columns.partitions, key)}: {mine:,} rows at the source, {theirs:,} at the target" for key, mine, theirs in self.first]
        of = f" in {', '.join(name for name, _ in self.by_column[:_TOLD])}" if self.by_column else ""
        return f"{self.different:,} of {self.partitions:,} partitions differ{of} ({'; '.join(places)})"


@dataclass(frozen=True)
class Sides:
    """The two sides of a comparison. `source`: the table as Spark's SQL takes it."""

    spark: SparkSession
    source: str
    target: Target
    branch: str
    columns: Columns
    depth: Depth = "full"

    def compare(self, keys: Sequence[Key] | None, *, all_keys: bool = False) -> tuple[Compared, list[Key]]:
        """Compare units, or with None everything. With `all_keys` every key that differs is returned, otherwise the first."""
        joined = self._joined(keys)
        different = " OR ".join(["a.n IS DISTINCT FROM b.n", *self._rows_unequal(), *(self._unequal(place) for place in self._places())])
        sums = [f"count_if({self._unequal(place)}) AS c{place}" for place in self._places()]
        row = joined.selectExpr(
            "count(*) AS partitions", "coalesce(sum(a.n), 0) AS mine", "coalesce(sum(b.n), 0) AS theirs", f"count_if({different}) AS different", *sums
        ).collect()[0]  # fmt: skip
        found = Compared(row.partitions, row.mine, row.theirs, len(self._places()), row.different)
        if not row.different:
            return found, []
        by_column = tuple((self.columns.names[place], row[f"c{place}"]) for place in self._places() if row[f"c{place}"])
        some = joined.where(different).selectExpr(*self._key_columns(), "coalesce(a.n, 0) AS mine", "coalesce(b.n, 0) AS theirs")
        rows = (some if all_keys else some.limit(_TOLD)).collect()
        told = [(self._key(item), item.mine, item.theirs) for item in rows]
        return Compared(*_plain(found), by_column, tuple(told[:_TOLD])), [key for key, _, _ in told]

    def _places(self) -> range:
        return range(len(self.columns.each) if self.depth == "full" else 0)

    def _joined(self, keys: Sequence[Key] | None) -> DataFrame:
        source, target = self.spark.table(self.source), self.spark.table(self.target.on(self.branch))
        if keys is not None:
            source = source.where(condition(self.columns.partitions, keys))
            target = target.where(condition(self.columns.partitions, keys, self.columns.target_types()))
        a = self._summed(source.selectExpr(*self.columns.expressions)).alias("a")
        b = self._summed(target.selectExpr(*map(quoted, self.columns.names))).alias("b")
        on = " AND ".join(f"a.p{place} <=> b.p{place}" for place in range(len(self.columns.partitions))) or "TRUE"
        return a.join(b, importlib.import_module("pyspark.sql.functions").expr(on), "full_outer")

    def _summed(self, rows: DataFrame) -> DataFrame:
        expr = importlib.import_module("pyspark.sql.functions").expr
        sums = [expr("count(*) AS n")]
        for place in self._places():
            sums += [expr(f"count(v{place}) AS n{place}"), *(expr(sql) for sql in _sums(f"h{place}", str(place)))]
        if self._places():
            row = f"xxhash64({', '.join(f'h{place}' for place in self._places())})"
            sums += [expr(sql) for sql in _sums(row, "row")]
        by = [f"p{place}" for place in range(len(self.columns.partitions))]
        return rows.selectExpr(*self._hashed()).groupBy(*by).agg(*sums)

    def _hashed(self) -> list[str]:
        """What of a row is summed: the partition's values, whether each column has one, and its hash."""
        found = [f"{quoted(column.name)} AS p{place}" for place, column in enumerate(self.columns.partitions)]
        for place in self._places():
            name = quoted(self.columns.names[place])
            found += [f"IF({name} IS NULL, NULL, 1) AS v{place}", f"{hash_of(name, self.columns.schema[place].dataType)} AS h{place}"]
        return found or ["1 AS one"]

    def _rows_unequal(self) -> list[str]:
        """Values of one row in another one leave every column's sums as they were."""
        return ["a.xrow IS DISTINCT FROM b.xrow", "a.srow IS DISTINCT FROM b.srow"] if self._places() else []

    def _unequal(self, place: int) -> str:
        return "(" + " OR ".join(f"a.{what}{place} IS DISTINCT FROM b.{what}{place}" for what in "nxs") + ")"

    def _key_columns(self) -> list[str]:
        # Only one side has a partition that the other has not; where the value is NULL both say so.
        return [f"coalesce(a.p{place}, b.p{place}) AS p{place}" for place in range(len(self.columns.partitions))]

    def _key(self, row: Any) -> Key:
        return tuple(column.text_of(row[f"p{place}"]) for place, column in enumerate(self.columns.partitions))


def _plain(found: Compared) -> tuple[int, int, int, int, int]:
    return found.partitions, found.rows_source, found.rows_target, found.columns, found.different


def _sums(hashed: str, name: str) -> list[str]:
    """Return the SQL of two sums over hashes, in any order of the rows: pairs of equal rows leave no trace in the first, but in the second."""
    return [f"bit_xor({hashed}) AS x{name}", f"sum(shiftright({hashed}, 32)) AS s{name}"]


def hash_of(expression: str, kind: DataType) -> str:
    """Return the SQL of a value's hash, 64 bits, the same for equal values only: maps in any order of their entries."""
    settled = _settled(expression, kind, 0)
    if _is(kind, "ArrayType", "MapType", "StructType"):
        # Alone, the hash of [NULL] would be that of [], of [NULL, 'x'] that of ['x', NULL]; the text alone has no microseconds.
        return f"xxhash64({settled}, to_json({settled}, map('ignoreNullFields', 'false')))"
    if _is(kind, "FloatType", "DoubleType"):
        return f"xxhash64({settled}, IF({settled} = 0, CAST({settled} AS STRING), ''))"  # Spark's hash of -0.0 is that of 0.0
    return f"xxhash64({settled})"


def _settled(expression: str, kind: DataType, depth: int) -> str:
    """Return the SQL of a value without maps, which Spark cannot hash: lists of entries, sorted."""
    value: Any = kind
    if not _holds_map(kind):
        return expression
    name = f"x{depth}"
    if _is(kind, "MapType"):
        entry = f"struct({_settled(f'{name}.key', value.keyType, depth + 1)} AS k, {_settled(f'{name}.value', value.valueType, depth + 1)} AS v)"
        return f"array_sort(transform(map_entries({expression}), {name} -> {entry}))"
    if _is(kind, "ArrayType"):
        return f"transform({expression}, {name} -> {_settled(name, value.elementType, depth + 1)})"
    fields = ", ".join(
        f"{_settled(f'{expression}.{quoted(field.name)}', field.dataType, depth + 1)} AS f{place}" for place, field in enumerate(value.fields)
    )  # fmt: skip
    return f"IF({expression} IS NULL, NULL, struct({fields}))"


def _holds_map(kind: Any) -> bool:
    if _is(kind, "MapType"):
        return True
    if _is(kind, "ArrayType"):
        return _holds_map(kind.elementType)
    return _is(kind, "StructType") and any(_holds_map(field.dataType) for field in kind.fields)


def _is(kind: Any, *names: str) -> bool:
    return type(kind).__name__ in names
