"""What the tests of registering share: Snowflake that is let into the tests' storage account, and tables on it that pyiceberg made."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pyiceberg import manifest
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate

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


class _Deletes(manifest.ManifestWriterV2):
    """pyiceberg writes manifests of data only."""

    def content(self) -> manifest.ManifestContent:
        return manifest.ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


def delete_positions(table: Any, positions: list[int], **changes: Any) -> None:
    """Commit deletes of rows of a table's first data file, as merge-on-read engines write them; `changes` make the entry say something else."""
    snapshot, snapshot_id = table.current_snapshot(), random.getrandbits(62)
    path = next(iter(table.scan().plan_files())).file.file_path
    rows = pa.table({"file_path": [path] * len(positions), "pos": pa.array(positions, pa.int64())})
    data = io.BytesIO()
    parquet.write_table(rows, data)
    base = f"{table.location()}/metadata/{snapshot_id}"
    with table.io.new_output(f"{base}-deletes.parquet").create() as file:
        file.write(data.getvalue())
    entry = manifest.DataFile.from_args(
        2, **{
            "content": manifest.DataFileContent.EQUALITY_DELETES if "equality_ids" in changes else manifest.DataFileContent.POSITION_DELETES,
            "file_path": f"{base}-deletes.parquet", "file_format": manifest.FileFormat.PARQUET, "partition": manifest.Record(),
            "record_count": len(positions), "file_size_in_bytes": len(data.getvalue()), **changes,
        },
    )  # fmt: skip
    with _Deletes(table.spec(), table.schema(), table.io.new_output(f"{base}-m0.avro"), snapshot_id, "null") as writer:
        writer.add(manifest.ManifestEntry.from_args(status=manifest.ManifestEntryStatus.ADDED, snapshot_id=snapshot_id, data_file=entry))
    sequence = table.metadata.last_sequence_number + 1
    listed = table.io.new_output(f"{base}-list.avro")
    with manifest.write_manifest_list(2, listed, snapshot_id, snapshot.snapshot_id, sequence, "null") as list_writer:
        list_writer.add_manifests([*snapshot.manifests(table.io), writer.to_manifest_file()])
    made = Snapshot(
        snapshot_id=snapshot_id, parent_snapshot_id=snapshot.snapshot_id, sequence_number=sequence, timestamp_ms=snapshot.timestamp_ms + 1,
        manifest_list=f"{base}-list.avro", summary=Summary(Operation.DELETE), schema_id=table.schema().schema_id,
    )  # fmt: skip
    main = SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=snapshot_id)
    table.catalog.commit_table(table, (), (AddSnapshotUpdate(snapshot=made), main))


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
    base = iceberg_tables.catalog(clouds.home / "data", warehouse, **iceberg_tables.adls_properties(adls_server))
    uri = f"sqlite:///{clouds.home / 'data' / 'catalog.db'}"
    iceberg_tables.connections(clouds.home, f'[made]\nkind = "catalog"\ntype = "sql"\nuri = "{uri}"\nwarehouse = "{warehouse}"')
    with Warehouse.connect(Connections.load(clouds.config).get("snowflake")) as session:
        yield Lake(clouds, base, session, schema)
    base.engine.dispose()
