"""Whether a target's rows are the source's: counts and a checksum per column and partition, of both sides in one job of Spark's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from portal.errors import PortalError
from portal.lake.ingesting.columns import Columns
from portal.lake.ingesting.target import Target
from portal.lake.ingesting.units import Key, PartitionColumn, condition, order, quoted, selected, shown

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
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
    few: bool = False
    """There are not more partitions than may be looked at here."""

    def compare(self, keys: Sequence[Key] | None, *, all_keys: bool = False) -> tuple[Compared, list[Key]]:
        """Compare units, or with None everything. With `all_keys` every key that differs is returned, otherwise the first."""
        summed = self._summed(keys)
        if self.few or keys is not None or not self.columns.partitions:
            return self._looked_at(self.spark.sql(summed).collect())
        different = " OR ".join(["mine <> theirs", *self._rows_unequal(), *(self._unequal(place) for place in self._places())])
        sums = [f"count_if({self._unequal(place)}) AS c{place}" for place in self._places()]
        counts = ("count(*) AS partitions", "coalesce(sum(mine), 0) AS mine", "coalesce(sum(theirs), 0) AS theirs")
        row = self.spark.sql(selected((*counts, f"count_if({different}) AS different", *sums), f"({summed})")).collect()[0]
        found = Compared(row.partitions, row.mine, row.theirs, len(self._places()), row.different)
        if not row.different:
            return found, []
        by_column = tuple((self.columns.names[place], row[f"c{place}"]) for place in self._places() if row[f"c{place}"])
        some = self.spark.sql(selected((*self._keys(), "mine", "theirs"), f"({summed})", different))
        rows = (some if all_keys else some.limit(_TOLD)).collect()
        told = [(self._key(item), item.mine, item.theirs) for item in rows]
        return Compared(*_plain(found), by_column, tuple(told[:_TOLD])), [key for key, _, _ in told]

    def _looked_at(self, rows: Sequence[Any]) -> tuple[Compared, list[Key]]:
        """The same of rows that are here: for a few, Spark plans another sum longer than this takes."""
        places = [[place for place in self._places() if any(row[f"{what}{place}"] for what in "nxs")] for row in rows]
        whole = ("xrow", "srow") if self._places() else ()
        different = [row for row, odd in zip(rows, places, strict=True) if odd or row.mine != row.theirs or any(row[name] for name in whole)]
        by_column = Counter(place for odd in places for place in odd)
        told = sorted(((self._key(row), row.mine, row.theirs) for row in different), key=lambda each: order(each[0]))
        found = Compared(len(rows), sum(row.mine for row in rows), sum(row.theirs for row in rows), len(self._places()), len(different))
        named = tuple((self.columns.names[place], by_column[place]) for place in sorted(by_column))
        return Compared(*_plain(found), named, tuple(told[:_TOLD])), [key for key, _, _ in told]

    def _places(self) -> range:
        return range(len(self.columns.each) if self.depth == "full" else 0)

    def _keys(self) -> list[str]:
        return [f"p{place}" for place in range(len(self.columns.partitions))]

    def _summed(self, keys: Sequence[Key] | None) -> str:
        """Return the SQL of a row for each partition: its rows at both sides, and of each column and of all the source's sums less the target's.

        One text and one GROUP BY for both sides: of a small table Spark plans longer than it counts."""
        sums = ["count_if(side = 1) AS mine", "count_if(side = -1) AS theirs"]
        for place in self._places():
            sums += [f"sum(v{place}) AS n{place}", *_sums(f"h{place}", str(place))]
        if self._places():
            sums += _sums(f"xxhash64({', '.join(f'h{place}' for place in self._places())})", "row")
        return selected((*self._keys(), *sums), f"({' UNION ALL '.join(self._both(keys))})", by=self._keys())

    def _both(self, keys: Sequence[Key] | None) -> list[str]:
        """The SQL of the rows of either side, hashed."""
        here, there = "", ""
        if keys is not None:
            here = condition(self.columns.partitions, keys)
            there = condition(self.columns.partitions, keys, self.columns.target_types())
        mine = selected(self.columns.expressions, self.source, here)
        theirs = selected(map(quoted, self.columns.names), self.target.on(self.branch), there)
        return [selected(self._hashed(side), f"({rows})") for side, rows in ((1, mine), (-1, theirs))]

    def _hashed(self, side: int) -> list[str]:
        """What of a row is summed: the side, the partition's values, whether each column has one, and its hash."""
        found = [f"{side} AS side", *(f"{_clock(column)} AS p{place}" for place, column in enumerate(self.columns.partitions))]
        for place in self._places():
            name = quoted(self.columns.names[place])
            found += [f"IF({name} IS NULL, 0, {side}) AS v{place}", f"{hash_of(name, self.columns.schema[place].dataType)} AS h{place}"]
        return found

    def _rows_unequal(self) -> list[str]:
        """Values of one row in another one leave every column's sums as they were."""
        return ["xrow <> 0", "srow <> 0"] if self._places() else []

    def _unequal(self, place: int) -> str:
        return "(" + " OR ".join(f"{what}{place} <> 0" for what in "nxs") + ")"

    def _key(self, row: Any) -> Key:
        return tuple(column.text_of(row[f"p{place}"]) for place, column in enumerate(self.columns.partitions))


def _clock(column: PartitionColumn) -> str:
    """Return the SQL of a partition's value; a moment as a clock of the session's, UTC's: it would come in the time zone of this process."""
    return f"CAST({quoted(column.name)} AS TIMESTAMP_NTZ)" if column.kind.name == "timestamp" else quoted(column.name)


def _plain(found: Compared) -> tuple[int, int, int, int, int]:
    return found.partitions, found.rows_source, found.rows_target, found.columns, found.different


def _sums(hashed: str, name: str) -> list[str]:
    """Return the SQL of two sums over the hashes of both sides, zero where they are the same in any order of the rows.

    Pairs of equal rows leave no trace in the first, but in the second, from which the target's are taken away."""
    return [f"bit_xor({hashed}) AS x{name}", f"sum(side * shiftright({hashed}, 32)) AS s{name}"]


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
