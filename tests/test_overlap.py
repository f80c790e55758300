"""No transfer has its source in its own target: what says so, and that the engine asks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.planning.names import below, target_key
from portal.transfer.overlap import Place, overlap, place
from portal.wire.ends import Access
from tests.transferring import Clouds, keys, put

S3 = Access("s3", "b", host="b.s3.eu-west-1.amazonaws.com")
BLOB = Access("blob", "lake", host="acct.blob.core.windows.net", account="acct")
FOLDERS = st.lists(st.sampled_from("abc"), max_size=3).map("/".join)
NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@given(FOLDERS, FOLDERS)
def test_an_overlap_is_told_from_both_sides(one: str, other: str) -> None:
    there, back = overlap(place(S3, one), place(S3, other)), overlap(place(S3, other), place(S3, one))
    assert (there, back) in {("", ""), ("same", "same"), ("inside", "around"), ("around", "inside")}


@given(FOLDERS, FOLDERS, st.lists(NAMES, max_size=8))
def test_apart_no_copy_is_a_source_and_no_source_lies_in_the_target(source: str, target: str, listed: list[str]) -> None:
    if overlap(place(S3, source), place(S3, target)):
        return
    meant = {key: name for key in listed if (name := below(key, source)) is not None}
    assert not [key for key in meant if below(key, target) is not None]
    assert not [name for name in meant.values() if below(target_key(name, target), source) is not None]


@given(FOLDERS, FOLDERS)
def test_other_containers_and_services_are_always_apart(one: str, other: str) -> None:
    for another in (replace(S3, container="c", host="c.s3.amazonaws.com"), replace(S3, host="s3.example.org", path_style=True), BLOB):
        assert overlap(place(S3, one), place(another, other)) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (S3, replace(S3, host="s3.amazonaws.com", path_style=True)),
        (S3, replace(S3, host="b.s3.dualstack.us-east-1.amazonaws.com")),
        (replace(S3, host="localhost", port=9, path_style=True), replace(S3, host="127.0.0.1", port=9, path_style=True)),
        (BLOB, replace(BLOB, kind="dfs", host="acct.dfs.core.windows.net", account="acct.dfs.core.windows.net")),
        (BLOB, replace(BLOB, host="ACCT.blob.core.windows.net.", account="Acct")),
    ],
)
def test_one_container_by_another_name_is_the_same(one: Access, other: Access) -> None:
    assert overlap(place(one, "a"), place(other, "a/")) == "same"
    assert overlap(place(one, ""), place(other, "a")) == "inside"


def test_a_name_that_begins_alike_is_apart() -> None:
    assert overlap(Place("x", "dir/"), Place("x", "dir2/")) == ""


def test_links_to_a_folder_are_that_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    files = Access("file")
    assert overlap(place(files, f"{tmp_path}/real"[1:]), place(files, f"{tmp_path}/x/../link/in"[1:])) == "inside"


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("par/src/", "par/", "inside the target"), ("par/", "par/src/", "inside the source"), ("", "par", "inside the source"),
        ("par", "par/", "same place"),
    ],
)
@pytest.mark.parametrize("kind", ["s3", "adls", "file"])
def test_nothing_is_copied_or_deleted_where_source_and_target_overlap(clouds: Clouds, kind: str, source: str, target: str, told: str) -> None:
    base = {"s3": clouds.bucket, "adls": clouds.lake, "file": f"file://{clouds.home}/data"}[kind]
    store = {"s3": clouds.s3, "adls": clouds.adls, "file": clouds.local}[kind]
    folder = f"{clouds.home}/data/"[1:] if kind == "file" else ""
    there = [put(store, f"{folder}{key}").key for key in ("par/src/a.csv", "par/src/b.csv", "par/c.csv")]
    mirror: dict[str, Any] = {"mirror": True, "delete_extra": True, "confirm_delete": f"{base}/{target}"}
    for options in (mirror, {"overwrite": "replace"}):
        ran = clouds.migrate(source=f"{base}/{source}", target=f"{base}/{target}", **options)
        assert (ran.code, ran.result["outcome"]) == (2, "rejected")
        assert told in ran.error["message"] and f"{base}/{source}" in ran.error["message"] and f"{base}/{target}" in ran.error["message"]
    assert keys(store, folder) == sorted(there)


def test_the_folder_that_flat_fills_is_what_counts(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv")
    beside = clouds.migrate(source=f"{clouds.bucket}/in/", target=f"{clouds.bucket}/", layout="flat")
    assert beside.code == 0 and keys(clouds.s3) == ["in/a.csv", "raw_data/a.csv"]
    inside = clouds.migrate(source=f"{clouds.bucket}/in/", target=f"{clouds.bucket}/", layout="flat", flat_folder="in/flat")
    assert inside.code == 2 and f"{clouds.bucket}/in/flat/" in inside.error["message"]
