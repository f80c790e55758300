"""Files of Hive that others wrote: what their values mean is what arrives, or the table is refused with the reason."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hive_metastore.ttypes import Partition

from tests.ingesting import SOCKETS_OF_PYSPARK, Hive, hive, mapped
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
