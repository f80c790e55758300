"""SeaweedFS: an S3 that checks secrets and checksums and is not moto."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from portal.connections import S3Connection
from portal.errors import AccessDenied, AlreadyExists, NotFound, ProofFailed, SourceChanged, explain
from portal.stores import checksums, s3_copy
from portal.stores.base import Copies, Store, walk
from portal.stores.opening import open_account, open_store
from portal.stores.url import StoreURL
from tests.transferring import get, put
from tests.weed import KEYS


@pytest.fixture
def endpoint(strict_s3: str) -> str:
    return strict_s3


@pytest.fixture
def store(endpoint: str, unique: str) -> Iterator[Store]:
    account = open_account(S3Connection(endpoint_url=endpoint, **KEYS))
    account.create_container(unique)
    found = account.store(unique)
    yield found
    found.close()


def test_a_wrong_secret_is_refused_and_not_shown(endpoint: str, unique: str) -> None:
    wrong = S3Connection(endpoint_url=endpoint, access_key_id="strict", secret_access_key="not-the-secret")
    with pytest.raises(AccessDenied, match="credentials are wrong") as caught:
        open_store(StoreURL.parse(f"s3://{unique}/"), wrong).list_page()
    assert "not-the-secret" not in explain(caught.value)


def test_the_contract_holds(store: Store) -> None:
    data = os.urandom((9 << 20) + 3)
    first = put(store, "a/b c.bin", data)
    assert get(store, "a/b c.bin") == data
    assert store.stat("a/b c.bin").checksums["crc64nvme"] == checksums.crc64_hex(checksums.crc64(data))
    with pytest.raises(AlreadyExists), store.open_write("a/b c.bin") as writer:
        writer.commit()
    put(store, "a/b c.bin", b"new")
    with pytest.raises(SourceChanged):
        store.open_read("a/b c.bin", pin=first)
    assert [info.key for info in walk(store)] == ["a/b c.bin"]
    store.delete("a/b c.bin")
    with pytest.raises(NotFound):
        store.stat("a/b c.bin")


@pytest.mark.parametrize("most", [s3_copy.MAX_COPY_BYTES, 1])
def test_a_copy_is_of_the_pinned_object_or_none(store: Store, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_copy, "MAX_COPY_BYTES", most)
    assert isinstance(store, Copies)
    first = put(store, "a/b c.bin", b"some")
    put(store, "b.bin", b"old")
    assert get(store, store.copy(first, "b.bin").key) == b"some"
    put(store, "a/b c.bin", b"else")
    with pytest.raises(SourceChanged, match="replaced after it was listed"):
        store.copy(first, "b.bin")
    store.delete("a/b c.bin")
    with pytest.raises(SourceChanged, match="deleted"):
        store.copy(first, "b.bin")
    assert get(store, "b.bin") == b"some"


def test_bytes_that_change_on_the_way_are_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    right = checksums.s3_base64
    monkeypatch.setattr("portal.stores.checksums.s3_base64", lambda value: right(value ^ 1))
    with pytest.raises(ProofFailed):
        put(store, "a", b"hello")
    monkeypatch.undo()
    assert list(walk(store)) == []
