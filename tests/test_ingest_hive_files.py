"""Files of Hive that others wrote: what their values mean is what arrives, or the table is refused with the reason."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hive_metastore.ttypes import Partition

from portal.lake.ingesting.checking import Sides
from tests.ingesting import SOCKETS_OF_PYSPARK, Hive, by_pyiceberg, hive, mapped
from tests.lake import database, metastore, spark
from tests.lake_hive_tables import client

__all__ = ["database", "hive", "metastore", "spark"]

pytestmark = SOCKETS_OF_PYSPARK

TEN = datetime(2024, 7, 1, 10)


def written(place: Path, columns: dict[str, Any], **options: Any) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), place / "a.parquet", **options)
    return place


def add_partition(hive: Hive, table: str, value: str, place: Path, like: str = "") -> None:
    with client(hive.metastore.uri) as wire:
        descriptor = wire.get_table(hive.db, like or table).sd
        descriptor.location = place.as_uri()
        wire.add_partition(Partition([value], hive.db, table, createTime=0, lastAccessTime=0, sd=descriptor, parameters={}))


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
    assert [row["ts"] for row in hive.rows("{db}_iceberg.t")] == [TEN, TEN]
    hive.sql("alter table {db}.t drop partition (p='a')")
    assert hive.one("t", time_zone="Europe/Berlin")["outcome"] == "done"
    assert [row["ts"] for row in hive.rows("{db}_iceberg.t")] == [TEN], "the table says Parquet, and its files are ORC's"


def test_old_dates_are_read_by_the_calendar_that_is_told(hive: Hive, tmp_path: Path) -> None:
    old = datetime(1850, 7, 1, 10)
    written(tmp_path / "t", {"d": pa.array([date(1500, 3, 11)])})
    written(tmp_path / "i", {"ts": pa.array([old], pa.timestamp("ns"))}, use_deprecated_int96_timestamps=True)
    hive.sql(f"create external table {{db}}.t (d date) stored as parquet location '{tmp_path}/t'")
    hive.sql(f"create external table {{db}}.i (ts timestamp) stored as parquet location '{tmp_path}/i'")
    for name in ("t", "i"):
        failed = hive.one(name, way="ctas")
        assert failed["outcome"] == "failed"
        assert "do not tell by which calendar" in failed["reason"]
        assert "old_dates: proleptic" in failed["reason"]
        assert "Spark" not in failed["reason"].partition("what to do")[0]
    assert hive.one("i", old_dates="proleptic")["outcome"] == "done"
    assert hive.rows("{db}_iceberg.i") == [{"ts": old}]
    assert hive.one("t", way="ctas", old_dates="julian")["outcome"] == "done"
    assert hive.rows("{db}_iceberg.t") == [{"d": date(1500, 3, 1)}], "ten days earlier"


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
    for name in ("out", "up", "led", "by_p", "av"):
        refused = hive.one(name)
        assert refused["outcome"] == "failed", name
        assert "outside the folders that may be used" in refused["reason"], refused["reason"]
    hive.sql(f"create database {{db}}_out location '{elsewhere}/target'")
    hive.sql("create table {db}.fine (id bigint) stored as orc")
    refused = hive.one("fine", target_namespace="{db}_out")
    assert "outside the folders that may be used" in refused["reason"]
    assert not (elsewhere / "target" / "fine").exists()
    hive.one("fine")
    hive.sql(f"alter table {{db}}_iceberg.fine set tblproperties ('write.data.path'='file:{elsewhere}/data')")
    hive.sql("insert into {db}.fine values (1)")
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
