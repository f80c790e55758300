"""AzCopy on the ADLS server: upload, download, list, sync, remove, and copies from blob to blob, which the server fetches by itself.

AzCopy's S3 source takes hosts of amazonaws.com alone, so its S3 → Blob copy cannot run against servers on loopback; blob → blob uses the same
requests (Put Blob From URL, Put Block From URL).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import azcopy
from tests.adls_client import RawClient
from tests.servers import ADLS_ACCOUNT, Server
from tests.test_adls_server_auth import account_sas

DATA = hashlib.shake_256(b"azcopy").digest(2_500_000)
FILES = {"a.txt": b"a", "empty": b"", "sub dir/ü b+%41.csv": b"1,2\n", "sub dir/deep/big": DATA, **{f"n/{n}": b"n" for n in range(12)}}
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs AzCopy and gives what it printed."""
    program = azcopy.executable()
    if program is None:
        pytest.fail(azcopy.TOLD)
    logs = tmp_path / "azcopy"
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "AZCOPY_LOG_LOCATION": str(logs), "AZCOPY_JOB_PLAN_LOCATION": str(logs),
        "AZCOPY_DISABLE_SYSLOG": "true", "AZCOPY_CONCURRENCY_VALUE": "4",
    }  # fmt: skip

    def done(*arguments: str, fails: bool = False) -> str:
        ended = subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=60)
        assert (ended.returncode != 0) is fails, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return done


@pytest.fixture
def client(adls_server: Server) -> Iterator[RawClient]:
    with RawClient(adls_server) as made:
        yield made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    return tmp_path / "tree"


def together(*calls: Callable[[], str]) -> None:
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()


def files_in(client: RawClient, container: str) -> dict[str, bytes]:
    listed = client.send("GET", f"/{container}", {"resource": "filesystem", "recursive": "true"}).json()["paths"]
    return {item["name"]: client.send("GET", f"/{container}/{item['name']}").body for item in listed if "isDirectory" not in item}


def test_azcopy(run: Run, adls_server: Server, client: RawClient, tree: Path, unique: str) -> None:
    one, two = client.container(unique), client.container(f"{unique}-two")
    url, sas = f"{adls_server.url}/{ADLS_ACCOUNT}", account_sas("rwdlacup")
    blocks = ("--block-size-mb", "1", "--recursive")

    run("copy", f"{tree}/*", f"{url}/{one}/in?{sas}", "--from-to", "LocalBlob", "--put-md5", *blocks)
    uploaded = files_in(client, one)
    assert uploaded == {f"in/{name}": data for name, data in FILES.items()}
    assert len(list(client.send("GET", f"/{one}/in/sub dir/deep/big", {"comp": "blocklist"}).xml().iter("Block"))) == 3
    listed = run("list", f"{url}/{one}?{sas}", "--location", "Blob", "--machine-readable")
    assert all(f"in/{name}; Content Length: {len(data)}\n" in listed for name, data in FILES.items())

    back = tree.parent / "back"
    together(
        lambda: run("copy", f"{url}/{one}/in/*?{sas}", str(back), "--from-to", "BlobLocal", "--check-md5", "FailIfDifferentOrMissing", "--recursive"),
        lambda: run("copy", f"{url}/{one}/in/*?{sas}", f"{url}/{two}/copy?{sas}", "--from-to", "BlobBlob", *blocks),
        lambda: run("copy", f"{tree}/*", f"{url}/{one}/lake?{sas}", "--from-to", "LocalBlobFS", "--recursive"),
    )
    assert {str(file.relative_to(back)): file.read_bytes() for file in back.rglob("*") if file.is_file()} == FILES
    assert files_in(client, two) == {f"copy/{name}": data for name, data in FILES.items()}
    assert len(list(client.send("GET", f"/{two}/copy/sub dir/deep/big", {"comp": "blocklist"}).xml().iter("Block"))) == 3
    assert files_in(client, one) == uploaded | {f"lake/{name}": data for name, data in FILES.items()}

    (tree / "a.txt").write_bytes(b"changed")
    (tree / "n" / "0").unlink()
    together(
        lambda: run("sync", str(tree), f"{url}/{two}/copy?{sas}", "--from-to", "LocalBlob", "--delete-destination", "true"),
        lambda: run("remove", f"{url}/{one}/lake?{sas}", "--from-to", "BlobFSTrash", "--recursive"),
        lambda: run("remove", f"{url}/{one}/in/a.txt?{sas}", "--from-to", "BlobTrash"),
    )
    assert files_in(client, two) == {f"copy/{name}": data for name, data in FILES.items() if name != "n/0"} | {"copy/a.txt": b"changed"}
    assert files_in(client, one) == {name: data for name, data in uploaded.items() if name != "in/a.txt"}


def test_azcopy_takes_no_s3_but_amazons(run: Run, s3_server: Server, adls_server: Server) -> None:
    said = run("copy", f"{s3_server.url}/bucket", f"{adls_server.url}/{ADLS_ACCOUNT}/c?{account_sas()}", "--from-to", "S3Blob", fails=True)
    assert "https://s3.amazonaws.com/bucket" in said
