"""The Iceberg table that is being made or added to, through Iceberg's own Java interface: fresh metadata at each look, commits that name a branch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portal.lake.ingesting.columns import Columns
from portal.lake.ingesting.java_class import java_class
from portal.lake.ingesting.units import Key, PartitionColumn, literal, quoted
from portal.lake.table_name import TableName

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MAIN = "main"
_OF_SPARK = "org.apache.iceberg.spark.Spark3Util"
BATCH, STATE, SOURCE, WAY, RUN, PLAN, KEPT = (f"portal.{name}" for name in ("batch", "state", "source", "way", "run", "plan", "kept"))
"""What the tables' properties and the snapshots' summaries are marked with."""


@dataclass(frozen=True)
class Target:
    """A table in Spark's catalog of a name."""

    spark: SparkSession
    catalog: str
    name: TableName
    seen: dict[str, Any] | None = field(default=None, compare=False, repr=False)
    """What was loaded, where it is looked at only once."""

    @property
    def sql(self) -> str:
        """As Spark's SQL takes it."""
        return ".".join(quoted(part) for part in (self.catalog, *self.name.identifier))

    def on(self, branch: str) -> str:
        """A branch of it, likewise."""
        return self.sql if branch == MAIN else f"{self.sql}.{quoted(f'branch_{branch}')}"

    def named(self, table: str) -> Target:
        """Another table of its namespace."""
        return Target(self.spark, self.catalog, TableName(self.name.namespace, table))

    def at_one_moment(self) -> Target:
        """The same, as it is when its metadata are asked for first: for a look at many things, of which each would be a new one."""
        return replace(self, seen={})

    def exists(self) -> bool:
        """Tell whether the catalog has an Iceberg table of this name."""
        return bool(self._catalog().tableExists(self._identifier(self.name.identifier)))

    def create_namespace(self) -> None:
        """No error when it is there already."""
        if not self._catalog().namespaceExists(self._namespace(self.name.namespace)):
            place = self._new_namespace_location()
            clause = f" LOCATION {literal(place)}" if place else ""
            self.spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {'.'.join(quoted(part) for part in (self.catalog, *self.name.namespace))}{clause}")

    def namespace_location(self) -> str:
        """Return the URL of its namespace's folder, as it is or would be made; '' where the catalog tells of none."""
        catalog, namespace = self._catalog(), self._namespace(self.name.namespace)
        if not catalog.namespaceExists(namespace):
            return self._new_namespace_location() or self._folder_of_folders()
        return str(catalog.loadNamespaceMetadata(namespace).get("location") or "")

    def place(self) -> str:
        """Return the URL of the folder that its catalog gives it, whatever the table itself says; '' where that is not known before."""
        base = self.namespace_location().rstrip("/")
        return f"{base}/{self.name.table}" if base else ""

    def _new_namespace_location(self) -> str:
        """Hive's own places; without a warehouse in the configuration Spark would choose a folder below where it was started."""
        conf, prefix = self.spark.conf, f"spark.sql.catalog.{self.catalog}"
        if conf.get(f"{prefix}.type", "") != "hive":
            return ""
        base = conf.get(f"{prefix}.warehouse", "") or self._catalog().loadNamespaceMetadata(self._namespace(("default",))).get("location")
        return f"{str(base).rstrip('/')}/{'.'.join(self.name.namespace)}.db"

    def _folder_of_folders(self) -> str:
        """Where a Hadoop catalog puts its namespace, which it takes no other place for."""
        conf, prefix = self.spark.conf, f"spark.sql.catalog.{self.catalog}"
        if conf.get(f"{prefix}.type", "") != "hadoop":
            return ""
        return "/".join((str(conf.get(f"{prefix}.warehouse", "")).rstrip("/"), *self.name.namespace))

    def _namespace(self, parts: Sequence[str]) -> Any:
        return java_class(self.spark, "org.apache.iceberg.catalog.Namespace").of(self._array(parts))

    def tables(self) -> list[str]:
        """Return the names of the namespace's Iceberg tables, sorted."""
        return sorted(table.name() for table in self._catalog().listTables(self._namespace(self.name.namespace)))

    def _catalog(self) -> Any:
        return java_class(self.spark, _OF_SPARK).loadIcebergCatalog(self.spark._jsparkSession, self.catalog)

    def _identifier(self, parts: Sequence[str]) -> Any:
        return java_class(self.spark, "org.apache.iceberg.catalog.TableIdentifier").of(self._array(parts))

    def _array(self, parts: Sequence[str]) -> Any:
        gateway: Any = self.spark.sparkContext._gateway
        found = gateway.new_array(java_class(self.spark, "java.lang.String"), len(parts))
        for place, part in enumerate(parts):
            found[place] = part
        return found

    def table(self) -> Any:
        """Load Iceberg's table. Raises what Spark raises."""
        return self._once("table", lambda: java_class(self.spark, _OF_SPARK).loadIcebergTable(self.spark._jsparkSession, self.sql))

    def _once(self, name: str, load: Callable[[], Any]) -> Any:
        if self.seen is None:
            return load()
        if name not in self.seen:
            self.seen[name] = load()
        return self.seen[name]

    def properties(self) -> dict[str, str]:
        return {str(key): str(value) for key, value in self._metadata()["properties"].items()}

    def set_properties(self, **values: str) -> None:
        change = self.table().updateProperties()
        for name, value in values.items():
            change.set(name, value)
        change.commit()

    def create(self, columns: Columns, location: str, properties: Mapping[str, str]) -> None:
        """Make it, empty. `location` may be empty: then its catalog decides."""
        session: Any = self.spark._jsparkSession
        fields = session.parseDataType(columns.schema.json()).toDDL()
        by = ", ".join(quoted(column.name) for column in columns.partitions)
        clauses = [
            f"CREATE TABLE {self.sql} ({fields}) USING iceberg",
            f"PARTITIONED BY ({by})" if by else "",
            f"LOCATION {literal(location)}" if location else "",
            f"TBLPROPERTIES ({', '.join(f'{literal(name)} = {literal(value)}' for name, value in properties.items())})",
        ]
        self.spark.sql(" ".join(clause for clause in clauses if clause))

    def begin(self, schema: Any, spec: Any, properties: Mapping[str, str]) -> Any:
        """Return Iceberg's transaction that makes it: nobody sees it before the commit. Raises what Java raises when it is there."""
        given = java_class(self.spark, "java.util.HashMap")()
        for name, value in properties.items():
            given.put(name, value)
        builder = self._catalog().buildTable(self._identifier(self.name.identifier), schema)
        return builder.withPartitionSpec(spec).withProperties(given).createTransaction()

    def drop(self, *, purge: bool) -> None:
        """Drop it, with its files where they are its own."""
        self.spark.sql(f"DROP TABLE {self.sql}{' PURGE' if purge else ''}")

    def rename(self, table: str) -> Target:
        """Give it another name in its namespace. Raises what Spark raises, also when that is taken."""
        other = self.named(table)
        self.spark.sql(f"ALTER TABLE {self.sql} RENAME TO {'.'.join(quoted(part) for part in other.name.identifier)}")
        return other

    def _metadata(self) -> dict[str, Any]:
        """Return what Iceberg knows of the table, as it writes it: all at once, where each property would be a question to Java."""
        parser = java_class(self.spark, "org.apache.iceberg.TableMetadataParser")
        known: dict[str, Any] = self._once("metadata", lambda: json.loads(parser.toJson(self.table().operations().current())))
        return known

    def partitioned_by(self) -> list[str]:
        """Return the names of the fields of its partitioning."""
        known = self._metadata()
        return [field["name"] for spec in known["partition-specs"] if spec["spec-id"] == known["default-spec-id"] for field in spec["fields"]]

    def head(self, branch: str = MAIN) -> int | None:
        """Return the id of a branch's last snapshot, None when there is none."""
        found = self.table().refs().get(branch)
        return None if found is None else int(found.snapshotId())

    def ancestry(self, branch: str = MAIN) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield id and summary of a branch's snapshots, the last first."""
        known = self._metadata()
        snapshots = {each["snapshot-id"]: each for each in known.get("snapshots", ())}
        number = known.get("refs", {}).get(branch, {}).get("snapshot-id")
        while number in snapshots:
            yield int(number), snapshots[number].get("summary", {})
            number = snapshots[number].get("parent-snapshot-id")

    def begin_branch(self, branch: str) -> None:
        """Have the branch begin where the table is now, whatever it held."""
        table = self.table()
        change = table.manageSnapshots()
        current = table.currentSnapshot()
        if current is None:
            if table.refs().containsKey(branch):
                change.removeBranch(branch).commit()
                change = self.table().manageSnapshots()
            change.createBranch(branch).commit()
        elif table.refs().containsKey(branch):
            change.replaceBranch(branch, current.snapshotId()).commit()
        else:
            change.createBranch(branch, current.snapshotId()).commit()

    def land(self, branch: str) -> None:
        """Make the branch what readers see, in one commit. Fails when the table was changed meanwhile."""
        self.table().manageSnapshots().fastForwardBranch(MAIN, branch).commit()

    def remove_branch(self, branch: str) -> None:
        table = self.table()
        if table.refs().containsKey(branch):
            table.manageSnapshots().removeBranch(branch).commit()

    def keys(self, columns: Sequence[PartitionColumn], branch: str = MAIN) -> set[Key]:
        """Return which units a branch has files of, as its metadata tell. With timestamps rows are read: of those Iceberg's metadata show NULL."""
        head = self.head(branch)
        if head is None:
            return set()
        if not columns:
            return {()}
        by_rows = any(column.kind.name == "timestamp" for column in columns)
        names = [quoted(column.name) if by_rows else f"partition.{quoted(column.name)}" for column in columns]
        clocks = [f"CAST({name} AS TIMESTAMP_NTZ)" if column.kind.name == "timestamp" else name for name, column in zip(names, columns, strict=True)]
        seen = self.spark.read.option("snapshot-id", head).table(self.sql if by_rows else f"{self.sql}.data_files")
        rows = seen.selectExpr(*clocks).distinct().collect()
        return {tuple(column.text_of(value) for column, value in zip(columns, row, strict=True)) for row in rows}

    def delete(self, columns: Sequence[PartitionColumn], keys: Sequence[Key], branch: str, run: str) -> None:
        """Take the rows of units out; their files stay where they are. `run`: what the snapshot is marked with."""
        if not keys:
            return
        table = self.table()
        clocks = [column.name for column in columns if column.kind.name == "timestamp"]
        moments = {name for name in clocks if str(table.schema().findType(name)) == "timestamptz"}
        change = table.newDelete().deleteFromRowFilter(self._filter(columns, keys, moments)).set(RUN, run)
        (change.toBranch(branch) if branch != MAIN else change).commit()

    def _filter(self, columns: Sequence[PartitionColumn], keys: Sequence[Key], moments: Set[str]) -> Any:
        terms = java_class(self.spark, "org.apache.iceberg.expressions.Expressions")
        if not columns:
            return terms.alwaysTrue()
        found = terms.alwaysFalse()
        for key in keys:
            one = terms.alwaysTrue()
            for column, text in zip(columns, key, strict=True):
                if text is None:
                    term = terms.isNull(column.name)
                else:
                    term = terms.equal(column.name, f"{self._value(column, text)}+00:00" if column.name in moments else self._value(column, text))
                one = getattr(terms, "and")(one, term)
            found = getattr(terms, "or")(found, one)
        return found

    def _value(self, column: PartitionColumn, text: str) -> Any:
        name = column.kind.name
        if name == "boolean":
            return text == "true"
        if name in ("tinyint", "smallint", "int", "bigint"):
            return java_class(self.spark, "java.lang.Long").valueOf(text)
        if name in ("float", "double"):
            return float(text)
        if name == "decimal":
            return java_class(self.spark, "java.math.BigDecimal")(text)
        if name == "binary":
            return java_class(self.spark, "java.nio.ByteBuffer").wrap(text.encode())
        return text.replace(" ", "T") if name == "timestamp" else text

    def metadata_location(self) -> str:
        return str(self.table().operations().current().metadataFileLocation())

    def rows(self, branch: str = MAIN) -> int:
        """Return how many rows a branch has, as its last snapshot counts them."""
        for _, summary in self.ancestry(branch):
            return int(summary.get("total-records", "0")) - int(summary.get("total-position-deletes", "0"))
        return 0

    def read_file(self, url: str) -> bytes:
        """Raises what Java raises when it is not there."""
        stream = self.table().io().newInputFile(url).newStream()
        try:
            return bytes(java_class(self.spark, "org.apache.commons.io.IOUtils").toByteArray(stream))
        finally:
            stream.close()

    def write_file(self, url: str, data: bytes) -> None:
        stream = self.table().io().newOutputFile(url).createOrOverwrite()
        try:
            stream.write(bytearray(data))
        finally:
            stream.close()
