"""The whole chain by real means: a metastore, a worker, Spark, ADLS and Snowflake; a table that fails is brought after the others by a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector
from pyiceberg.catalog.sql import SqlCatalog

from embedded import processes
from embedded.commands import Commands
from portal import settings
from portal.connections import Connections
from portal.lake import looking
from portal.lake.table_name import TableName
from portal.stores.opening import open_account
from tests import iceberg_tables, lake_hive_tables
from tests.conftest import box_variables
from tests.lake import Metastore, lake_variables, metastore
from tests.registering import let_in
from tests.servers import ADLS_ACCOUNT, SNOWFLAKE_PASSWORD, SNOWFLAKE_USER, Server
from tests.spark_cluster import small

__all__ = ["let_in", "metastore"]

_STEPS = ("ingest_hive", "migrate_iceberg", "register_snowflake")


@pytest.fixture
def portal(
    home: Path, metastore: Metastore, s3_server: Server, adls_server: Server, snowflake_server: Server, let_in: Any, unique: str
) -> Iterator[Commands]:
    """A portal with a worker, whose default catalog is Hive's; `azure` is the catalog of the copies."""
    spark = small(SPARK_MASTER="local[1]")
    variables = {**box_variables(s3_server, adls_server, snowflake_server), **lake_variables(metastore), **spark, "PORTAL_POLL_S": "0.3"}
    variables |= {"PORTAL_LOCAL_ROOTS": f"{home / 'data'}:{metastore.warehouse}", "PORTAL_MAX_ATTEMPTS": "1", "PORTAL_WARM": "0"}
    with (home / ".env").open("a") as env:
        env.writelines(f"{name}={value}\n" for name, value in variables.items())
    iceberg_tables.connections(
        home, f'[azure]\nkind = "catalog"\ntype = "sql"\nuri = "sqlite:///{home}/azure.db"\nwarehouse = "abfss://{unique}@{ADLS_ACCOUNT}/warehouse"'
    )
    open_account(Connections.load(settings.load(home)).get("adls")).create_container(unique)
    made = Commands(home, processes.clean_environment(PORTAL_WARM="0"))
    worker = made.start_worker()
    yield made
    made.cancel_everything()
    processes.stop([worker])


def states(told: dict[str, Any]) -> dict[str, list[str]]:
    return {entry["table"].partition(".")[2]: [entry["steps"][step]["state"] for step in _STEPS] for entry in told["tables"]}


def in_snowflake(server: Server, schema: str, table: str) -> int:
    connection = snowflake.connector.connect(
        account="fakesnow", user=SNOWFLAKE_USER, password=SNOWFLAKE_PASSWORD, host="127.0.0.1", port=server.port, protocol="http", database="PORTAL",
        schema=schema, session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        row: Any = cursor.execute(f"select count(*) from {table}").fetchone()
        return int(row[0])


@pytest.mark.timeout(400)  # Spark starts once; a minute on a machine that does nothing else
def test_tables_go_from_hive_to_snowflake_and_one_that_fails_is_brought_after_them(
    portal: Commands, metastore: Metastore, adls_server: Server, snowflake_server: Server, unique: str
) -> None:
    uri, folder = metastore.uri, metastore.warehouse / unique
    lake_hive_tables.database(uri, unique, folder)
    lake_hive_tables.table(uri, f"{unique}.orders", folder / "orders", days=3)
    lake_hive_tables.table(uri, f"{unique}.lines", folder / "lines")
    lake_hive_tables.view(uri, f"{unique}.latest", "select 1")
    azure = SqlCatalog("default", uri=f"sqlite:///{portal.home}/azure.db", **iceberg_tables.adls_properties(adls_server))
    foreign = f"{unique}_iceberg.lines"
    azure.create_namespace(f"{unique}_iceberg")
    azure.create_table(foreign, iceberg_tables.SCHEMA, location=(portal.home / "data" / "foreign").as_uri())

    schema = unique.upper()
    given = (
        "ingest.check=counts", "migrate.target_catalog=azure", f"register.schema_name={schema}", "register.create_schema=true",
        "register.create_volume=true", "register.create_integration=true", "register.azure_tenant_id=00000000-0000-0000-0000-000000000000",
    )  # fmt: skip
    words = [word for text in given for word in ("--set", text)]
    told = portal.json("lake", "chain", f"{unique}.*", *words, "--wait", check=False)
    assert told["state"] == "partial" and [step["state"] for step in told["steps"]] == ["succeeded", "partial", "succeeded"], told
    assert states(told) == {"orders": ["done"] * 3, "lines": ["done", "failed", "held"], "latest": ["excluded", "held", "held"]}

    azure.drop_table(foreign)
    told = portal.json("lake", "restart", told["chain"], "--wait", check=False)
    assert told["state"] == "succeeded" and [len(step["jobs"]) for step in told["steps"]] == [1, 2, 2], told
    assert states(told) == {"orders": ["done", "unchanged", "unchanged"], "lines": ["done"] * 3, "latest": ["excluded", "held", "held"]}
    rows = {entry["table"].partition(".")[2]: [step["outcome"].get("rows") for step in entry["steps"].values()] for entry in told["tables"]}
    assert rows["orders"] == [30, 30, 30] and rows["lines"] == [10, 10, 10]

    arrived = azure.load_table(f"{unique}_iceberg.orders").scan().to_arrow()
    assert arrived.num_rows == 30 and sorted(set(arrived["day"].to_pylist())) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    azure.engine.dispose()
    assert [in_snowflake(snowflake_server, schema, table) for table in ("ORDERS", "LINES")] == [30, 10]

    known = Connections.load(settings.load(portal.home))
    listed = {str(item.name).partition(".")[2]: item for item in looking.described(known, "", looking.names(known, "", unique))}
    assert (listed["orders"].what, listed["latest"].what) == ("external parquet by day", "view")
    assert listed["orders"].on_files and not listed["latest"].on_files
    names = [TableName((f"{unique}_iceberg",), table) for table in ("lines", "orders")]
    there = looking.where(known, "", "azure", {name: name for name in names})
    assert {str(name.table): (found.behind, found.compared) for name, found in there.items()} == {"lines": (0, True), "orders": (0, True)}
    assert looking.registered(known, "", "PORTAL", schema) == {"ORDERS", "LINES"}
    assert portal.json("lake", "tables", f"{unique}.l*") == [
        {"table": f"{unique}.latest", "what": "view", "iceberg": False, "on_files": False},
        {"table": f"{unique}.lines", "what": "external parquet", "iceberg": False, "on_files": True},
    ]  # fmt: skip
