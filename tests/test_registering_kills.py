"""A killed job of registering: after each statement that changes something the next attempt goes on, and nobody ever sees a table half made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from portal.errors import PortalError
from portal.warehouse import Warehouse
from tests import iceberg_tables
from tests.registering import Lake, lake, let_in
from tests.test_register_snowflake import put_rows
from tests.transferring import Ran

__all__ = ["lake", "let_in"]

CHANGES = ("CREATE", "ALTER", "DROP")


class Killed(BaseException):
    """What no engine can catch and go on from."""


class Deaths:
    """Kills the session after its next change, as often as it is told to; keeps every change that was made."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.armed = False

    def query(self, warehouse: Warehouse, whole: Any, sql: str, *given: Any, **how: Any) -> Any:
        answer = whole(warehouse, sql, *given, **how)
        if sql.startswith(CHANGES):
            self.made.append(sql)
            if self.armed:
                raise Killed
        return answer


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deaths]:
    found, whole = Deaths(), Warehouse.query
    monkeypatch.setattr(Warehouse, "query", lambda warehouse, sql, *given, **how: found.query(warehouse, whole, sql, *given, **how))
    yield found


def until_done(lake: Lake, deaths: Deaths, seen: Any, **params: Any) -> tuple[Ran, list[str]]:
    """Run attempts, each of which dies after its first change, until nothing is left to change."""
    made: list[str] = []
    for _ in range(12):
        deaths.made, deaths.armed = [], True
        try:
            return lake.register(**params), made
        except Killed:
            deaths.armed = False
            seen()
            made += deaths.made
            if made[-1].startswith("ALTER EXTERNAL TABLE"):  # every attempt refreshes it: there is nothing else left to do
                return lake.register(**params), made
    raise AssertionError(f"it does not end: {made}")


def shown(lake: Lake, table: str) -> int | None:
    """Rows that anybody would read of a table now; None: there is none."""
    try:
        return int(lake.ask(f"select count(*) from HERE.{table}")[0][0])
    except PortalError:
        return None


def kinds(made: list[str]) -> list[str]:
    return [" ".join(sql.partition(' "')[0].partition(" IF ")[0].split()) for sql in made]


def test_a_job_that_dies_after_any_change_is_gone_on_with(lake: Lake, deaths: Deaths) -> None:
    table = lake.table("sales.orders")
    put_rows(lake, "raw/a=1/x.parquet", pa.table({"id": [1, 2, 3]}))
    what = {"tables": ["sales.orders"], "folders": [f"flights={lake.clouds.lake}/raw/"], "create_schema": True, "schema_name": f"{lake.schema}_K"}
    what["integration"] = f"I_{lake.schema}"  # the usual one may be there: another test's
    lake.schema = f"{lake.schema}_K"
    states: list[tuple[int | None, int | None]] = []

    def see() -> None:
        states.append((shown(lake, "orders"), shown(lake, "flights")))

    ran, made = until_done(lake, deaths, see, **what)
    assert ran.code == 0 and ran.result["counts"]["failed"] == 0, ran.result["error"]
    assert kinds(made) == [
        "CREATE SCHEMA", "CREATE EXTERNAL VOLUME", "CREATE CATALOG INTEGRATION", "CREATE ICEBERG TABLE", "CREATE STORAGE INTEGRATION", "CREATE STAGE",
        "CREATE EXTERNAL TABLE", "ALTER EXTERNAL TABLE",
    ], "each once"  # fmt: skip
    assert set(states) <= {(None, None), (20, None), (20, 3)}, "a table that is there has all its rows"

    table.append(iceberg_tables.rows(100, 5))
    put_rows(lake, "raw/a=2/x.parquet", pa.table({"id": [4], "more": [1]}))
    states.clear()
    ran, made = until_done(lake, deaths, see, **what)
    assert ran.code == 0 and kinds(made) == ["ALTER ICEBERG TABLE", "CREATE OR REPLACE EXTERNAL TABLE", "ALTER EXTERNAL TABLE"]
    assert list(dict.fromkeys(states)) == [(25, 3), (25, 4)], "the old one or the right one"

    put_rows(lake, "other/y.parquet", pa.table({"id": [9, 9]}))
    other = lake.table("other.orders", snapshots=1)
    states.clear()
    what |= {"tables": ["other.orders"], "folders": [f"flights={lake.clouds.lake}/other/"], "existing": "replace"}
    ran, made = until_done(lake, deaths, see, **what)
    assert ran.code == 0 and kinds(made) == [
        "CREATE OR REPLACE ICEBERG TABLE", "CREATE STAGE", "CREATE OR REPLACE EXTERNAL TABLE", "ALTER EXTERNAL TABLE",
    ]  # fmt: skip
    assert list(dict.fromkeys(states)) == [(10, 4), (10, 2)], "the stage of the old table is left alone until nothing hangs on it"
    outputs = {item["table"].rpartition(".")[2]: item["rows"] for item in ran.result["outputs"]}
    assert outputs == {"ORDERS": 10, "FLIGHTS": 2} and other.metadata_location in {item["metadata_location"] for item in ran.result["outputs"]}


def test_what_another_job_makes_at_the_same_moment_is_taken_as_it_is(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just before each table and stage is created, another job has created the same."""
    lake.table("sales.orders", snapshots=1)
    put_rows(lake, "raw/x.parquet", pa.table({"id": [1]}))
    assert lake.register(tables=["sales.orders"], folders=[f"first={lake.clouds.lake}/raw/"]).code == 0, "the ways to the files are there"
    lake.ask("drop iceberg table HERE.orders")
    whole, raced = Warehouse.query, []

    def query(self: Warehouse, sql: str, *given: Any, **how: Any) -> Any:
        if sql.startswith(("CREATE ICEBERG TABLE", "CREATE STAGE", "CREATE EXTERNAL TABLE")) and sql not in raced:
            raced.append(sql)
            whole(self, sql)
        return whole(self, sql, *given, **how)

    monkeypatch.setattr(Warehouse, "query", query)
    ran = lake.register(tables=["sales.orders"], folders=[f"flights={lake.clouds.lake}/raw/"])
    assert ran.code == 0 and ran.result["counts"]["unchanged"] == 2 and len(raced) == 3, ran.result["error"]
