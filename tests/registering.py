"""What the tests of registering share: Snowflake that is let into the tests' storage account, and tables on it that pyiceberg made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from embedded import adls_io
from portal.connections import Connections
from portal.warehouse import Warehouse
from tests import iceberg_tables
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, SNOWFLAKE_PASSWORD, SNOWFLAKE_USER, Server
from tests.transferring import Clouds, Ran

DATABASE = "LAKE"
TENANT = "11111111-2222-3333-4444-555555555555"


@dataclass
class Lake:
    """One test's container, its tables, its schema at Snowflake, and the engine."""

    clouds: Clouds
    base: Any
    """pyiceberg's catalog, whose tables lie in the container."""
    warehouse: Warehouse
    schema: str

    def table(self, name: str, **options: Any) -> Any:
        return iceberg_tables.table(self.base, name, **options)

    def register(self, **params: Any) -> Ran:
        how = {"catalog": "made", "database": DATABASE, "schema_name": self.schema, "volume": f"V_{self.schema}", "create_volume": True,
               "azure_tenant_id": TENANT, "create_integration": True}  # fmt: skip
        return self.clouds.run("register_snowflake", params.pop("job", None), **{**how, **params})

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.warehouse.query(sql.replace("HERE", f'{DATABASE}."{self.schema}"')).rows


@pytest.fixture(scope="module")
def let_in(snowflake_server: Server, adls_server: Server) -> Server:
    """Snowflake, let into the tests' storage account."""
    assert snowflake_server.root
    known = {ADLS_ACCOUNT: {"url": f"{adls_server.url}/{ADLS_ACCOUNT}", "key": ADLS_KEY}}
    (snowflake_server.root / "storage.json").write_text(json.dumps(known))
    return snowflake_server


@pytest.fixture
def lake(clouds: Clouds, let_in: Server, adls_server: Server, unique: str) -> Iterator[Lake]:
    schema = unique.upper()
    lines = {
        "ACCOUNT": "fakesnow", "USER": SNOWFLAKE_USER, "PASSWORD": SNOWFLAKE_PASSWORD, "HOST": "127.0.0.1", "PORT": let_in.port, "PROTOCOL": "http",
        "DATABASE": DATABASE, "SCHEMA": schema,
    }  # fmt: skip
    with (clouds.home / ".env").open("a") as file:
        file.writelines(f"SNOWFLAKE_{name}={value}\n" for name, value in lines.items())
    warehouse = f"abfss://{unique}@{ADLS_ACCOUNT}.dfs.core.windows.net/wh"
    properties = {"py-io-impl": "embedded.adls_io.BoxIO", adls_io.ENDPOINT: f"{adls_server.url}/{ADLS_ACCOUNT}", adls_io.KEY: ADLS_KEY}
    base = iceberg_tables.catalog(clouds.home / "data", warehouse, **properties)
    uri = f"sqlite:///{clouds.home / 'data' / 'catalog.db'}"
    iceberg_tables.connections(clouds.home, f'[made]\nkind = "catalog"\ntype = "sql"\nuri = "{uri}"\nwarehouse = "{warehouse}"')
    with Warehouse.connect(Connections.load(clouds.config).get("snowflake")) as session:
        yield Lake(clouds, base, session, schema)
    base.engine.dispose()
