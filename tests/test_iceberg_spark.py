"""Tables that Spark wrote, with rows deleted in every way of the format, written for another place and read there by Spark and pyiceberg."""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal import settings
from portal.lake.iceberg.refusals import TableRefused
from portal.lake.spark.session import spark_session
from tests import iceberg_tables
from tests.iceberg_copies import Copying
from tests.iceberg_equality import applied, upsert
from tests.spark_cluster import small

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # pyspark leaves them to the collector

ROWS = "select id, cast(id % 3 as int) g, concat('s', id) s, cast(id as decimal(12,2)) d, timestamp_micros(id * 1000003) ts, array(id, id + 1) more"


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Runs a statement in a small session without Hive; the catalogs `old` and `new` are two folders below `run.root`."""
    root = tmp_path_factory.mktemp("iceberg")
    conf = {"spark.sql.shuffle.partitions": "2", "spark.sql.adaptive.enabled": "false", "spark.sql.session.timeZone": "UTC"}
    for name in ("old", "new"):
        catalog = f"spark.sql.catalog.{name}"
        conf |= {catalog: "org.apache.iceberg.spark.SparkCatalog", f"{catalog}.type": "hadoop", f"{catalog}.warehouse": f"file://{root}/{name}"}
        conf[f"{catalog}.cache-enabled"] = "false"
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in small(SPARK_MASTER="local[2]").items():
            patch.setenv(variable, value)
        with spark_session(settings.load(root), app="tests", conf=conf) as session:

            def run(statement: str) -> Any:
                return session.sql(statement).collect()

            run.root = root  # type: ignore[attr-defined]
            yield run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def make(sql: Any, name: str, **properties: str) -> None:
    """Appended to, deleted from twice, updated, compacted in its metadata, tagged."""
    told = {"format-version": "2", "write.delete.mode": "merge-on-read", "write.update.mode": "merge-on-read", **properties}
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in told.items())
    sql(f"create table old.n.{name} using iceberg partitioned by (g) tblproperties ({listed}) as {ROWS} from range(0, 300, 1, 1)")
    sql(f"delete from old.n.{name} where id between 20 and 50")
    sql(f"insert into old.n.{name} {ROWS} from range(300, 450, 1, 1)")
    sql(f"alter table old.n.{name} create tag early as of version {snapshots(sql, name)[1]}")
    sql(f"update old.n.{name} set s = 'u' where id % 7 = 0")


def snapshots(sql: Any, name: str) -> list[int]:
    return [row[0] for row in sql(f"select snapshot_id from old.n.{name}.snapshots order by committed_at")]


def seen(sql: Any, table: str, snapshot: int) -> Any:
    """What Spark reads: how many rows, and a sum over all values."""
    return sql(f"select count(*), sum(xxhash64(id, g, s, d, ts, more)) from {table} version as of {snapshot}")


def current(folder: Path) -> str:
    newest = max(folder.glob("v*.metadata.json"), key=lambda path: int(path.name[1:].partition(".")[0]))
    return newest.as_uri().replace("file:///", "file:/")  # as Hadoop writes it


def copied(sql: Any, name: str, history: str = "all") -> Copying:
    """Bring a table from `old` to `new`, the source out of reach when the target is read."""
    (sql.root / f"jobs-{name}-{history[:5]}").mkdir()
    copying = Copying(sql.root, current(sql.root / "old" / "n" / name / "metadata"), target=f"new/n/{name}", job=f"jobs-{name}-{history[:5]}")
    copying.walk(history)
    copying.move()
    copying.rewrite()
    place = Path(copying.written.metadata_location.removeprefix("file://"))
    shutil.copy(place, place.with_name("v1.metadata.json"))
    return copying


def same_for_spark(sql: Any, name: str, ids: list[int]) -> None:
    """Read both, the target while the source is away."""
    expected = [seen(sql, f"old.n.{name}", snapshot) for snapshot in ids]
    away = (sql.root / "old").rename(sql.root / "away")
    try:
        assert [seen(sql, f"new.n.{name}", snapshot) for snapshot in ids] == expected
    finally:
        away.rename(sql.root / "old")


@pytest.mark.parametrize(("name", "properties", "deletes"), [
    ("files", {"write.delete.granularity": "file"}, "position_deletes"),
    ("partitions", {"write.delete.granularity": "partition"}, "position_deletes"),
    ("vectors", {"format-version": "3"}, "deletion_vectors"),
    ("avro", {"write.delete.format.default": "avro", "write.delete.avro.compression-codec": "zstd"}, "position_deletes"),
])  # fmt: skip
def test_deleted_rows_stay_deleted_in_every_snapshot(sql: Any, name: str, properties: dict[str, str], deletes: str) -> None:
    make(sql, name, **properties)
    sql(f"call old.system.rewrite_manifests('n.{name}')")
    ids = snapshots(sql, name)
    copying = copied(sql, name)
    assert copying.walked.inventory.totals()[deletes][0] > 0
    compared = copying.compare()
    assert [one.snapshot_id for one in compared] == ids and compared[-1].counts.delete_files > 0
    same_for_spark(sql, name, ids)
    unread = [one.unread for one in compared if one.rows is None]
    assert (bool(unread), all("AVRO" in why for why in unread)) == (name == "avro", True), "pyiceberg reads no deletes in Avro, and says so"
    copying.close()


def test_the_target_lives_on_in_spark(sql: Any) -> None:
    """After the test above: new deletes, compaction of data and of deletes, expiry, the tag."""
    for name in ("partitions", "vectors"):
        sql(f"delete from new.n.{name} where id % 5 = 0")
        sql(f"insert into new.n.{name} select * from new.n.{name} limit 5")
        sql(f"call new.system.rewrite_data_files(table => 'n.{name}', options => map('rewrite-all', 'true'))")
        sql(f"call new.system.rewrite_position_delete_files(table => 'n.{name}', options => map('rewrite-all', 'true'))")
        expected = sql(f"select count(*) from old.n.{name} where id % 5 != 0")[0][0] + 5
        assert sql(f"select count(*) from new.n.{name}")[0][0] == expected
        assert sql(f"select count(*) from new.n.{name} version as of 'early'")[0][0] == 300 - 31


def test_a_history_that_was_cut_is_a_table_to_spark(sql: Any) -> None:
    make(sql, "cut")
    ids = snapshots(sql, "cut")
    copying = copied(sql, "cut", f"since {ids[2]}")
    copying.compare()
    same_for_spark(sql, "cut", ids[2:])
    assert [row[0] for row in sql("select snapshot_id from new.n.cut.snapshots order by committed_at")] == ids[2:]
    assert [row[0] for row in sql("select name from new.n.cut.refs")] == ["main"] and len(sql("select * from new.n.cut.history")) == 2
    sql(f"call new.system.rollback_to_snapshot('n.cut', {ids[2]})")
    sql("call new.system.expire_snapshots(table => 'n.cut', older_than => timestamp '2100-01-01', retain_last => 1)")
    assert seen(sql, "new.n.cut", ids[2]) == seen(sql, "old.n.cut", ids[2])
    copying.close()


def test_deletes_in_orc_are_refused_before_anything_is_moved(sql: Any) -> None:
    properties = "'write.delete.mode' = 'merge-on-read', 'write.delete.format.default' = 'orc'"
    sql(f"create table old.n.orc using iceberg tblproperties ({properties}) as {ROWS} from range(0, 30, 1, 1)")
    sql("delete from old.n.orc where id = 3")
    copying = Copying(sql.root, current(sql.root / "old" / "n" / "orc" / "metadata"), target="new/n/orc", job="jobs-orc")
    with pytest.raises(TableRefused, match="position deletes in ORC"):
        copying.walk()
    assert not (sql.root / "new" / "n" / "orc").exists()
    copying.close()


def test_equality_deletes_take_the_same_rows_on_both_sides(sql: Any) -> None:
    """As Flink writes them. Spark, and DuckDB over the files alone, agree about what is left."""
    base = iceberg_tables.catalog(sql.root / "flink", f"file://{sql.root}/old")
    made = iceberg_tables.table(base, "n.flink", snapshots=1, properties={"format-version": "2"})
    upsert(made, 5, 8)
    place = Path(made.metadata_location.removeprefix("file://"))
    shutil.copy(place, place.with_name("v1.metadata.json"))
    copying = copied(sql, "flink")
    assert [one.files for one in copying.compare()] == [0, 3]
    left = applied(made, made.snapshots()[-1].snapshot_id)
    for name in ("old", "new"):
        assert sorted(tuple(row) for row in sql(f"select id, name, day from {name}.n.flink")) == left
    assert len(left) == 12
    copying.close()
    base.engine.dispose()
