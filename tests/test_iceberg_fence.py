"""A table's metadata can name any file that a job's connection reads: what goes over is the table's own, and what whoever runs the job allows."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from portal.connections import Connections, LocalConnection
from portal.errors import NotFound
from portal.lake.iceberg.fence import Fence
from portal.lake.iceberg.files import Files
from portal.lake.iceberg.history import History
from portal.lake.iceberg.paths import identity, read_path
from portal.lake.iceberg.refusals import TableRefused
from portal.lake.iceberg.walk import walk
from portal.stores.base import Store
from portal.stores.opening import open_account, open_store
from portal.stores.url import StoreURL
from tests import iceberg_tables
from tests.iceberg_copies import quiet
from tests.iceberg_lake import Lake, between_folders
from tests.iceberg_tables import rows
from tests.servers import ADLS_ACCOUNT, Server
from tests.transferring import Clouds, keys, put

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda key: "." not in key)


@pytest.fixture
def lake(clouds: Clouds, s3_server: Server) -> Iterator[Lake]:
    """From a bucket to a container."""
    home, warehouse = clouds.home, f"abfss://{clouds.name}@{ADLS_ACCOUNT}.dfs.core.windows.net/wh"
    iceberg_tables.two_catalogs(home, warehouse)
    base = iceberg_tables.catalog(home / "old", f"{clouds.bucket}/wh", **iceberg_tables.s3_properties(s3_server))
    target = iceberg_tables.catalog(home / "lake", "")
    yield Lake(home, base, target, warehouse, clouds.s3, clouds.adls)
    base.engine.dispose()
    target.engine.dispose()


@pytest.fixture
def other(clouds: Clouds) -> Iterator[Store]:
    """A bucket that the same connection reads, with somebody's file in it."""
    account = open_account(Connections.load(clouds.config).get("s3"))
    name = f"{clouds.name}-other"
    account.create_container(name)
    store = account.store(name)
    data = io.BytesIO()
    parquet.write_table(rows(900, 5), data)
    for key in ("pay/roll.parquet", "pay/list.parquet"):
        put(store, key, data.getvalue())
    yield store
    store.close()


def test_a_file_of_another_bucket_goes_over_only_when_that_is_allowed(lake: Lake, other: Store) -> None:
    made, base = lake.table(snapshots=1), str(other.url)
    made.add_files([f"{base}pay/roll.parquet", f"{base}pay/list.parquet"])
    for allowed in ((), (f"{base}paid/",), (f"{base}pa",), ("s3://a-third-one/",)):
        ran = lake.run(elsewhere=list(allowed))
        assert ran.code == 1 and "2 of the table's files lie outside" in ran.error["message"], ran.error
        assert f"{base}pay/list.parquet" in ran.error["message"] and "elsewhere" in ran.error["hint"] and not ran.error["retryable"]
    assert not keys(lake.store), "something was copied"
    for dry in (True, False):
        ran = lake.run(job=lake.context(dry_run=dry), elsewhere=[f"{base}pay/"])
        assert ran.code == 0, ran.error
        told = ran.result["report"]["tables"][0]["facts"]["elsewhere"]
        assert [(one["container"], one["files"]) for one in told] == [(base, 2)]
        assert any(f"2 files ({told[0]['bytes']:,} bytes) come from {base}" in text for text in ran.result["warnings"])
    assert ran.counts["files"] == 3


def test_what_metadata_says_of_its_own_place_is_not_believed(lake: Lake, other: Store) -> None:
    """Neither `location` nor `write.data.path`: whoever names a file can write those too."""
    base = str(other.url)
    made = lake.table(snapshots=1, properties={"write.data.path": f"{base}data"})
    place = read_path(made.metadata_location)
    told = json.loads(lake.source.open_read(place.key).read())
    fresh = place.key.replace("00001", "00007")
    put(lake.source, fresh, json.dumps({**told, "location": f"{base}table"}).encode())
    with lake.base.engine.begin() as change:
        change.execute(sqlalchemy.text("UPDATE iceberg_tables SET metadata_location = :new"), {"new": str(place.at(fresh))})
    ran = lake.run()
    assert ran.code == 1 and "1 of the table's files lie outside" in ran.error["message"], ran.error
    assert lake.run(elsewhere=[base]).code == 0


@pytest.mark.parametrize("what", ["manifest lists", "manifests", "files"])
def test_what_lies_outside_is_not_even_opened(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = iceberg_tables.catalog(tmp_path, (tmp_path / "wh").as_uri())
    made = iceberg_tables.table(base, "sales.orders", snapshots=1)
    base.engine.dispose()
    lists = made.snapshots()[0].manifest_list
    lost = {"manifest lists": lists, "manifests": made.snapshots()[0].manifests(made.io)[0].manifest_path}.get(what)
    lost = lost or next(iter(made.scan().plan_files())).file.file_path
    opened: list[StoreURL] = []

    def store(url: StoreURL) -> Store:
        opened.append(url)
        return open_store(url, LocalConnection(roots=(str(tmp_path),)))

    def moved(path: str) -> StoreURL:
        return StoreURL.parse("s3://somebodys/file") if path == lost else read_path(path)

    monkeypatch.setattr("portal.lake.iceberg.walk.read_path", moved)
    with pytest.raises(TableRefused, match=f"1 of the table's {what} .* s3://somebodys/file"):
        walk(Files(store), made.metadata_location, History(), tmp_path, quiet, workers=1)
    assert {url.scheme for url in opened} == {"file"}


def test_a_failure_is_tried_again_when_the_source_has_moved_on(home: Path) -> None:
    with between_folders(home) as here:
        made = here.table()
        for task in made.scan().plan_files():
            Path(task.file.file_path.removeprefix("file://")).unlink()
        ran = here.run()
        assert ran.code == 1 and not ran.error["retryable"], "the table is damaged"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("portal.lake.catalogs.sql.SqlTables.metadata_location", _moving_on(made.metadata_location))
            ran = here.run()
        assert ran.code == 1 and ran.error["retryable"], "its files were expired meanwhile"


def _moving_on(first: str) -> Any:
    """A catalog's answers: a table's metadata as it was, and after that a newer one."""
    asked: list[str] = []

    def metadata_location(self: Any, name: Any) -> str:
        if "/lake/" in self.label:
            raise NotFound("none yet")
        asked.append(str(name))
        return first if len(asked) == 1 else first.replace("0000", "0009")

    return metadata_location


@given(KEYS, KEYS)
def test_only_what_is_within_is_held(key: str, folder: str) -> None:
    fence = Fence("s3a://own/t/metadata/v1.metadata.json", [StoreURL.parse("s3://other").at(folder), StoreURL.parse("abfss://c@account/x")])
    held = [f"s3://own/{key}", f"s3n://own/{key}", f"s3://other/{folder.rstrip('/')}/{key}", f"abfs://c@account.dfs.core.windows.net/x/{key}"]
    assert all(fence.holds(identity(read_path(path))) for path in held)
    out = [f"s3://own2/{key}", f"s3://own/a/../{key}", f"s3://own/{key}/..", f"s3://own/../{key}", f"abfss://c@other/x/{key}", f"abfss://c@account/x2/{key}",
           f"s3://other/{folder.rstrip('/')}2/{key}", f"file:///own/{key}", f"abfss://own@account/{key}"]  # fmt: skip
    assert not any(fence.holds(identity(read_path(path))) for path in out)
