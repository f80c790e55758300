"""Iceberg tables go to another store with their history: what arrives is what was there, again and again, whatever ends a run before its end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.transforms import IdentityTransform

from portal import settings
from portal.connections import CatalogConnection, Connections
from portal.context import JobContext
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.opening import open_catalog
from portal.lake.iceberg.comparing import compare
from portal.lake.iceberg.paths import read_path
from tests import iceberg_tables
from tests.iceberg_lake import Lake, between_folders
from tests.iceberg_tables import rows
from tests.servers import ADLS_ACCOUNT, Server
from tests.transferring import Clouds, keys, put

HOST = f"{ADLS_ACCOUNT}.dfs.core.windows.net"


@pytest.fixture
def lake(clouds: Clouds, s3_server: Server, adls_server: Server) -> Iterator[Lake]:
    """From S3 to ADLS."""
    home, warehouse = clouds.home, f"abfss://{clouds.name}@{HOST}/wh"
    iceberg_tables.two_catalogs(home, warehouse)
    base = iceberg_tables.catalog(home / "old", f"{clouds.bucket}/wh", **iceberg_tables.s3_properties(s3_server))
    target = iceberg_tables.catalog(home / "lake", "", **iceberg_tables.adls_properties(adls_server))
    yield Lake(home, base, target, warehouse, clouds.s3, clouds.adls)
    base.engine.dispose()
    target.engine.dispose()


@pytest.fixture
def here(home: Path) -> Iterator[Lake]:
    with between_folders(home) as found:
        yield found


def test_a_table_arrives_with_every_snapshot(lake: Lake) -> None:
    made = lake.table(snapshots=3)
    made.manage_snapshots().create_tag(made.snapshots()[0].snapshot_id, "first").commit()
    with made.update_schema() as change:
        change.add_column("note", iceberg_tables.string_type())
    ran = lake.run(check="rows")
    assert ran.code == 0, ran.error
    lake.equal()
    assert ran.counts == {"selected": 1, "done": 1, "rows": 30, "files": 3, "snapshots": 3}
    told = ran.result["report"]["tables"][0]
    assert told["target"] == "sales.orders" and ran.result["report"]["arrived"] == ["sales.orders"]
    assert told["location"] == f"{lake.warehouse}/sales/orders"
    assert told["metadata_location"] == lake.arrived().metadata_location
    assert told["snapshot_id"] == str(lake.arrived().metadata.current_snapshot_id)
    assert ran.result["outputs"][0]["rows"] == 30
    assert {row["outcome"] for row in ran.table} == {"copied"} and {row["proof"] for row in ran.table} <= {"end-to-end", "streamed"}
    assert lake.arrived().schema() == lake.base.load_table("sales.orders").schema()
    lines = (ran.job.folder / "tables.ndjson").read_text().splitlines()
    assert json.loads(lines[0])["outcome"] == "done"


def test_a_second_run_brings_what_is_new_and_a_third_nothing(lake: Lake) -> None:
    made = lake.table()
    assert lake.run().code == 0
    made.append(rows(100, 5))
    made.delete("id < 3")
    with made.transaction() as change:
        change.set_properties({"owner": "etl"})
    ran = lake.run()
    assert ran.code == 0, ran.error
    lake.equal()
    assert ran.counts["snapshots"] == len(made.snapshots()) - 2
    assert ran.counts["files"] == 2, "the new file, and the one that was written over"
    assert lake.arrived().properties["owner"] == "etl"
    before = lake.files()
    again = lake.run()
    assert again.counts == {"selected": 1, "unchanged": 1, "rows": 22}
    assert lake.files() == before
    assert again.result["report"]["arrived"] == ["sales.orders"]


def test_a_file_that_was_written_over_at_the_target_is_brought_again_whatever_it_says_of_itself(lake: Lake) -> None:
    """Of the same size, and one of them with the mark that our copy had; in a catalog whose metadata files are its own."""
    made = lake.table()
    iceberg_tables.connections(lake.home, f'[other]\nkind = "catalog"\ntype = "hadoop"\nwarehouse = "{lake.warehouse}"')
    assert lake.run(target_catalog="other").code == 0
    written = max(info.modified for info in map(lake.store.stat, lake.files()) if info.modified)
    while datetime.now(UTC) < written + timedelta(seconds=1):  # ADLS tells whole seconds
        time.sleep(0.05)
    damaged = [key for key in lake.files() if key.endswith(".parquet")]
    for key, kept in zip(damaged, (True, False), strict=True):
        info = lake.store.stat(key)
        with lake.store.open_write(key, overwrite=True, metadata=info.metadata if kept else {}) as writer:
            writer.write(bytes(info.size_bytes))
            writer.commit()
    ran = lake.run(target_catalog="other")
    reason = ran.result["report"]["tables"][0]["reason"]
    assert ran.code == 0 and "2 files, the first" in reason and "was written over at" in reason, reason
    assert {row["outcome"] for row in ran.table} == {"copied"}
    for file in made.scan().plan_files():
        path = file.file.file_path
        ours, = (key for key in damaged if key.endswith(path.rpartition("/")[2]))
        with lake.store.open_read(ours) as copy, lake.source.open_read(read_path(path).key) as source:
            assert copy.read() == source.read()
    assert lake.run(target_catalog="other").counts["unchanged"] == 1


def test_less_of_the_history_goes_over_when_told(here: Lake) -> None:
    made = here.table(snapshots=4)
    snapshots = [one.snapshot_id for one in made.snapshots()]
    ran = here.run(history="current")
    assert [one.snapshot_id for one in here.arrived().snapshots()] == snapshots[-1:], ran.result
    assert here.arrived().scan().to_arrow().num_rows == 40
    assert here.run(history=f"since {snapshots[1]}").code == 0
    assert [one.snapshot_id for one in here.arrived().snapshots()] == snapshots[1:]
    assert here.run().code == 0
    here.equal()


def test_a_table_that_fails_holds_up_no_other(lake: Lake) -> None:
    lake.table("sales.good")
    broken = lake.table("sales.bad")
    lost = next(iter(broken.scan().plan_files())).file.file_path
    lake.source.delete(lost.split("/", 3)[3])
    ran = lake.run("sales.*", "sales.none", "other.*")
    assert ran.code == 3
    assert ran.counts == {"selected": 3, "done": 1, "failed": 2, "rows": 20, "files": 2, "snapshots": 2}
    reasons = {one["table"]: one["reason"] for one in ran.result["report"]["tables"]}
    assert lost.rpartition("/")[2] in reasons["sales.bad"] and "1 of the table's files cannot be read" in reasons["sales.bad"]
    assert "no table sales.none" in reasons["sales.none"]
    assert ran.result["report"]["undone"] == ["sales.bad", "sales.none"]
    assert lake.target.list_tables("sales") == [("sales", "good")], "half a table is known to a catalog"
    assert not lake.files("sales/bad/"), "files were moved for a table that cannot be whole"
    assert "other.*" in ran.result["warnings"][0]
    failed = lake.run("sales.bad")
    assert failed.code == 1 and "None of 1 tables" in failed.error["message"]


def test_another_table_at_the_target_stays(here: Lake) -> None:
    here.table()
    assert here.run().code == 0
    here.base.drop_table("sales.orders")
    here.table(location=(here.home / "data" / "again").as_uri())
    ran = here.run()
    assert ran.code == 1 and "another table" in ran.error["message"]
    here.target.drop_table("sales.orders")
    ran = here.run()
    assert ran.code == 1 and "the folder of another table" in ran.error["message"], ran.error


def test_a_table_that_was_changed_at_the_target_stays(here: Lake) -> None:
    made = here.table()
    assert here.run().code == 0
    here.arrived().append(rows(500, 1))
    made.append(rows(600, 1))
    ran = here.run()
    assert ran.code == 1 and "was changed" in ran.error["message"]
    assert here.arrived().scan().to_arrow().num_rows == 21


def test_two_tables_of_one_name_do_not_become_one(here: Lake) -> None:
    here.table("north.orders")
    here.table("south.orders")
    ran = here.run("*.orders", target_namespace="all")
    assert ran.code == 3 and ran.counts["done"] == 1
    assert ran.result["report"]["arrived"] == ["all.orders"]
    ran = here.run("*.orders", target_namespace="{db}_azure")
    assert ran.result["report"]["arrived"] == ["north_azure.orders", "south_azure.orders"]


def test_no_table_goes_into_the_folder_of_another_nor_by_its_name_in_other_letters(here: Lake) -> None:
    """Who may write to the outer one could name files of the inner one its own, and have them written over."""
    for name in ("north.orders", "north.orders.lines", "north.Orders"):
        here.table(name, snapshots=1, location=(here.home / "data" / "made" / name).as_uri())
    ran = here.run("north.orders", "north.orders.lines", "north.Orders")
    assert ran.code == 3 and ran.counts["done"] == 1
    reasons = {one["table"]: one["reason"] for one in ran.result["report"]["tables"] if one["outcome"] == "failed"}
    assert "in that of north.Orders" in reasons["north.orders.lines"] and "would be called north.orders" in reasons["north.orders"], reasons


def test_a_dry_run_writes_nothing_and_tells_what_would_be_done(lake: Lake) -> None:
    lake.table(snapshots=2)
    lake.target.engine.dispose()
    (lake.home / "lake" / "catalog.db").unlink()
    ran = lake.run(job=lake.context(dry_run=True))
    assert ran.code == 0, ran.error
    assert not lake.files()
    assert not (lake.home / "lake" / "catalog.db").exists()
    told = ran.result["report"]["tables"][0]
    assert (told["files"], told["snapshots"]) == (2, 2) and told["facts"]["files_by_kind"] == {"data": 2}
    assert next(iter(ran.result["report"]["transfers"].values()))["actions"]["copy"]["objects"] == 2
    assert not ran.result["outputs"]


def test_nothing_that_is_meant_is_an_error(here: Lake) -> None:
    here.table()
    ran = here.run("nothing.*")
    assert ran.code == 1 and ran.error["type"] == "NothingMatched"
    for wrong in ({"tables": ["orders`"]}, {"history": "some"}, {"tables": []}):
        assert here.run(**wrong).code == 2


def test_files_in_several_buckets_find_a_place(lake: Lake) -> None:
    made = lake.table(properties={"write.data.path": f"{lake.source.url}elsewhere/data"})
    ran = lake.run()
    assert ran.code == 0, ran.error
    lake.equal()
    assert made.scan().to_arrow().num_rows == 20
    assert lake.arrived().properties["write.data.path"].startswith(lake.warehouse)


def test_the_source_is_never_written_to(lake: Lake) -> None:
    lake.table()
    before = {key: lake.source.stat(key).etag for key in keys(lake.source)}
    rows_before = (lake.home / "old" / "catalog.db").read_bytes()
    assert lake.run().code == 0
    assert {key: lake.source.stat(key).etag for key in keys(lake.source)} == before
    assert (lake.home / "old" / "catalog.db").read_bytes() == rows_before


@pytest.mark.parametrize("kind", ["rest", "hadoop"])
def test_other_catalogs_take_tables_and_what_is_new_of_them(lake: Lake, kind: str, adls_server: Server, tmp_path: Path) -> None:
    made = lake.table()
    with iceberg_tables.rest_server(tmp_path / "rest", adls_server) as server:
        place = f'uri = "{server.url}"\ntoken = "{iceberg_tables.REST_TOKEN}"' if kind == "rest" else ""
        text = f'[other]\nkind = "catalog"\ntype = "{kind}"\nwarehouse = "{lake.warehouse}"\n{place}\n'
        iceberg_tables.connections(lake.home, text)
        fields = {"type": kind, "warehouse": lake.warehouse, **({"uri": server.url, "token": iceberg_tables.REST_TOKEN} if kind == "rest" else {})}
        lookup = Connections.load(settings.load(lake.home)).get
        for number in (1, 2):
            ran = lake.run(target_catalog="other", target=lake.warehouse)
            assert ran.code == 0, ran.error
            files = Files(lookup)
            catalog = open_catalog(CatalogConnection(**fields), files)
            place = catalog.metadata_location(iceberg_tables.name_of("sales.orders"))
            assert ran.result["report"]["tables"][0]["metadata_location"] == place
            told = json.loads(files.read(place))
            assert len(told["snapshots"]) == number + 1
            now = made.metadata
            shape = (now.current_schema_id, now.default_spec_id, now.default_sort_order_id)
            assert tuple(told[name] for name in ("current-schema-id", "default-spec-id", "default-sort-order-id")) == shape
            assert (len(told["schemas"]), len(told["partition-specs"])) == (len(now.schemas), len(now.partition_specs))
            catalog.close()
            files.close()
            if number == 1:
                made.update_schema().add_column("more", iceberg_tables.string_type()).commit()
                made.update_spec().add_field("name", IdentityTransform(), "by_name").commit()
                made.update_sort_order().asc("id", IdentityTransform()).commit()
            made.append(rows(number * 100, 1))
        assert lake.run(target_catalog="other").counts["done"] == 1
        assert lake.run(target_catalog="other").counts["unchanged"] == 1


def test_its_own_folder_is_no_target(here: Lake) -> None:
    here.table()
    ran = here.run(target=(here.home / "data" / "old" / "sales" / "orders" / "copy").as_uri(), target_namespace="n")
    assert ran.code == 1 and "one is within the other" in json.dumps(ran.result), ran.result


def test_a_file_that_is_not_what_its_manifest_says_fails_the_table(here: Lake) -> None:
    made = here.table()
    put(here.source, read_path(next(iter(made.scan().plan_files())).file.file_path).key, b"cut off")
    ran = here.run()
    assert ran.code == 1 and "has 7 bytes, and its manifest says" in ran.error["message"]
    assert not here.files()


def test_another_attempt_tells_of_the_tables_of_the_first_one_too(here: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    here.table("sales.a")
    here.table("sales.b")
    job = here.context()
    with monkeypatch.context() as patch:
        patch.setattr("portal.lake.migrating.table.compare", _fails_at(2))
        first = here.run(job=job)
    assert first.counts["done"] == first.counts["failed"] == 1
    assert "testing-secret" not in json.dumps(first.result) and "not known" in first.result["report"]["tables"][1]["reason"]
    second = here.run(job=JobContext(job.job_id, job.folder, settings.load(here.home), attempt=2))
    assert second.counts == {"selected": 2, "done": 2, "rows": 40, "files": 4, "snapshots": 4}
    assert len(second.table) == 4
    here.equal("sales.a")
    here.equal("sales.b")


def _fails_at(number: int) -> Any:
    calls = iter(range(1, 100))

    def compared(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise ZeroDivisionError("testing-secret")
        return compare(*arguments, **options)

    return compared
