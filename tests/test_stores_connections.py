"""How stores are reached: credentials, endpoints and what is said when they are wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.filedatalake import FileSystemSasPermissions, generate_file_system_sas

from portal.connections import AdlsConnection, LocalConnection, S3Connection
from portal.errors import AccessDenied, AlreadyExists, NameNotAllowed, NotFound, ProofFailed, SettingError, SourceChanged, Unreachable, explain
from portal.stores import adls_client, s3_client
from portal.stores.base import ObjectInfo, Presigns, walk
from portal.stores.opening import open_account, open_store
from portal.stores.s3_write import PART_BYTES, part_size
from portal.stores.url import StoreURL
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server
from tests.transferring import get, put

SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def s3_to(server: Server, **options: Any) -> S3Connection:
    return S3Connection(**{"endpoint_url": server.url, "access_key_id": "testing", "secret_access_key": "testing-secret", **options})


def adls_to(server: Server, **options: Any) -> AdlsConnection:
    return AdlsConnection(**{"account": ADLS_ACCOUNT, "endpoint_url": f"{server.url}/{ADLS_ACCOUNT}", "account_key": ADLS_KEY, **options})


def test_ended_credentials_are_refused_with_the_moment_they_ended() -> None:
    connection = S3Connection(access_key_id="a", secret_access_key="b", session_token="c", expires_at="2026-01-02T03:04:05Z")
    with pytest.raises(AccessDenied, match="The temporary credentials ended at 2026-01-02T03:04:05Z"):
        open_store(StoreURL.parse("s3://b/"), connection)


def test_a_credentials_file_of_sts_is_read(tmp_path: Path, s3_server: Server, unique: str) -> None:
    path = tmp_path / "credentials.json"
    keys = {"AccessKeyId": "testing", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": SOON}
    for content in ({"Credentials": keys}, keys):
        path.write_text(json.dumps(content))
        connection = S3Connection(endpoint_url=s3_server.url, credentials_file=str(path))
        credentials = s3_client.client(connection)._request_signer._credentials
        assert (credentials.access_key, credentials.secret_key, credentials.token) == ("testing", "s", "t")
        open_account(connection).create_container(unique)
    path.write_text(json.dumps({**keys, "Expiration": "2026-01-01T00:00:00Z"}))
    with pytest.raises(AccessDenied, match="ended at 2026-01-01"):
        open_store(StoreURL.parse("s3://b/"), connection)


@pytest.mark.parametrize("content", ["", "[]", '{"AccessKeyId": "a"}', None])
def test_a_bad_credentials_file_is_named_and_not_shown(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "credentials.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingError, match=r"credentials\.json"):
        open_store(StoreURL.parse("s3://b/"), S3Connection(credentials_file=str(path)))


def test_no_credentials_and_unknown_profiles_are_explained(s3_server: Server) -> None:
    store = open_store(StoreURL.parse("s3://b/"), S3Connection(endpoint_url=s3_server.url))
    with pytest.raises(AccessDenied, match="there are none"):
        store.list_page()
    with pytest.raises(SettingError, match="no AWS profile 'nobody'"):
        open_store(StoreURL.parse("s3://b/"), S3Connection(profile="nobody"))


def test_buckets_are_made_in_the_connections_region(s3_server: Server, unique: str) -> None:
    for region in ("", "eu-west-1"):
        account = open_account(s3_to(s3_server, region=region))
        name = f"{unique}{region}"
        account.create_container(name)
        found = account.store(name).client.get_bucket_location(Bucket=name)["LocationConstraint"]  # type: ignore[attr-defined]
        assert found == (region or None)
    with pytest.raises(NameNotAllowed, match="'x'"):
        account.create_container("x")


def test_a_presigned_url_reads_without_credentials(s3_server: Server, unique: str) -> None:
    account = open_account(s3_to(s3_server))
    account.create_container(unique)
    store = account.store(unique)
    put(store, "a b.csv", b"hello")
    assert isinstance(store, Presigns)
    with urllib.request.urlopen(store.presign_read("a b.csv", expires_s=60)) as answer:
        assert answer.read() == b"hello"


def test_a_closed_port_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    with pytest.raises(Unreachable, match="did not answer") as caught:
        open_store(StoreURL.parse("s3://b/"), S3Connection(endpoint_url=url, access_key_id="a", secret_access_key="b")).list_page()
    assert caught.value.retryable and "EndpointConnectionError" in explain(caught.value)
    monkeypatch.setattr(adls_client.ExponentialRetry, "get_backoff_time", lambda *_: 0.0)
    with pytest.raises(Unreachable, match="did not answer"):
        open_store(StoreURL.parse("abfss://c@a/"), AdlsConnection(account="a", endpoint_url=f"{url}/a", account_key=ADLS_KEY)).list_page()


@pytest.mark.parametrize(("size", "part"), [(None, PART_BYTES), (0, PART_BYTES), (78 << 30, PART_BYTES), (5 << 40, 525 << 20)])
def test_no_object_needs_more_than_ten_thousand_parts(size: int | None, part: int) -> None:
    assert part_size(size) == part
    assert (size or 0) / part <= 10_000


def test_a_wrong_adls_key_is_refused(adls_server: Server) -> None:
    wrong = ADLS_KEY.replace("Eby8", "Abc1")
    store = open_store(StoreURL.parse(f"abfss://c@{ADLS_ACCOUNT}/"), adls_to(adls_server, account_key=wrong))
    with pytest.raises(AccessDenied, match="credentials are wrong") as caught:
        store.list_page()
    assert wrong not in explain(caught.value)
    with pytest.raises(AccessDenied):
        store.stat("x")


def test_a_sas_reads_what_it_allows(adls_server: Server, unique: str) -> None:
    open_account(adls_to(adls_server)).create_container(unique)
    whole = open_store(StoreURL.parse(f"abfss://{unique}@{ADLS_ACCOUNT}/"), adls_to(adls_server))
    put(whole, "a.csv", b"1")

    def with_sas(until: timedelta) -> Any:
        token = generate_file_system_sas(
            ADLS_ACCOUNT, unique, ADLS_KEY, permission=FileSystemSasPermissions(read=True, list=True), expiry=datetime.now(UTC) + until
        )
        return open_store(whole.url, adls_to(adls_server, account_key="", sas_token=f"?{token}"))

    reading = with_sas(timedelta(hours=1))
    assert get(reading, "a.csv") == b"1"
    with pytest.raises(AccessDenied):
        put(reading, "b.csv", b"2")
    with pytest.raises(AccessDenied):
        with_sas(timedelta(hours=-1)).stat("a.csv")


@pytest.mark.parametrize(
    ("url", "options", "why"),
    [
        ("abfss://c@a/", {"account": "a", "endpoint_url": "http://storage.example.com/a"}, "not https"),
        ("abfss://c@a/", {"account": "b"}, "leads to 'b'"),
        ("abfss://c@a.evil.example.com/", {"account": "a", "sas_token": "sig=x"}, "no host of Azure"),
        ("abfss://c@a.evil.example?.dfs.core.windows.net/", {"account": "a", "sas_token": "sig=x"}, "no host of Azure"),
        ("abfss://c@a.evil.example#.dfs.core.windows.net/", {"account": "a", "sas_token": "sig=x"}, "no host of Azure"),
        ("abfss://c@a.evil@b.dfs.core.windows.net/", {"account": "a", "sas_token": "sig=x"}, "no host of Azure"),
        ("abfss://c@evil#/", {"sas_token": "sig=x"}, "no host of Azure"),
    ],
)
def test_secrets_go_only_where_the_connection_leads(url: str, options: dict[str, str], why: str) -> None:
    with pytest.raises(SettingError, match=why):
        open_store(StoreURL.parse(url), AdlsConnection(**{"account_key": ADLS_KEY, **options}))


def test_hosts_of_azure_are_taken_from_the_url() -> None:
    for account in ("lake", "lake.dfs.core.windows.net", "lake.dfs.core.chinacloudapi.cn"):
        client = adls_client.client(AdlsConnection(account="lake", account_key=ADLS_KEY), account)
        assert client.url.startswith(f"https://{account if '.' in account else account + '.dfs.core.windows.net'}")


def test_a_service_principal_signs_in_through_azure_identity() -> None:
    connection = AdlsConnection(account="lake", tenant_id="t", client_id="c", client_secret="s")
    assert type(adls_client.credential(connection, "lake")).__name__ == "ClientSecretCredential"
    assert type(adls_client.credential(AdlsConnection(account="lake"), "lake")).__name__ == "DefaultAzureCredential"


def test_reading_parameters_imports_no_cloud_library() -> None:
    script = "import sys, engines.migrate, engines.list; print([n for n in ('boto3', 'azure', 'pyarrow', 'pandas', 'awscrt') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_local_paths_do_not_leave_their_roots(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("x")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    store = open_store(StoreURL("file", ""), LocalConnection(roots=(str(root),)))
    base = str(root)[1:]
    for key in (f"{base}/../outside/secret", f"{base}/link/secret", f"{base}/file", "etc/passwd", f"{base}/link/new", str(outside)[1:]):
        for call in (store.stat, store.open_read, store.open_write, store.delete, lambda key: store.list_page(f"{key}/")):
            with pytest.raises(AccessDenied, match="outside the folders"):
                call(key)
    assert list(walk(store, f"{base}/")) == []
    assert (outside / "secret").read_text() == "x"


def test_a_local_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    store = open_store(StoreURL("file", ""), LocalConnection(roots=(str(tmp_path),)))
    path = tmp_path / "a"
    path.write_bytes(bytes(2000))
    with store.open_read(str(path)[1:]) as reader:
        reader.read(1000)
        path.write_bytes(bytes(3000))
        with pytest.raises(SourceChanged, match="while it was read"):
            reader.read()


def test_local_mistakes_are_named(tmp_path: Path) -> None:
    store = open_store(StoreURL("file", ""), LocalConnection(roots=(str(tmp_path), str(tmp_path / "gone"))))
    base = str(tmp_path)[1:]
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(NameNotAllowed):
        store.stat(f"{base}/a\0b")
    with pytest.raises(NameNotAllowed):
        store.open_write(f"{base}/{'x' * 300}")
    with pytest.raises((NameNotAllowed, AlreadyExists)):
        store.open_write(f"{base}/file/below")
    with pytest.raises(AlreadyExists):
        store.open_write(f"{base}/folder", overwrite=True)
    with pytest.raises((NotFound, NameNotAllowed)):
        store.open_read(f"{base}/folder").read(1)
    assert store.list_page(f"{base}/nothing/").objects == ()
    with pytest.raises(NotFound):
        open_store(StoreURL("file", ""), LocalConnection(roots=(str(tmp_path / "gone"),))).list_page(f"{base}/gone/")


def test_what_a_block_lost_on_the_way_is_noticed(adls_server: Server, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_account(adls_to(adls_server)).create_container(unique)
    store = open_store(StoreURL.parse(f"abfss://{unique}@{ADLS_ACCOUNT}/"), adls_to(adls_server))
    monkeypatch.setattr("portal.stores.checksums.azure_bytes", lambda value: (value ^ 1).to_bytes(8, "little"))
    with pytest.raises(ProofFailed, match="did not arrive as it was sent"):
        put(store, "a.csv", os.urandom(100))
    assert list(walk(store)) == []


def test_a_file_that_is_not_as_long_as_what_was_sent_is_noticed(adls_server: Server, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_account(adls_to(adls_server)).create_container(unique)
    store = open_store(StoreURL.parse(f"abfss://{unique}@{ADLS_ACCOUNT}/"), adls_to(adls_server))
    with pytest.raises(ProofFailed, match="holds 3 bytes instead of the 5"), store.open_write("a") as writer:
        writer.write(b"hello")
        monkeypatch.setattr(store, "stat", lambda key: ObjectInfo(key, 3))
        writer.commit()
