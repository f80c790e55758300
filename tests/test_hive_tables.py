"""Tables of Hive as Spark, Hive and others make them: what is known of each, that Spark reads each type as it is mapped here, and what comes of
files that others wrote: what their values mean arrives, or the table is refused with the reason. One file: a Spark costs more than most of this."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hive_metastore import ttypes

from portal.lake.hive.hive_type import HiveType
from portal.lake.hive.metastore import Metastore
from portal.lake.hive.reading import table as as_value
from portal.lake.hive.table import HiveTable
from portal.lake.hive.type_mapping import mapped as mapped_type
from portal.lake.ingesting.checking import Sides
from portal.lake.ingesting.units import PartitionColumn
from portal.lake.table_name import TableName
from tests import lake
from tests.ingesting import SOCKETS_OF_PYSPARK, Hive, by_pyiceberg, hive, in_new_york, mapped, outcomes
from tests.lake import database, metastore, spark
from tests.lake_hive_tables import client

__all__ = ["database", "hive", "in_new_york", "metastore", "spark"]

pytestmark = SOCKETS_OF_PYSPARK

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
        written = spark.sql(f"select {', '.join(f'cast(null as {mapped_type(kind).spark}) as c{n}' for n, kind in enumerate(kinds))}")
    widened = {"tinyint": "int", "smallint": "int"}
    assert [widened.get(each, each) for each in read] == [mapped_type(kind).spark for kind in kinds]
    assert [field.dataType.simpleString() for field in written.schema] == [mapped_type(kind).spark for kind in kinds]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_cannot_be_read_by_spark(spark: Any, metastore: lake.Metastore, text: str) -> None:
    with Metastore([metastore.uri]) as hive:
        assert "default" in hive.databases()
        name = TableName(("default",), "t" + uuid.uuid4().hex[:12])
        typed(hive, metastore, name, (text,))
        assert mapped_type(hive.table(name).columns[0].kind).refused
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


TEN = datetime(2024, 7, 1, 10)


def written(place: Path, columns: dict[str, Any], **options: Any) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), place / "a.parquet", **options)
    return place


def add_partition(hive: Hive, table: str, value: str, place: Path, like: str = "") -> None:
    with client(hive.metastore.uri) as wire:
        descriptor = wire.get_table(hive.db, like or table).sd
        descriptor.location = place.as_uri()
        wire.add_partition(ttypes.Partition([value], hive.db, table, createTime=0, lastAccessTime=0, sd=descriptor, parameters={}))


def test_moments_become_clocks_however_deep_they_are(hive: Hive, tmp_path: Path) -> None:
    ts = pa.timestamp("ns")
    written(tmp_path / "t", {
        "ts": pa.array([TEN, None], ts), "st": pa.array([{"ts": TEN, "n": 1}, None], pa.struct([("ts", ts), ("n", pa.int8())])),
        "l": pa.array([[{"at": TEN}, None], None], pa.list_(pa.struct([("at", ts)]))),
        "m": pa.array([[(TEN, TEN), (datetime(2024, 1, 1), None)], None], pa.map_(ts, ts)), "n": pa.array([[7], None], pa.list_(pa.int16())),
    }, use_deprecated_int96_timestamps=True)  # fmt: skip
    columns = "ts timestamp, st struct<ts:timestamp,n:tinyint>, l array<struct<at:timestamp>>, m map<timestamp,timestamp>, n array<smallint>"
    hive.sql(f"create external table {{db}}.t ({columns}) stored as parquet location '{tmp_path}/t'")
    found = hive.one("t", time_zone="Europe/Berlin")
    assert found["outcome"] == "done", found["reason"]
    noon = datetime(2024, 7, 1, 12)
    wanted = {
        "ts": noon, "st": {"ts": noon, "n": 1}, "l": [{"at": noon}, None], "m": [[datetime(2024, 1, 1, 1), None], [noon, noon]], "n": [7],
    }  # fmt: skip
    assert [mapped(row, "m") for row in hive.rows("{db}_iceberg.t")] == [wanted, dict.fromkeys(wanted)]
    notes = {column["column"]: str(column.get("notes", "")) for column in found["facts"]["columns"]}
    assert {name for name, note in notes.items() if "clocks of Europe/Berlin" in note} == {"ts", "st", "l", "m"}


def test_moments_and_clocks_in_one_table_are_refused(hive: Hive, tmp_path: Path) -> None:
    hive.sql(f"create external table {{db}}.t (ts timestamp) partitioned by (p string) stored as parquet location '{tmp_path}/t'")
    hive.sql("create table {db}.o (ts timestamp) stored as orc")
    hive.sql("insert into {db}.o select timestamp_ntz'2024-07-01 10:00:00'")
    add_partition(hive, "t", "a", written(tmp_path / "a", {"ts": pa.array([TEN], pa.timestamp("ns"))}, use_deprecated_int96_timestamps=True))
    add_partition(hive, "t", "b", hive.location("o"), like="o")
    refused = hive.one("t", time_zone="Europe/Berlin")
    assert (refused["outcome"], "orc and parquet" in refused["reason"], hive.tables()) == ("failed", True, [])
    assert hive.one("t")["outcome"] == "done"
    assert [row["ts"] for row in hive.arrived("t")] == [TEN, TEN]
    hive.sql("alter table {db}.t drop partition (p='a')")
    assert hive.one("t", time_zone="Europe/Berlin")["outcome"] == "done"
    assert [row["ts"] for row in hive.arrived("t")] == [TEN], "the table says Parquet, and its files are ORC's"


def test_old_dates_are_read_by_the_calendar_that_is_told(hive: Hive, tmp_path: Path) -> None:
    old = datetime(1850, 7, 1, 10)
    written(tmp_path / "t", {"d": pa.array([date(1500, 3, 11)])})
    written(tmp_path / "i", {"ts": pa.array([old], pa.timestamp("ns"))}, use_deprecated_int96_timestamps=True)
    hive.sql(f"create external table {{db}}.t (d date) stored as parquet location '{tmp_path}/t'")
    hive.sql(f"create external table {{db}}.i (ts timestamp) stored as parquet location '{tmp_path}/i'")
    for failed in outcomes(hive.ingest("t", "i", way="ctas")).values():
        assert failed["outcome"] == "failed"
        assert "do not tell by which calendar" in failed["reason"]
        assert "old_dates: proleptic" in failed["reason"]
        assert "Spark" not in failed["reason"].partition("what to do")[0]
    assert hive.one("i", old_dates="proleptic")["outcome"] == "done"
    assert hive.arrived("i") == [{"ts": old}]
    assert hive.one("t", way="ctas", old_dates="julian")["outcome"] == "done"
    assert hive.arrived("t") == [{"d": date(1500, 3, 1)}], "ten days earlier"


def test_files_with_columns_that_the_table_has_not_are_not_shared(hive: Hive, tmp_path: Path) -> None:
    st = pa.struct([("a", pa.int64()), ("more", pa.string())])
    written(tmp_path / "t", {"id": [1], "extra": ["x"], "st": pa.array([{"a": 1, "more": "y"}], st)})
    columns = "(id bigint, st struct<a:bigint>)"
    hive.sql(f"create external table {{db}}.t {columns} stored as parquet location '{tmp_path}/t'")
    refused = hive.one("t", way="snapshot")
    assert refused["outcome"] == "failed"
    assert "columns that the table has not (extra, st.more)" in refused["reason"]
    found = hive.one("t")
    assert (found["outcome"], found["way"]) == ("done", "ctas")
    assert "extra, st.more" in found["reason"]
    assert by_pyiceberg(found["metadata_location"]) == [{"id": 1, "st": {"a": 1}}]
    hive.sql(f"create external table {{db}}.by_p {columns} partitioned by (p string) stored as parquet location '{tmp_path}/p'")
    add_partition(hive, "by_p", "a", written(tmp_path / "p" / "{a}", {"id": [1], "st": pa.array([{"a": 1}])}))
    assert hive.one("by_p")["way"] == "add_files"
    add_partition(hive, "by_p", "b", written(tmp_path / "p" / "b", {"id": [1], "new": [1]}))
    add_partition(hive, "by_p", "c", tmp_path / "p" / "absent")
    later = hive.one("by_p")
    assert later["outcome"] == "failed"
    assert "columns that the table has not (new)" in later["reason"]


def test_a_metastore_does_not_decide_what_of_this_machine_is_read_or_written(
    hive: Hive, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    secret = written(elsewhere / "s", {"id": [1]})
    (tmp_path / "link").symlink_to(secret)
    for name, place in (("out", secret), ("up", tmp_path / ".." / "x"), ("led", tmp_path / "link")):
        hive.sql(f"create external table {{db}}.{name} (id bigint) stored as parquet location '{place}'")
    hive.sql(f"create external table {{db}}.by_p (id bigint) partitioned by (p string) stored as parquet location '{tmp_path}/p'")
    add_partition(hive, "by_p", "a", secret)
    hive.sql(f"""create external table {{db}}.av stored as avro location '{tmp_path}/av' tblproperties ('avro.schema.literal'=
        '{{"type":"record","name":"r","fields":[{{"name":"x","type":"int"}}]}}')""")
    with client(hive.metastore.uri) as wire:
        avro = wire.get_table(hive.db, "av")
        avro.parameters["avro.schema.url"] = f"file:{elsewhere}/schema.json"
        wire.alter_table(hive.db, "av", avro)
    found = outcomes(hive.ingest("*"))
    assert sorted(found) == ["av", "by_p", "led", "out", "up"]
    for name, refused in found.items():
        assert refused["outcome"] == "failed", name
        assert "outside the folders that may be used" in refused["reason"], refused["reason"]
    hive.sql(f"create database {{db}}_out location '{elsewhere}/target'")
    hive.sql("create table {db}.fine (id bigint) stored as orc")
    refused = hive.one("fine", target_namespace="{db}_out")
    assert "outside the folders that may be used" in refused["reason"]
    assert not (elsewhere / "target" / "fine").exists()
    hive.one("fine")
    hive.sql(f"alter table {{db}}_iceberg.fine set tblproperties ('write.data.path'='file:{elsewhere}/data')")
    hive.insert("fine", {"id": [1]})
    assert "outside the folders that may be used" in hive.one("fine")["reason"]
    assert not (elsewhere / "data").exists()


SAME = "select 1 id, 'a' s, 0D d, array(null, 'null') l, map('k', 1, 'l', 2) m, 'x' as c union all select 2, 'b', 1D, null, null, null"
OTHERS = {
    "values of two rows swapped": SAME.replace("'a'", "'?'").replace("'b'", "'a'").replace("'?'", "'b'"), "-0.0": SAME.replace("0D", "-0D"),
    "NaN": SAME.replace("0D", "double('NaN')"), "NULL's place": SAME.replace("null, 'null'", "'null', null"), "blanks": SAME.replace("'x'", "'x '"),
    "NULL is ''": SAME.replace("null, null, null", "null, null, ''"), "NULL is []": SAME.replace("1D, null", "1D, array()"),
}  # fmt: skip


def test_what_two_sides_may_differ_in_is_seen(spark: Any) -> None:
    def same(text: str) -> bool:
        spark.sql(SAME).createOrReplaceTempView("here")
        spark.sql(text).createOrReplaceTempView("there")
        schema = spark.table("here").schema
        each: Any = SimpleNamespace(names=schema.names, expressions=schema.names, each=schema.names, schema=schema, partitions=())
        target: Any = SimpleNamespace(on=lambda branch: "there")
        return not Sides(spark, "here", target, "main", each).compare(None)[0].different

    assert same(SAME)
    assert same(SAME.replace("map('k', 1, 'l', 2)", "map('l', 2, 'k', 1)")), "maps have no order"
    assert {name for name, text in OTHERS.items() if same(text)} == set()


def test_what_differs_is_told_of_few_and_of_many_partitions_wherever_this_process_runs(spark: Any, in_new_york: None) -> None:
    days = [f"2024-07-0{day} 23:30:00" for day in (1, 2, 3)]
    one, two, three = (f"timestamp'{day}'" for day in days)
    here = f"(1, 'a', {one}), (2, 'b', {one}), (3, 'c', {two}), (4, 'd', null)"
    there = f"(2, 'a', {one}), (1, 'b', {one}), (3, '?', {two}), (4, 'd', null), (5, 'e', {three})"
    for name, rows in (("here", here), ("there", there)):
        spark.sql(f"select * from values {rows} as t(id, s, p)").createOrReplaceTempView(name)
    schema = spark.table("here").schema
    partitions = (PartitionColumn("p", HiveType.parse("timestamp")),)
    each: Any = SimpleNamespace(names=schema.names, expressions=schema.names, each=schema.names, schema=schema, partitions=partitions)
    target: Any = SimpleNamespace(on=lambda branch: "there")
    for few in (True, False):
        found, keys = Sides(spark, "here", target, "main", each, few=few).compare(None, all_keys=True)
        assert (found.partitions, found.rows_source, found.rows_target, found.different) == (4, 4, 5, 3)
        assert dict(found.by_column) == {"id": 1, "s": 2, "p": 1}
        assert sorted(keys) == [(day,) for day in days]
        assert sorted(found.first) == [((days[0],), 2, 2), ((days[1],), 1, 1), ((days[2],), 0, 1)]
