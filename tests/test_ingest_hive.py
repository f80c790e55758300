"""Hive tables become Iceberg tables: every type, format and partitioning, value by value, and the source is only read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import StaticTable

from portal import settings
from portal.connections import CatalogConnection, Connections
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.opening import open_catalog
from portal.lake.hive.metastore import Metastore
from portal.lake.ingesting import landing
from portal.lake.ingesting import table as table_module
from portal.lake.ingesting.loading import Loader
from portal.lake.ingesting.table import Ingestion
from portal.lake.ingesting.target import Target
from tests.ingesting import SOCKETS_OF_PYSPARK, Hive, Row, by_duckdb, by_pyiceberg, hive, in_new_york, mapped, outcomes
from tests.lake import database, metastore, spark
from tests.transferring import Ran

__all__ = ["database", "hive", "in_new_york", "metastore", "spark"]

pytestmark = SOCKETS_OF_PYSPARK

COLUMNS = """id bigint comment 'the key; it\\'s "unique"', i int, si smallint, ti tinyint, b boolean, f float, d double, de decimal(18,4),
 big decimal(38,10), s string, vc varchar(20), ch char(5), bin binary, dt date, ts timestamp, arr array<int>, m map<string,int>,
 st struct<a:int,bc:string>, deep array<struct<ts:timestamp,m:map<string,smallint>>>"""
VALUES = """select 1L id, -2147483648 i, cast(-32768 as smallint) si, cast(127 as tinyint) ti, true b, cast(1.5 as float) f, 1e300D d,
 cast(-12345678901234.5678 as decimal(18,4)) de, cast('9999999999999999999999999999.0123456789' as decimal(38,10)) big, 'grün\\t"x"' s,
 cast('vc' as varchar(20)) vc, cast('ab' as char(5)) ch, cast('bytes' as binary) bin, date'9999-12-31' dt,
 timestamp'1969-12-31 23:59:59' ts, array(1, null, 3) arr, map('k', 1, 'a', null) m, named_struct('a', 1, 'bc', 'x') st,
 array(named_struct('ts', timestamp'2024-03-31 02:30:00.5', 'm', map('q', cast(7 as smallint)))) deep
 union all select 2, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null
 union all select 3, 0, cast(0 as smallint), cast(0 as tinyint), false, cast(-0.25 as float), 0D, 0, 0, '__HIVE_DEFAULT_PARTITION__', 'NULL', 'abcde',
 cast('0' as binary), date'1970-01-01', timestamp'2038-01-19 03:14:08', array(0), map('', 0), named_struct('a', null, 'bc', ''), null"""
ROWS: list[Row] = [
    {
        "id": 1, "i": -2147483648, "si": -32768, "ti": 127, "b": True, "f": 1.5, "d": 1e300, "de": Decimal("-12345678901234.5678"),
        "big": Decimal("9999999999999999999999999999.0123456789"), "s": 'grün\t"x"', "vc": "vc", "ch": "ab   ", "bin": b"bytes",
        "dt": date(9999, 12, 31), "ts": datetime(1969, 12, 31, 23, 59, 59), "arr": [1, None, 3], "m": [["a", None], ["k", 1]],
        "st": {"a": 1, "bc": "x"}, "deep": [[datetime(2024, 3, 31, 2, 30, 0, 500000), [["q", 7]]]],
    },
    {"id": 2, **dict.fromkeys(("i", "si", "ti", "b", "f", "d", "de", "big", "s", "vc", "ch", "bin", "dt", "ts", "arr", "m", "st", "deep"))},
    {
        "id": 3, "i": 0, "si": 0, "ti": 0, "b": False, "f": -0.25, "d": 0.0, "de": Decimal("0.0000"), "big": Decimal("0E-10"),
        "s": "__HIVE_DEFAULT_PARTITION__", "vc": "NULL", "ch": "abcde", "bin": b"0", "dt": date(1970, 1, 1), "ts": datetime(2038, 1, 19, 3, 14, 8),
        "arr": [0], "m": [["", 0]], "st": {"a": None, "bc": ""}, "deep": None,
    },
]  # fmt: skip
PLACES: dict[int, tuple[str | None, int | None]] = {1: ("a b/c=%d'\\", 7), 2: (None, 7), 3: ("x", None)}


def settled(rows: list[Row]) -> list[Row]:
    found = []
    for row in rows:
        deep = row.get("deep")
        flat = [[item["ts"], mapped({"m": item["m"]}, "m")["m"]] for item in deep] if deep else deep
        found.append({**mapped(row, "m"), **({"deep": flat} if "deep" in row else {})})
    return found


def test_every_type_of_every_format_arrives_value_by_value(hive: Hive) -> None:
    hive.spark.sql(VALUES).createOrReplaceTempView("some")
    for kind in ("parquet", "orc", "avro"):
        hive.sql(f"create table {{db}}.{kind}_by ({COLUMNS}) partitioned by (ds string, n int) stored as {kind}")
        ds, n = ("case id " + " ".join(f"when {key} then {text}" for key, text in found.items()) + " end" for found in (
            {1: r"'a b/c=%d\'\\'", 2: "null", 3: "'x'"}, {1: "7", 2: "7", 3: "null"},
        ))  # fmt: skip
        hive.sql(f"insert into {{db}}.{kind}_by partition (ds, n) select *, {ds}, {n} from some")
    hive.sql(f"create table {{db}}.text_flat ({COLUMNS}) stored as textfile")
    hive.sql("insert into {db}.text_flat select * from some")
    before = {name: hive.fingerprint(name) for name in ("parquet_by", "orc_by", "avro_by", "text_flat")}
    ran = hive.ingest("*")
    assert (ran.code, ran.counts) == (0, {"selected": 4, "done": 4, "rows": 12})
    for name, found in outcomes(ran).items():
        wanted = [{**row, **dict(zip(("ds", "n"), PLACES[row["id"]], strict=True))} for row in ROWS] if name.endswith("_by") else ROWS
        assert found["way"] == "ctas"
        assert settled(hive.rows(f"{{db}}_iceberg.{name}")) == wanted, name
        # pyiceberg 0.12 reads a list of structs that is NULL as an empty one (_ArrowProjection.list drops the mask).
        lists = [{**row, "deep": row["deep"] or None} for row in by_pyiceberg(found["metadata_location"])]
        assert settled(lists) == wanted, name
        assert settled(by_duckdb(found["metadata_location"])) == wanted, name
        assert found["facts"]["check"]["equal"]
    assert {name: hive.fingerprint(name) for name in before} == before
    told = {column["column"]: column for column in outcomes(ran)["orc_by"]["facts"]["columns"]}
    assert (told["ts"]["iceberg"], told["ti"]["iceberg"], told["deep"]["iceberg"]) == (
        "timestamp", "int", "list<struct<ts: timestamp, m: map<string, int>>>",
    )  # fmt: skip
    assert ran.result["outputs"][0].keys() == {"url", "table", "metadata_location", "snapshot_id", "rows"}


def test_files_are_shared_where_that_is_safe_and_no_purge_reaches_them(hive: Hive, tmp_path: Any) -> None:
    for name, by in (("shared_by", "partitioned by (day date, price decimal(6,2), ok boolean)"), ("shared_flat", "")):
        hive.sql(f"create external table {{db}}.{name} (id bigint, s string, m map<string,int>) {by} stored as parquet location '{tmp_path}/{name}'")
    rows = "(1, 'a', map('k', 1)), (2, null, null), (3, 'c', map('z', null))"
    hive.sql(f"insert into {{db}}.shared_flat select * from values {rows}")
    by = "date'2024-02-29', cast(id + 0.5 as decimal(6,2)), if(id = 2, null, true)"
    hive.sql(f"insert into {{db}}.shared_by partition (day, price, ok) select *, {by} from (select * from values {rows} as t(id, s, m))")
    before = {name: hive.fingerprint(name) for name in ("shared_by", "shared_flat")}
    found = outcomes(hive.ingest("*"))
    assert {name: item["way"] for name, item in found.items()} == {"shared_by": "add_files", "shared_flat": "snapshot"}
    for name, item in found.items():
        assert "no byte is copied" in item["reason"]
        source = [mapped(row, "m") for row in hive.rows(f"{{db}}.{name}")]
        assert len(source) == 3
        assert [mapped(row, "m") for row in hive.rows(f"{{db}}_iceberg.{name}")] == source
        assert [mapped(row, "m") for row in by_pyiceberg(item["metadata_location"])] == source
        with pytest.raises(Exception, match="GC is disabled"):
            hive.sql(f"drop table {{db}}_iceberg.{name} purge")
    assert {name: hive.fingerprint(name) for name in before} == before
    hive.sql("drop table {db}_iceberg.shared_by")
    assert hive.fingerprint("shared_by") == before["shared_by"]


PARTITION_TYPES = {
    "ti": ("tinyint", "'-1'", -1), "si": ("smallint", "'2'", 2), "big": ("bigint", "'9223372036854775807'", 9223372036854775807),
    "de": ("decimal(6,2)", "'1.50'", Decimal("1.50")), "day": ("date", "'2024-02-29'", date(2024, 2, 29)),
    "ts": ("timestamp", "'2024-01-01 10:11:12'", datetime(2024, 1, 1, 10, 11, 12)), "ok": ("boolean", "'true'", True),
    "d": ("double", "'1.5'", 1.5), "ch": ("char(3)", "'a'", "a  "), "vc": ("varchar(4)", "'b{}'", "b{}"), "bin": ("binary", "'x'", b"x"),
}  # fmt: skip


def test_partition_columns_of_every_type(hive: Hive) -> None:
    by = ", ".join(f"{name} {kind}" for name, (kind, _, _) in PARTITION_TYPES.items())
    hive.sql(f"create table {{db}}.t (id int) partitioned by ({by}) stored as orc")
    values = ", ".join(f"cast({text} as {kind})" for kind, text, _ in PARTITION_TYPES.values())
    nulls = ", ".join("null" for _ in PARTITION_TYPES)
    hive.sql(f"insert into {{db}}.t partition ({', '.join(PARTITION_TYPES)}) select 1, {values} union all select 2, {nulls}")
    wanted = [{"id": 1, **{name: value for name, (_, _, value) in PARTITION_TYPES.items()}}, {"id": 2, **dict.fromkeys(PARTITION_TYPES)}]
    first = hive.one("t")
    assert first["outcome"] == "done", first["reason"]
    assert hive.rows("{db}_iceberg.t") == wanted
    assert by_pyiceberg(first["metadata_location"]) == wanted
    [file] = [path for path in hive.location("t").rglob("*") if path.is_file() and "ok=true" in str(path) and not path.name.startswith((".", "_"))]
    orc.write_table(pa.table({"id": pa.array([3], pa.int32())}), file.with_name("more"))
    second = hive.one("t")
    assert second["facts"]["partitions"]["changed"]["count"] == 1
    assert [row["id"] for row in hive.arrived("t")] == [1, 2, 3]


def test_the_next_run_does_only_what_changed_and_says_what(hive: Hive, tmp_path: Any) -> None:
    hive.sql("create table {db}.own (id bigint, s string) partitioned by (day string) stored as orc")
    hive.sql(f"create external table {{db}}.shared (id bigint, s string) partitioned by (day string) stored as parquet location '{tmp_path}/shared'")
    for name in ("own", "shared"):
        for number, (s, day) in enumerate(zip("abcd", ("mon", "tue", "wed", "thu"), strict=True), 1):
            hive.insert(name, {"id": [number], "s": [s]}, day)
    hive.ingest("*")
    assert {name: item["outcome"] for name, item in outcomes(hive.ingest("*")).items()} == {"own": "unchanged", "shared": "unchanged"}
    for name in ("own", "shared"):
        hive.insert(name, {"id": [5], "s": ["e"]}, "fri")
        hive.insert(name, {"id": [6], "s": pa.array([None], pa.string())}, "__HIVE_DEFAULT_PARTITION__")
        [file] = (hive.location(name) / "day=mon").iterdir()
        file.unlink()
        hive.insert(name, {"id": [10], "s": ["z"]}, "mon")
        hive.drop_partition(name, "tue")
        hive.sql(f"alter table {{db}}.{name} add columns (more int comment 'new')")
        hive.insert(name, {"id": [7], "s": ["g"], "more": pa.array([1], pa.int32())}, "thu")
    found = outcomes(hive.ingest("*"))
    was = {3: ("c", "wed"), 4: ("d", "thu"), 5: ("e", "fri"), 6: (None, None), 7: ("g", "thu"), 10: ("z", "mon")}
    wanted = [{"id": number, "s": was[number][0], "more": 1 if number == 7 else None, "day": was[number][1]} for number in (10, 3, 4, 5, 6, 7)]
    for name, item in found.items():
        assert item["outcome"] == "done", item["reason"]
        assert hive.rows(f"{{db}}_iceberg.{name}") == wanted
        assert by_pyiceberg(item["metadata_location"]) == wanted
    hive.insert("own", {"id": [8], "s": ["h"], "more": pa.array([2], pa.int32())}, "sat")
    hive.drop_partition("own", "wed")
    told = hive.one("own", dropped="keep")["facts"]["partitions"]
    assert told == {
        "new": {"count": 1, "done": "added", "first": ["day=sat"]}, "dropped": {"count": 1, "done": "kept", "first": ["day=wed"]}, "unchanged": 4,
    }  # fmt: skip
    assert [row["id"] for row in hive.arrived("own")] == [10, 3, 4, 5, 6, 7, 8]
    hive.sql("alter table {db}_iceberg.own unset tblproperties ('portal.state')")
    looked = hive.one("own")
    assert looked["facts"]["partitions"] == {"dropped": {"count": 1, "done": "deleted", "first": ["day=wed"]}, "unchanged": 5}
    assert [row["id"] for row in hive.arrived("own")] == [10, 4, 5, 6, 7, 8]


def test_what_cannot_be_brought_over_is_told_with_its_reason(hive: Hive) -> None:
    hive.sql("create view {db}.seen as select 1 x")
    hive.sql("create table {db}.acid (x int) clustered by (x) into 2 buckets stored as orc tblproperties ('transactional'='true')")
    hive.sql("create table {db}.headed (x int) stored as textfile tblproperties ('skip.header.line.count'='1')")
    hive.sql("create table {db}.odd (x int, u interval day to second) using parquet")
    hive.sql("create table {db}.ice (x int) using iceberg")
    hive.sql("create table {db}.good (x int) stored as orc")
    hive.sql("create namespace if not exists {db}_iceberg")
    ran = hive.ingest("*", "nothing_like_*", "absent")
    assert (ran.code, ran.result["outcome"]) == (3, "partial")
    assert ran.counts == {"selected": 7, "done": 1, "excluded": 5, "failed": 1}
    reasons = {name: item["reason"] for name, item in outcomes(ran).items() if item["outcome"] == "excluded"}
    for name, said in {"seen": "is a view", "acid": "ACID", "headed": "skip.header", "odd": "intervals", "ice": "migrate_iceberg takes it"}.items():
        assert said in reasons[name]
        assert any(f".{name} is excluded" in warning for warning in ran.result["warnings"])
    assert ran.result["report"]["arrived"] == [f"{hive.db}_iceberg.good"]
    assert ran.result["report"]["undone"] == [f"{hive.db}.absent"]
    assert hive.tables() == ["good"]


def test_a_table_that_is_there_and_not_ours_is_left_alone(hive: Hive) -> None:
    hive.sql("create table {db}.t (x int) stored as orc")
    for make in ("create table {db}_iceberg.t (y int) stored as orc", "create table {db}_iceberg.t (y int) using iceberg"):
        hive.sql("create database if not exists {db}_iceberg")
        hive.sql(make)
        ran = hive.ingest("t")
        assert (ran.code, ran.error["retryable"]) == (1, False)
        assert "is there already" in ran.error["message"]
        hive.sql("drop table {db}_iceberg.t purge")
    ran = hive.ingest("t", target_namespace="{db}")
    assert "is there already: a table of Hive" in ran.error["message"]


def test_a_dry_run_makes_nothing_and_without_a_warehouse_tables_go_where_hives_go(hive: Hive) -> None:
    hive.sql("create table {db}.t (x int, ts timestamp) stored as orc")
    hive.insert("t", {"x": pa.array([1], pa.int32())})
    ran = hive.ingest("t", job=hive.context(dry_run=True))
    [told] = ran.result["report"]["plan"]
    assert (told["way"], told["load"], told["files"], told["exists"]) == ("ctas", 1, 1, False)
    assert "written anew as Parquet" in told["reason"]
    assert f"{hive.db}_iceberg" not in [row[0] for row in hive.sql("show databases")]
    (hive.home / "connections.toml").write_text(f'[bare]\nkind = "catalog"\nuri = "{hive.metastore.uri}"\n')
    made = outcomes(hive.ingest("t", catalog="bare"))["t"]
    assert made["location"] == f"file:{hive.metastore.warehouse}/{hive.db}_iceberg.db/t", "where Hive's own tables are, not where Spark was started"


def wrong_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is loaded from now on has other values in s."""
    add = Loader._add

    def wrong(self: Loader, units: Any, mark: str) -> None:
        each = tuple(replace(column, expression="'wrong'") if column.name == "s" else column for column in self.columns.each)
        add(replace(self, columns=replace(self.columns, each=each)), units, mark)

    monkeypatch.setattr(Loader, "_add", wrong)


def test_what_is_not_equal_is_never_seen(hive: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    hive.sql("create table {db}.t (id int, s string) partitioned by (p int) stored as orc")
    for number, s in ((1, "a"), (2, "b")):
        hive.insert("t", {"id": pa.array([number], pa.int32()), "s": [s]}, str(number))
    for then, left in (("drop", []), ("keep", ["t__ingesting_run1"])):
        with monkeypatch.context() as patched:
            wrong_rows(patched)
            ran = hive.ingest("t", on_mismatch=then)
        assert (ran.code, ran.error["retryable"]) == (1, False)
        assert "2 of 2 partitions differ in s (p=1: 1 rows at the source, 1 at the target; p=2" in ran.error["message"]
        assert hive.tables() == left
    assert "t__ingesting_run1 was kept" in hive.ingest("t").result["warnings"][0]
    before = hive.arrived("t")
    assert [row["s"] for row in before] == ["a", "b"]
    for number, s, p in ((3, "c", "2"), (4, "d", "4")):
        hive.insert("t", {"id": pa.array([number], pa.int32()), "s": [s]}, p)
    for then, left in (("drop", ["main"]), ("keep", ["main", "portal_run4"])):
        with monkeypatch.context() as patched:
            wrong_rows(patched)
            assert "differ in s" in hive.ingest("t", on_mismatch=then).error["message"]
        assert hive.arrived("t") == before
        assert hive.refs("t") == left


def test_where_files_are_not_what_they_seem_the_rows_are_written_anew(hive: Hive, tmp_path: Any) -> None:
    """Hive finds columns whatever their case, Iceberg does not: sharing would have made NULL of every value."""
    (tmp_path / "camel").mkdir()
    pq.write_table(pa.table({"Id": pa.array([1], pa.int32()), "CamelCase": ["a"]}), tmp_path / "camel" / "a.parquet")
    hive.sql(f"create external table {{db}}.t (id int, camelcase string) stored as parquet location '{tmp_path}/camel'")
    found = hive.one("t")
    assert (found["outcome"], found["way"]) == ("done", "ctas")
    assert "snapshot was tried, and: " in found["reason"]
    assert by_pyiceberg(found["metadata_location"]) == [{"id": 1, "camelcase": "a"}]


def test_partitions_of_one_meaning_and_of_several_formats_are_read_as_hive_does(hive: Hive) -> None:
    hive.sql("create table {db}.t (id int) partitioned by (p int) stored as parquet")
    hive.insert("t", {"id": pa.array([1], pa.int32())}, "7")
    hive.sql("create table {db}.orcs (id int) stored as orc")
    hive.insert("orcs", {"id": pa.array([2], pa.int32())})
    with Metastore.of(CatalogConnection(uri=hive.metastore.uri)) as client:
        [known] = client._ask("look", lambda wire: wire.client.get_partitions(hive.db, "t", -1))
        orcs = client._ask("look", lambda wire: wire.client.get_table(hive.db, "orcs"))
        for text in ("007", "abc"):
            known.values, known.sd = [text], orcs.sd
            client._ask("add", lambda wire: wire.client.add_partition(known))
    found = hive.one("t")
    assert found["outcome"] == "done", found["reason"]
    assert hive.rows("{db}_iceberg.t") == [{"id": 1, "p": 7}, {"id": 2, "p": 7}, {"id": 2, "p": None}]


class Died(BaseException):
    """The process ended here."""


NEW = {
    "the table was made": (Target, "create"), "a batch was loaded": (Loader, "_add"), "the other batch was loaded": (Loader, "_add"),
    "the state was written": (Target, "write_file"), "it was remembered": (Ingestion, "_remember"), "it was renamed": (Target, "rename"),
}  # fmt: skip
LATER = {
    "the branch was begun": (Target, "begin_branch"), "a batch was loaded": (Loader, "_add"), "the branch landed": (Target, "land"),
    "it was remembered": (Ingestion, "_remember"), "the branch was removed": (Target, "remove_branch"),
}  # fmt: skip
"""What an ingestion writes, in order: each attempt gets one step further than the one before it. Batches and state are the same code in both."""


def dies_after(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> None:
    whole = getattr(kind, name)

    def dying(*given: Any, **named: Any) -> Any:
        whole(*given, **named)
        raise Died

    monkeypatch.setattr(kind, name, dying)


def test_killed_at_any_step_nothing_is_half_seen_and_the_next_attempt_goes_on(hive: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.lake.ingesting.loading.MOST_UNITS", 1)
    hive.sql("create table {db}.t (id bigint) partitioned by (p int) stored as orc")
    wanted: list[Row] = []
    for number, (steps, more) in enumerate(((NEW, {1: 1, 2: 2}), (LATER, {3: 3, 30: 1}))):
        for key, p in more.items():
            hive.insert("t", {"id": [key]}, str(p))
        before, wanted = wanted, sorted([*wanted, *({"id": key, "p": p} for key, p in more.items())], key=lambda row: str(row["id"]))
        is_seen = False
        for attempt, (step, (kind, name)) in enumerate(steps.items(), 1):
            job = hive.context(job_id=f"job{number}", attempt=attempt)
            with monkeypatch.context() as patched, pytest.raises(Died):
                dies_after(patched, kind, name)
                hive.ingest("t", job=job)
            is_seen = step in ("it was renamed", "the branch landed") or is_seen
            assert (hive.arrived("t") if "t" in hive.tables() else []) == (wanted if is_seen else before), step
        final = hive.ingest("t", job=hive.context(job_id=f"job{number}", attempt=len(steps) + 1))
        assert (final.code, final.counts.get("unchanged")) == (0, 1)
        assert hive.arrived("t") == wanted
        assert hive.tables() == ["t"]
        assert hive.refs("t") == ["main"]
        summaries = [snapshot.summary.additional_properties for snapshot in hive.target("t").snapshots() if snapshot.summary]
        marks = [summary["portal.batch"] for summary in summaries if "portal.batch" in summary]
        assert len(marks) == len(set(marks)) == 2 * (number + 1), "every batch was loaded, and none twice"
    assert hive.rows("{db}_iceberg.t") == wanted


@dataclass(frozen=True)
class Folders:
    """A Hadoop catalog, `folders`, as the target of table t: its namespace, and a file of others where its connection has new data files go."""

    hive: Hive
    namespace: Path
    others: Path

    def ingest(self, job_id: str, attempt: int = 1) -> Ran:
        return self.hive.ingest("t", job=self.hive.context(job_id=job_id, attempt=attempt), target_catalog="folders")

    def there(self) -> list[str]:
        return sorted(folder.name for folder in self.namespace.iterdir())


@pytest.fixture
def folders(hive: Hive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Folders:
    warehouse = hive.home / "data" / "lake"
    others = tmp_path / "others" / "file"
    others.parent.mkdir()
    others.touch()
    (hive.home / "connections.toml").write_text("".join(
        f'[{name}]\nkind = "catalog"\ntype = "hadoop"\nwarehouse = "{warehouse.as_uri()}"\n'
        f'properties = {{ "table-{kind}.write.data.path" = "{others.parent.as_uri()}" }}\n'
        for name, kind in (("folders", "default"), ("overridden", "override"))
    ))  # fmt: skip
    monkeypatch.setattr("portal.lake.ingesting.loading.MOST_UNITS", 1)
    hive.sql("create table {db}.t (id int, s string) partitioned by (p string) stored as textfile")
    hive.sql("insert into {db}.t partition (p) values (1, 'a', 'x'), (2, null, null)")
    return Folders(hive, warehouse / f"{hive.db}_iceberg", others)


def test_a_catalog_that_cannot_rename_has_nothing_of_a_table_that_is_not_equal(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        wrong_rows(patched)
        assert "differ in s" in folders.ingest("unequal").error["message"]
    assert folders.there() == []
    overridden = outcomes(folders.hive.ingest("t", target_catalog="overridden"))["t"]
    assert "Take table-override.write.data.path out" in overridden["reason"]
    assert (folders.there(), folders.others.exists()) == ([], True)


def test_who_is_too_late_in_a_catalog_that_cannot_rename_changes_nothing(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(self: Target, **named: Any) -> None:
        raise Died

    with monkeypatch.context() as patched, suppress(Died):
        wrong_rows(patched)
        patched.setattr(Target, "drop", dying)
        folders.ingest("slow")
    assert folders.there() == ["t__ingesting_slow"]
    write, made = Target.write_file, folders.namespace / "t"
    states: dict[Any, bytes] = {}
    faster: list[Row] = []

    def beaten(self: Target, *given: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Target, "write_file", write)
            faster.append(outcomes(folders.ingest("fast"))["t"])
        states.update({path: path.read_bytes() for path in (made / "portal").iterdir()})
        write(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Target, "write_file", beaten)
        assert "was made by somebody else meanwhile" in outcomes(folders.ingest("slow", 2))["t"]["reason"]
    assert [folder.name for folder in (made / "data").iterdir()] == ["ingesting_fast"]
    assert all(path.read_bytes() == data for path, data in states.items()), "who was too late changes nothing of what is there"
    assert (len(by_pyiceberg(faster[0]["metadata_location"])), bool(states)) == (2, True)


def test_a_catalog_that_cannot_rename_shows_a_table_once_its_rows_are_checked(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    hive, namespace = folders.hive, folders.namespace
    known = Connections.load(settings.load(hive.home))
    lake = open_catalog(known.get("catalog", "folders"), Files(known.get))

    def attempt(number: int, kind: Any, name: str) -> list[str]:
        with monkeypatch.context() as patched, suppress(Died):
            dies_after(patched, kind, name)
            folders.ingest("folders", number)
        assert lake.namespaces() == [(namespace.name,)]
        return [table.table for table in lake.tables((namespace.name,))]

    left = namespace / "t" / "data" / "ingesting_folders" / "left"
    left.parent.mkdir(parents=True)
    left.touch()
    assert attempt(1, Loader, "_add") == ["t__ingesting_folders"]
    assert (left.parent.exists(), left.exists()) == (True, False)
    assert attempt(2, Target, "write_file") == ["t__ingesting_folders"]
    become = landing.become

    def unmarked(staging: Target, target: Target, state: Any) -> None:
        become(staging, target, state)
        target.table().updateProperties().remove("portal.run").commit()
        source = f"'portal.source' = '{hive.db}.t', 'write.data.path' = '{folders.others.parent.as_uri()}'"
        hive.sql(f"create table {target.named('t__ingesting_forged').sql} (id int) using iceberg tblproperties ({source})")

    monkeypatch.setattr(table_module, "become", unmarked)
    assert attempt(3, table_module, "become") == ["t", "t__ingesting_folders", "t__ingesting_forged"]
    monkeypatch.setattr(table_module, "become", become)
    monkeypatch.setattr("portal.lake.ingesting.leftovers._OLD_MS", -1)
    found = outcomes(folders.ingest("folders", 4))["t"]
    assert found["outcome"] == "unchanged", found["reason"]
    assert folders.there() == ["t"]
    assert by_pyiceberg(found["metadata_location"]) == [{"id": 1, "s": "a", "p": "x"}, {"id": 2, "s": None, "p": None}]
    table = StaticTable.from_metadata(found["metadata_location"])
    marks = [snapshot.summary.additional_properties["portal.batch"][-2:] for snapshot in table.snapshots() if snapshot.summary]
    assert (marks, table.properties["write.data.path"]) == ([":0", ":1"], folders.others.parent.as_uri())
    assert folders.others.exists()
    hive.sql("alter table {db}.t drop partition (p='x')")
    kept = outcomes(hive.ingest("t", target_catalog="folders", dropped="keep"))["t"]
    assert (kept["outcome"], kept["facts"]["partitions"]["dropped"]["done"], kept["rows"]) == ("unchanged", "kept", 2)


def test_a_catalog_that_cannot_rename_shares_files_too(folders: Folders, tmp_path: Path) -> None:
    hive = folders.hive
    hive.sql(f"create external table {{db}}.shared (id bigint) partitioned by (p string) stored as parquet location '{tmp_path}/shared'")
    hive.add_partition("shared", ["x"], tmp_path / "a", 1, 2)
    hive.add_partition("shared", ["y"], tmp_path / "b", 3)
    shared = outcomes(hive.ingest("shared", target_catalog="folders"))["shared"]
    assert (shared["outcome"], shared["way"], shared["files"], shared["rows"]) == ("done", "add_files", 2, 3), shared["reason"]
    assert by_pyiceberg(shared["metadata_location"]) == [{"id": 1, "p": "x"}, {"id": 2, "p": "x"}, {"id": 3, "p": "y"}]
    assert not (folders.namespace / "shared" / "data").exists()


def test_partitions_are_what_spark_reads_in_their_texts(hive: Hive, tmp_path: Any) -> None:
    keys = "b boolean, i int, de decimal(5,2), d date, ts timestamp, s string"
    hive.sql(f"create external table {{db}}.t (id bigint) partitioned by ({keys}) stored as parquet location '{tmp_path}/t'")
    hive.add_partition("t", ["true", "1", "1.00", "2024-01-01", "2024-01-01 00:00:00", "x"], tmp_path / "a", 1)
    assert hive.one("t", way="ctas")["outcome"] == "done"
    hive.add_partition("t", ["1", "2.0", "2.345", "2024-1-5", "2024-01-02 03:04", "'q\""], tmp_path / "b", 2, 3)
    hive.add_partition("t", ["no", "x", "", "2024-01-02 00:00:00", "20240105", "\"y'"], tmp_path / "c", 4)
    found = hive.one("t", check="counts")
    assert (found["outcome"], found["rows"]) == ("done", 4), found["reason"]
    rows = hive.rows("{db}_iceberg.t")
    assert rows == hive.rows("{db}.t")
    assert [row["d"] for row in rows] == [date(2024, 1, 1), date(2024, 1, 5), date(2024, 1, 5), date(2024, 1, 2)]
    assert (rows[3]["i"], rows[3]["de"], rows[3]["s"]) == (None, None, "\"y'")
    assert hive.one("t")["outcome"] == "unchanged"


def test_a_partition_whose_rows_nobody_finds_fails_and_one_without_rows_does_not(
    hive: Hive, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    hive.sql(f"create external table {{db}}.t (id bigint) partitioned by (p int) stored as parquet location '{tmp_path}/t'")
    hive.add_partition("t", ["1"], tmp_path / "a", 1)
    assert hive.one("t", way="ctas")["rows"] == 1
    hive.add_partition("t", ["2"], tmp_path / "b", 2)
    with monkeypatch.context() as patched:
        patched.setattr("portal.lake.ingesting.planning.meanings", lambda spark, column, texts: {text: {"2": None}.get(text, text) for text in texts})
        found = hive.one("t")
    assert found["outcome"] == "failed"
    assert "p=NULL has files" in found["reason"]
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), tmp_path / "b" / "2.parquet")
    assert [hive.one("t")["outcome"] for _ in range(2)] == ["done", "unchanged"]
    assert hive.arrived("t") == [{"id": 1, "p": 1}]


def test_partitions_that_share_a_folder_change_together_and_one_that_moves_is_read_where_it_is(hive: Hive, tmp_path: Any) -> None:
    hive.sql(f"create external table {{db}}.t (id bigint) partitioned by (p string) stored as parquet location '{tmp_path}/t'")
    hive.add_partition("t", ["one"], tmp_path / "x", 1)
    hive.add_partition("t", ["two"], tmp_path / "x")
    assert hive.one("t", way="ctas")["rows"] == 2
    hive.sql(f"create external table {{db}}.u (id bigint) partitioned by (p string) stored as parquet location '{tmp_path}/u'")
    hive.add_partition("u", ["one"], tmp_path / "y", 1)
    assert hive.one("u")["way"] == "add_files"
    (tmp_path / "y").rename(tmp_path / "z")
    hive.sql(f"alter table {{db}}.u partition (p='one') set location 'file://{tmp_path}/z'")
    pq.write_table(pa.table({"id": [2]}), tmp_path / "x" / "2.parquet")
    found = outcomes(hive.ingest("t", "u"))
    moved = found["u"]
    assert found["t"]["rows"] == 4
    assert hive.arrived("t") == hive.rows("{db}.t")
    assert moved["outcome"] == "done", moved["reason"]
    assert by_pyiceberg(moved["metadata_location"]) == [{"id": 1, "p": "one"}]


def test_a_target_that_somebody_wrote_to_or_rolled_back_becomes_what_the_source_is(hive: Hive, tmp_path: Any) -> None:
    hive.sql("create table {db}.own (id bigint) partitioned by (p string) stored as parquet")
    hive.sql(f"create external table {{db}}.shared (id bigint) partitioned by (p string) stored as parquet location '{tmp_path}/shared'")
    for name in ("own", "shared"):
        for p in (0, 1):
            hive.insert(name, {"id": [p, p + 2]}, str(p))
    first = outcomes(hive.ingest("*"))
    for name in first:
        hive.sql(f"update {{db}}_iceberg.{name} set id = 99, p = '7' where id = 1")
        hive.insert(name, {"id": [50]}, "0")
    wanted = [{"id": number, "p": str(number % 2)} for number in (0, 1, 2, 3, 50)]
    assert {name: item["outcome"] for name, item in outcomes(hive.ingest("*")).items()} == dict.fromkeys(first, "done")
    for name, item in first.items():
        assert hive.arrived(name) == wanted
        hive.sql(f"call spark_catalog.system.rollback_to_snapshot('{hive.db}_iceberg.{name}', {item['snapshot_id']})")
    assert {name: item["rows"] for name, item in outcomes(hive.ingest("*")).items()} == dict.fromkeys(first, 5)
    assert {name: item["outcome"] for name, item in outcomes(hive.ingest("*")).items()} == dict.fromkeys(first, "unchanged")
    for name in first:
        assert hive.arrived(name) == wanted


def test_a_partition_that_was_kept_and_comes_back_is_there_once(hive: Hive, tmp_path: Any, in_new_york: None) -> None:
    """Also when partitions are moments."""
    hive.sql(f"create external table {{db}}.t (id bigint) partitioned by (at timestamp) stored as parquet location '{tmp_path}/t'")
    for number, name in enumerate("ab"):
        hive.add_partition("t", [f"2024-07-0{number + 1} 23:30:00"], tmp_path / name, number)
    asked = {"way": "ctas", "timestamps": "with_zone", "dropped": "keep"}
    hive.one("t", **asked)
    hive.drop_partition("t", "2024-07-02 23:30:00")
    assert hive.one("t", **asked)["rows"] == 2
    hive.add_partition("t", ["2024-07-02 23:30:00"], tmp_path / "b", 5)
    back = hive.one("t", **asked)
    assert (back["outcome"], back["rows"]) == ("done", 3), back["reason"]
    pq.write_table(pa.table({"id": [6, 7]}), tmp_path / "b" / "5.parquet")
    hive.sql("alter table {db}_iceberg.t unset tblproperties ('portal.state')")
    looked = hive.one("t", **{**asked, "dropped": "delete"})
    assert looked["facts"]["partitions"]["changed"]["first"] == ["at=2024-07-02 23:30:00"], looked["reason"]
    days = [datetime(2024, 7, day, 23, 30, tzinfo=UTC) for day in (1, 2)]
    assert hive.arrived("t") == [{"id": 0, "at": days[0]}, *({"id": number, "at": days[1]} for number in (1, 6, 7))]


def test_a_partition_that_appears_meanwhile_and_a_race_that_is_lost_are_told_and_may_be_tried_again(
    hive: Hive, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    hive.sql("create table {db}.t (id bigint) partitioned by (p string) stored as parquet")
    hive.insert("t", {"id": [1]}, "a")
    load, rename = Loader.load, Target.rename

    def slow(self: Loader, *given: Any) -> None:
        load(self, *given)
        hive.insert("t", {"id": [2]}, "b")

    with monkeypatch.context() as patched:
        patched.setattr(Loader, "load", slow)
        found = hive.one("t")
    assert found["retryable"]
    assert "The source changed meanwhile" in found["reason"]

    def beaten(self: Target, name: str) -> Target:
        monkeypatch.setattr(Target, "rename", rename)
        assert outcomes(hive.ingest("t", job=hive.context(job_id="faster")))["t"]["outcome"] == "done"
        return rename(self, name)

    monkeypatch.setattr(Target, "rename", beaten)
    found = outcomes(hive.ingest("t", job=hive.context(job_id="slower")))["t"]
    assert found["retryable"]
    assert "was made by somebody else meanwhile" in found["reason"]
    assert hive.tables() == ["t"]
