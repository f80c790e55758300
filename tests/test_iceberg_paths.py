"""Every file of a table has one name at the target, whatever its path looks like, and no two files have the same."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from portal.lake.iceberg.paths import Paths, identity, read_path, written_path
from portal.lake.iceberg.refusals import TableRefused
from portal.planning import names
from portal.stores.url import StoreURL

TARGET = StoreURL.parse("abfss://lake@account/copied/orders")
LOCATION = "s3://warehouse/db/orders"

PARTS = st.one_of(
    st.sampled_from(["elsewhere", "elsewhere_", "renamed", "data", "s3", "ds=2024-01-01 10%3A00", "a.", "..", ".", "", "x%2E", "\\", "%"]),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), max_size=8),
)
KEYS = st.lists(PARTS, min_size=1, max_size=5).map("/".join).filter(bool)
PLACES = st.sampled_from([
    f"{LOCATION}/", "s3a://warehouse/db/orders/", "s3://warehouse/db/orders2/", "s3://other/", "s3://warehouse/", "abfss://lake@account/", "file:/",
    "abfs://lake@account.dfs.core.windows.net/", "file:///", "/",
])  # fmt: skip


@given(st.lists(st.tuples(PLACES, KEYS).map("".join), min_size=2, max_size=12), st.sampled_from(["abfss://c@a/t", "s3://b/t", "file:///mnt/t"]))
def test_no_two_files_become_one_and_the_target_can_hold_every_name(paths: list[str], target: str) -> None:
    at = Paths(LOCATION, StoreURL.parse(target))
    files = {identity(read_path(path)): at.url(path) for path in paths}
    assert len({str(url) for url in files.values()}) == len(files)
    for url in files.values():
        assert not names.refusal(url.scheme, url.key), url
        assert url.key.startswith(at.target.key + "/")


@given(KEYS)
def test_one_file_has_one_name_however_its_path_is_written(key: str) -> None:
    at = Paths(LOCATION, TARGET)
    ways = [f"{scheme}://warehouse/db/orders/{key}" for scheme in ("s3", "s3a", "s3n", "S3")]
    assert len({at.name(way) for way in ways}) == 1
    ways = [f"{scheme}://c@acct{host}/{key}" for scheme in ("abfss", "abfs") for host in ("", ".dfs.core.windows.net")]
    assert len({at.name(way) for way in [*ways, f"wasbs://c@acct.blob.core.windows.net/{key}"]}) == 1
    assert len({at.name(way) for way in (f"file:/d/{key}", f"file:///d/{key}", f"/d/{key}")}) == 1


@given(KEYS)
@settings(suppress_health_check=[HealthCheck.filter_too_much])  # most keys that are made to be odd are such as the target cannot hold
def test_what_lies_below_the_location_keeps_its_name(key: str) -> None:
    assume(not key.startswith("elsewhere") and not names.refusal("abfss", f"copied/orders/{key}"))
    assert Paths(LOCATION, TARGET).name(f"{LOCATION}/{key}") == key


@pytest.mark.parametrize(("path", "name"), [
    (f"{LOCATION}/data/ds=2024-01-01+10%3A00/a.parquet", "data/ds=2024-01-01+10%3A00/a.parquet"),
    ("s3://warehouse/db/orders2/a.parquet", "elsewhere/s3/warehouse/db/orders2/a.parquet"),
    ("abfss://c@acct.dfs.core.windows.net/x/a", "elsewhere/abfss/acct/c/x/a"),
    ("file:/mnt/hive/a", "elsewhere/file/mnt/hive/a"),
    (f"{LOCATION}/elsewhere/s3/b/a", "elsewhere_/s3/b/a"),
    (f"{LOCATION}/data//a", "elsewhere/renamed/data/%/a"),
])  # fmt: skip
def test_names(path: str, name: str) -> None:
    at = Paths(LOCATION, TARGET)
    assert at.name(path) == name
    assert at.written(path) == f"abfss://lake@account.dfs.core.windows.net/copied/orders/{name}"


def test_a_table_that_was_migrated_can_be_migrated_again() -> None:
    """Twice elsewhere is still one place for each."""
    first = Paths(LOCATION, TARGET)
    outside, inside = first.written("s3://other/a"), first.written(f"{LOCATION}/elsewhere/s3/other/a")
    again = Paths(first.location, StoreURL.parse("s3://third/orders"))
    assert len({again.name(outside), again.name(inside), again.name("s3://other/a")}) == 3


@pytest.mark.parametrize("path", ["hdfs://nn:8020/wh/t/a", "gs://bucket/a", "wh/t/a", "s3://", "abfss://c/a", ""])
def test_what_no_store_of_ours_holds_is_refused(path: str) -> None:
    with pytest.raises(TableRefused):
        read_path(path)


def test_hdfs_is_refused_with_the_way_round() -> None:
    with pytest.raises(TableRefused, match="Hadoop file system") as refused:
        read_path("hdfs://nn:8020/wh/t/a")
    assert "ingest_hive" in refused.value.hint


@pytest.mark.parametrize("target", ["s3://warehouse/db/orders", "s3://warehouse/db/orders/copy", "s3://warehouse/db", "s3://warehouse/"])
def test_a_target_within_the_table_or_round_it_is_refused(target: str) -> None:
    with pytest.raises(TableRefused, match="one is within the other"):
        Paths("s3a://warehouse/db/orders/", StoreURL.parse(target))


def test_folders_of_properties() -> None:
    at = Paths(LOCATION, TARGET)
    assert at.folder(f"{LOCATION}/") == at.location == written_path(TARGET)
    assert at.folder("s3a://warehouse/db/orders/data") == f"{at.location}/data"
    assert at.folder("s3://fast/objects/") == f"{at.location}/elsewhere/s3/fast/objects"


def test_a_table_may_be_a_whole_bucket() -> None:
    assert Paths("s3://warehouse/", TARGET).name("s3a://warehouse/data/a") == "data/a"


@pytest.mark.parametrize("name", [
    "metadata/v1.metadata.json", "metadata/00001-a.gz.metadata.json", "metadata/v2.metadata.json.gz", "metadata/version-hint.text",
])  # fmt: skip
def test_no_file_is_brought_under_a_name_that_a_catalog_of_folders_takes_for_a_commit(name: str) -> None:
    paths = Paths("s3://warehouse/db/orders", StoreURL.parse("abfss://lake@account/db/orders"))
    for path in (f"s3://warehouse/db/orders/{name}", f"s3a://warehouse/db/orders/{name}"):
        with pytest.raises(TableRefused, match="would be taken for a commit"):
            paths.name(path)
    assert paths.name(f"s3://warehouse/other/{name}") == f"elsewhere/s3/warehouse/other/{name}"
    assert paths.name(f"s3://warehouse/db/orders/data/{name}") == f"data/{name}"
