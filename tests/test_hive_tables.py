"""Tables as Spark and Hive really make them: what kind each is, what its files are, and that Spark reads each type as it is mapped here."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hive_metastore import ttypes

from portal.lake.hive.metastore import Metastore
from portal.lake.hive.reading import table as as_value
from portal.lake.hive.table import HiveTable
from portal.lake.hive.type_mapping import mapped
from portal.lake.table_name import TableName
from tests import lake
from tests.lake import metastore, spark

__all__ = ["metastore", "spark"]

STATEMENTS = {
    "pq": "(`Id` bigint comment 'the key', s string) partitioned by (day date, n int) stored as parquet",
    "orc_": "(id bigint, c char(5), v varchar(20)) stored as orc",
    "avro_": "(id bigint) stored as avro",
    "text_": "(id bigint) row format delimited fields terminated by '|' stored as textfile tblproperties ('skip.header.line.count' = '1')",
    "csv_": "(a string) row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde' stored as textfile",
    "seq_": "(a string) stored as sequencefile",
    "rc_": "(a string) stored as rcfile",
    "buckets": "(id bigint, s string) clustered by (id) sorted by (s) into 4 buckets stored as orc",
    "purged": "(id bigint) stored as parquet location '{folder}/purged' tblproperties ('external.table.purge' = 'true')",
    "mixed_case": "(`OrderId` bigint, `When` timestamp, s struct<A:int,b:array<decimal(9,2)>>, v varchar(7)) using parquet partitioned by (`When`)",
    "json_": "(a string) using json location '{folder}/json'",
    "ice": "(id bigint) using iceberg",
}  # fmt: skip


@pytest.fixture(scope="module")
def tables(spark: Any, metastore: lake.Metastore) -> Iterator[dict[str, HiveTable]]:
    """One table of each statement, and a view, as the metastore tells of them."""
    database = "k" + uuid.uuid4().hex[:12]
    spark.sql(f"create database {database}")
    folder = f"{metastore.warehouse.as_uri()}/{database}.db/elsewhere"
    for name, how in STATEMENTS.items():
        spark.sql(f"create table {database}.{name} {how.format(folder=folder)}")
    spark.sql(f"create view {database}.seen as select id from {database}.orc_")
    with Metastore([metastore.uri]) as hive:
        yield {table.name.table: table for table in hive.tables(hive.find([f"{database}.*"])[0])}


@pytest.mark.parametrize(("name", "kind", "files"), [
    ("pq", "managed", "parquet"), ("orc_", "managed", "orc"), ("avro_", "managed", "avro"), ("text_", "managed", "text"),
    ("csv_", "managed", "csv"), ("seq_", "managed", "sequence"), ("rc_", "managed", "rcfile"), ("buckets", "managed", "orc"),
    ("purged", "external", "parquet"), ("mixed_case", "managed", "parquet"), ("json_", "external", "json"), ("ice", "iceberg", ""),
    ("seen", "view", ""),
])  # fmt: skip
def test_a_table_is_told_by_its_kind_and_its_files(tables: dict[str, HiveTable], name: str, kind: str, files: str) -> None:
    table = tables[name]
    assert table.kind == kind
    assert table.format == files or kind in ("iceberg", "view")
    assert table.on_files == (kind in ("managed", "external"))
    assert table.location.startswith("file:") or kind == "view"


def test_what_else_is_known_of_tables(tables: dict[str, HiveTable]) -> None:
    assert [(each.name, each.type, each.comment) for each in tables["pq"].columns] == [
        ("Id", "bigint", "the key"), ("s", "string", ""), ("day", "date", ""), ("n", "int", "")]  # fmt: skip
    assert [key.name for key in tables["pq"].partition_keys] == ["day", "n"]
    assert [str(each.kind) for each in tables["orc_"].columns] == ["bigint", "char(5)", "varchar(20)"]
    assert (tables["buckets"].bucket_columns, tables["buckets"].buckets, tables["buckets"].sort_columns) == (("id",), 4, ("s",))
    assert tables["text_"].storage.serde_parameters["field.delim"] == "|"
    assert tables["text_"].storage.told("skip.header.line.count", tables["text_"].parameters) == "1"
    assert [tables[name].purged_when_dropped for name in ("pq", "purged", "json_")] == [True, True, False]
    assert tables["seen"].view_text.startswith("select id from")
    assert tables["json_"].location.endswith("/elsewhere/json")
    assert tables["pq"].rows is None and tables["pq"].changed_s > 1_600_000_000


def test_sparks_own_tables_keep_the_case_of_their_columns(tables: dict[str, HiveTable]) -> None:
    told = [(each.name, each.type) for each in tables["mixed_case"].storage.columns]
    assert told == [("OrderId", "bigint"), ("s", "struct<A:int,b:array<decimal(9,2)>>"), ("v", "varchar(7)")]


def test_columns_that_hive_changed_behind_spark_are_hives(spark: Any, metastore: lake.Metastore, tables: dict[str, HiveTable]) -> None:
    name = tables["avro_"].name
    with Metastore([metastore.uri]) as hive:
        hive.databases()
        client: Any = hive._wire and hive._wire.client
        found = client.get_table(*name.identifier)
        found.sd.cols.append(ttypes.FieldSchema("later", "tinyint", ""))
        client.alter_table_with_environment_context(*name.identifier, found, ttypes.EnvironmentContext({"DO_NOT_UPDATE_STATS": "true"}))
        assert [each.name for each in hive.table(name).columns] == ["id", "later"]


SUPPORTED = (
    "tinyint", "smallint", "int", "bigint", "boolean", "float", "double", "string", "binary", "date", "timestamp", "decimal(38,18)", "char(3)",
    "varchar(9)", "array<int>", "map<string,array<bigint>>", "struct<a:int,b:map<int,struct<c:date>>>",
)  # fmt: skip
REFUSED = ("timestamp with local time zone", "uniontype<int,string>", "interval_year_month", "interval_day_time")


def typed(hive: Metastore, metastore: lake.Metastore, name: TableName, kinds: tuple[str, ...]) -> None:
    """Make a table as another program does, with a column of each type."""
    columns = [ttypes.FieldSchema(f"c{number}", kind, "") for number, kind in enumerate(kinds)]
    package = "org.apache.hadoop.hive.ql.io.orc"
    location = f"{metastore.warehouse.as_uri()}/{name.table}"
    serde = ttypes.SerDeInfo(None, f"{package}.OrcSerde", {})
    store = ttypes.StorageDescriptor(columns, location, f"{package}.OrcInputFormat", f"{package}.OrcOutputFormat", serdeInfo=serde, parameters={})
    made = ttypes.Table(name.table, name.namespace[0], "me", 0, 0, 0, store, [], {"EXTERNAL": "TRUE"}, None, None, "EXTERNAL_TABLE")
    client: Any = hive._wire and hive._wire.client
    client.create_table(made)


def test_spark_reads_each_type_as_it_is_mapped(spark: Any, metastore: lake.Metastore) -> None:
    with Metastore([metastore.uri]) as hive:
        assert "default" in hive.databases()
        name = TableName(("default",), "t" + uuid.uuid4().hex[:12])
        typed(hive, metastore, name, SUPPORTED)
        read = [field.dataType.simpleString() for field in spark.table(str(name)).schema]
        kinds = [each.kind for each in hive.table(name).columns]
        written = spark.sql(f"select {', '.join(f'cast(null as {mapped(kind).spark}) as c{n}' for n, kind in enumerate(kinds))}")
    widened = {"tinyint": "int", "smallint": "int"}
    assert [widened.get(each, each) for each in read] == [mapped(kind).spark for kind in kinds]
    assert [field.dataType.simpleString() for field in written.schema] == [mapped(kind).spark for kind in kinds]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_cannot_be_read_by_spark(spark: Any, metastore: lake.Metastore, text: str) -> None:
    with Metastore([metastore.uri]) as hive:
        assert "default" in hive.databases()
        name = TableName(("default",), "t" + uuid.uuid4().hex[:12])
        typed(hive, metastore, name, (text,))
        assert mapped(hive.table(name).columns[0].kind).refused
    with pytest.raises(Exception, match=r"(?i)cannot recognize|unsupported|not support|parse"):
        spark.table(str(name)).schema.simpleString()


def thrift(kind: str = "EXTERNAL_TABLE", reader: str = "", serde: str = "", **parameters: str) -> HiveTable:
    store = ttypes.StorageDescriptor([ttypes.FieldSchema("id", "int", None)], "s3a://b/t", reader, "", serdeInfo=ttypes.SerDeInfo(None, serde, {}))
    found = ttypes.Table("t", "d", "me", 0, 0, 0, store, [], parameters, None, None, kind)
    return as_value(found)


@pytest.mark.parametrize(("table", "kind"), [
    (thrift(table_type="ICEBERG"), "iceberg"), (thrift(storage_handler="org.apache.iceberg.mr.hive.HiveIcebergStorageHandler"), "iceberg"),
    (thrift(**{"spark.sql.sources.provider": "delta"}), "delta"), (thrift(storage_handler="io.delta.hive.DeltaStorageHandler"), "delta"),
    (thrift(reader="org.apache.hudi.hadoop.HoodieParquetInputFormat"), "hudi"), (thrift(**{"spark.sql.sources.provider": "HUDI"}), "hudi"),
    (thrift(storage_handler="org.apache.hadoop.hive.hbase.HBaseStorageHandler"), "foreign"), (thrift(kind="INDEX_TABLE"), "foreign"),
    (thrift(**{"spark.sql.sources.provider": "jdbc"}), "foreign"), (thrift(kind="MATERIALIZED_VIEW"), "materialized view"),
    (thrift(**{"spark.sql.sources.provider": "parquet"}), "external"), (thrift(**{"spark.sql.sources.provider": "hive"}), "external"),
])  # fmt: skip
def test_tables_of_other_lakes_and_services_are_not_hives_own(table: HiveTable, kind: str) -> None:
    assert table.kind == kind


def test_transactions_statistics_and_unknown_formats() -> None:
    full = thrift(transactional="TRUE", numRows="12", totalSize="-1", numFiles="x")
    assert (full.transactional, full.rows, full.bytes, full.files) == ("full", 12, None, None)
    assert thrift(transactional="true", transactional_properties="insert_only").transactional == "insert_only"
    assert thrift(transactional="false").transactional == ""
    assert thrift(reader="com.hadoop.mapred.DeprecatedLzoTextInputFormat", serde="a.LazySimpleSerDe").format == ""
    assert thrift(reader="org.apache.hadoop.mapred.TextInputFormat", serde="org.openx.data.jsonserde.JsonSerDe").format == "json"
