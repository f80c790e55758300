"""What a named connection becomes for the thin path: endpoint, addressing and credentials as the SDK would use them."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.config import Config

from portal.connections import LocalConnection, S3Connection
from portal.errors import AccessDenied, NotFound, SettingError
from portal.stores import s3_client
from portal.stores.url import StoreURL
from portal.wire import access as access_module
from portal.wire.access import access_of
from portal.wire.ends import Access
from portal.wire.opening import open_end
from tests.servers import Server

KEYS = {"access_key_id": "AKID", "secret_access_key": "a-Secret-key"}


def access(bucket: str = "bucket", **connection: Any) -> Access:
    return access_of(StoreURL("s3", bucket), S3Connection(**connection))


@pytest.mark.parametrize("bucket", ["plain-bucket", "has.dots", "Upper", "ab"])
@pytest.mark.parametrize(
    "place", [{"region": "eu-central-1"}, {"region": "us-east-1"}, {"region": "cn-north-1"}, {}, {"endpoint_url": "http://127.0.0.1:9000/base"}]
)
def test_a_bucket_is_where_boto3_would_look_for_it(bucket: str, place: dict[str, str]) -> None:
    found = access(bucket, **KEYS, **place)
    asked: list[str] = []

    def stop(request: Any, **_: Any) -> None:
        asked.append(request.url)
        raise KeyboardInterrupt

    style = {"addressing_style": "path" if "endpoint_url" in place else "auto"}
    client = boto3.client(
        "s3", aws_access_key_id="a", aws_secret_access_key="b", region_name=place.get("region", "us-east-1"),
        endpoint_url=place.get("endpoint_url"), config=Config(signature_version="s3v4", s3=style),
    )  # fmt: skip
    client.meta.events.register("before-send.s3", stop)
    with pytest.raises(KeyboardInterrupt):
        client.head_object(Bucket=bucket, Key="k")
    port = f":{found.port}" if found.port != 443 else ""
    assert asked == [f"{found.scheme}://{found.host}{port}{found.base_path}{'/' + bucket if found.path_style else ''}/k"]
    assert found.region == place.get("region", "us-east-1")
    client.close()


def test_requests_are_signed_for_the_region_that_a_name_for_all_of_them_stands_for() -> None:
    assert access(**KEYS, region="aws-global").region == "us-east-1"


def test_nothing_of_it_shows_a_secret() -> None:
    found = access(**KEYS, session_token="a-Session-token")
    assert found.keys == ("AKID", "a-Secret-key", "a-Session-token")
    assert "Secret" not in repr(found)
    assert "Session" not in repr(found)


def test_typed_keys_are_used_until_they_end() -> None:
    assert access(**KEYS).renew_at == float("inf")
    ends = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    found = access(**KEYS, expires_at=ends)
    assert (found.renew_at, found.expires_at) == (float("inf"), ends)
    with pytest.raises(AccessDenied, match="ended at 2020"):
        access(**KEYS, expires_at="2020-01-01T00:00:00Z")


def test_a_credentials_file_is_read_again_before_it_ends(tmp_path: Path) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"AccessKeyId": "AKF", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": ends.isoformat()}))
    found = access(credentials_file=str(file))
    assert found.keys == ("AKF", "s", "t")
    assert found.renew_at == ends.timestamp() - 300


def test_a_profile_that_renews_itself_tells_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    told = {"Version": 1, "AccessKeyId": "AKP", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": ends.isoformat()}
    script = tmp_path / "give.py"
    script.write_text(f"print({json.dumps(json.dumps(told))})")
    config = tmp_path / "config"
    config.write_text(f"[profile work]\nregion = eu-north-1\ncredential_process = {sys.executable} {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    found = access(profile="work")
    assert found.keys == ("AKP", "s", "t")
    assert found.host == "bucket.s3.eu-north-1.amazonaws.com"
    assert found.renew_at == ends.timestamp() - 540
    assert found.expires_at == ""


def test_credentials_that_hardly_last_are_not_asked_for_at_every_turn(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    ends = datetime.now(UTC) + timedelta(minutes=2)
    file.write_text(json.dumps({"AccessKeyId": "AKF", "SecretAccessKey": "s", "Expiration": ends.isoformat()}))
    assert access(credentials_file=str(file)).renew_at > time.time() + 50


def test_no_credentials_are_told() -> None:
    with pytest.raises(AccessDenied, match="needs credentials, and there are none"):
        access()


def test_a_profile_that_is_not_there_and_a_directory_bucket_are_told() -> None:
    with pytest.raises(SettingError, match="no AWS profile 'none'"):
        access(profile="none")
    with pytest.raises(SettingError, match="directory bucket"):
        access("fast--use1-az4--x-s3", **KEYS)


def test_the_certificates_that_aws_tools_trust_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "own.pem"))
    assert access(**KEYS).ca_file == str(tmp_path / "own.pem")
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    assert access(**KEYS).ca_file == str(tmp_path / "other.pem")


def test_a_machine_without_certificates_of_its_own_has_those_of_certifi(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    empty = mock.Mock(cafile=None, capath=None)
    with mock.patch("ssl.get_default_verify_paths", lambda: empty):
        assert Path(access(**KEYS).ca_file).name == "cacert.pem"


def test_the_way_leads_to_the_bucket(s3_server: Server, unique: str) -> None:
    connection = S3Connection(endpoint_url=s3_server.url, access_key_id="testing", secret_access_key="testing-secret")
    s3_client.client(connection).create_bucket(Bucket=unique)
    end = open_end(access_of(StoreURL("s3", unique), connection))
    assert end.list_page("").keys == []
    with pytest.raises(NotFound):
        end.find("none")
    end.close()


def test_a_folder_is_reached_through_its_roots(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    found = access_of(StoreURL("file", ""), LocalConnection(roots=(str(tmp_path / "link"),)))
    assert (found.kind, found.roots) == ("file", (str(tmp_path.resolve()),))


def test_a_connection_of_another_kind_is_refused_before_any_sdk_is_loaded() -> None:
    with mock.patch.object(access_module, "_made") as made, pytest.raises(SettingError, match="kind local"):
        access_of(StoreURL("s3", "bucket"), LocalConnection())
    made.assert_not_called()
