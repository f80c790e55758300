"""Uploads to an S3 that is not moto (SeaweedFS): names that moto cannot take, parts, and what is there already."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portal.connections import S3Connection
from portal.stores.opening import open_account
from tests.transferring import Clouds, get, keys, put, then
from tests.uploading import AT
from tests.weed import KEYS


@pytest.fixture
def strict(clouds: Clouds, strict_s3: str) -> Clouds:
    (clouds.home / "connections.toml").write_text(
        f'[strict]\nkind = "s3"\nendpoint_url = "{strict_s3}"\naccess_key_id = "{KEYS["access_key_id"]}"\n'
        f'secret_access_key = "{KEYS["secret_access_key"]}"\n'
    )
    return clouds


def test_a_folder_is_uploaded_and_known_again(strict: Clouds, strict_s3: str) -> None:
    folder = Path(strict.home / "data" / "box")
    content = {"two\nlines.csv": b"1", "é" * 125 + ".csv": b"2", "deep/big.bin": os.urandom((9 << 20) + 5), "plus + %20 &?.csv": b"4", "empty": b""}
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    target = {"target": f"s3://{strict.name}up/", "target_connection": "strict", "template": "{date}/{path}"}
    params = {"source": f"file://{folder}/", "moment": AT, **target}
    first = strict.run("upload", **params, create_bucket=True)
    assert (first.code, first.counts) == (0, {"listed": 5, "copied": 5})
    assert {row["proof"] for row in first.table} == {"streamed"}
    store = open_account(S3Connection(endpoint_url=strict_s3, **KEYS)).store(f"{strict.name}up")
    assert {key.partition("/")[2]: get(store, key) for key in keys(store)} == content
    again = strict.run("upload", **params, after="delete")
    assert (again.counts, [path for path in folder.rglob("*") if path.is_file()]) == ({"listed": 5, "skipped": 5, "removed": 5}, [])


def test_who_loses_a_race_for_a_key_goes_apart(strict: Clouds, strict_s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_account(S3Connection(endpoint_url=strict_s3, **KEYS)).store(f"{strict.name}race")
    folder, content = strict.home / "data" / "race", {"a.csv": b"mine", "big.bin": b"m" * (9 << 20)}
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    target = {"target": f"s3://{strict.name}race/", "target_connection": "strict", "create_bucket": True, "overwrite": "apart"}
    then(monkeypatch, lambda: [put(store, name, "theirs") for name in content])
    ran = strict.run("upload", source=f"file://{folder}/", template="{path}", **target)
    assert (ran.code, ran.counts) == (0, {"listed": 2, "copied": 2})
    own = {row["target_key"]: content[row["source_key"].rpartition("/")[2]] for row in ran.table}
    assert {key: get(store, key) for key in keys(store)} == {**dict.fromkeys(content, b"theirs"), **own}
