"""Roles of AWS: assumed through STS by keys, a file or the default chain, renewed before they end, refusals told in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from portal import settings
from portal.connections import Connections, S3Connection
from portal.errors import AccessDenied, PortalError, SettingError, Throttled, Unreachable, explain
from portal.stores import aws_role, s3_client
from portal.stores.opening import open_account
from portal.stores.url import StoreURL
from portal.wire.access import access_of
from portal.wire.opening import open_end
from tests.servers import Server
from tests.transferring import get, put

ROLE = "arn:aws:iam::123456789012:role/loader"
KEYS = {"access_key_id": "AKIDTESTING", "secret_access_key": "a-Secret-key"}


@pytest.fixture(autouse=True)
def nothing_is_known() -> Iterator[None]:
    aws_role._credentials.cache_clear()
    yield
    aws_role._credentials.cache_clear()


def playing(server: Server, **changes: Any) -> S3Connection:
    return S3Connection(**{"endpoint_url": server.url, "role_arn": ROLE, **KEYS, **changes})


class Sts:
    """A server that answers as STS does, with what a test wants, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.signed_by: list[str] = []
        self.refusal: tuple[int, str] | None = None
        self.lasts = timedelta(hours=1)

    def answer(self) -> tuple[int, str]:
        if self.refusal:
            status, code = self.refusal
            said = f"User a-Secret-key is told {code}"
            return status, f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{said}</Message></Error></ErrorResponse>"
        number, ends = len(self.asked), f"{datetime.now(UTC) + self.lasts:%Y-%m-%dT%H:%M:%SZ}"
        return 200, (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
            f"<AccessKeyId>ASIA{number:016}</AccessKeyId><SecretAccessKey>temporary-{number}</SecretAccessKey>"
            f"<SessionToken>token-{number}</SessionToken><Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )


@contextmanager
def serving(sts: Sts) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            sts.asked.append({name: values[0] for name, values in parse_qs(body).items()})
            sts.signed_by.append(self.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
            status, text = sts.answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sts, str]]:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    made = Sts()
    with serving(made) as url:
        yield made, url


def through(url: str, **changes: Any) -> S3Connection:
    return S3Connection(**{"region": "eu-central-1", "role_arn": ROLE, "sts_endpoint_url": url, **KEYS, **changes})


def test_objects_are_written_and_read_in_the_role(s3_server: Server, unique: str) -> None:
    """SDK and thin path, against the STS and S3 of one service, as MinIO has them."""
    connection = playing(s3_server)
    account = open_account(connection)
    account.create_container(unique)
    put(account.store(unique), "a.csv", b"hello")
    assert get(account.store(unique), "a.csv") == b"hello"
    assert s3_client.client(connection)._request_signer._credentials.access_key.startswith("ASIA")
    end = open_end(access_of(StoreURL("s3", unique), connection))
    assert end.list_page("").keys == ["a.csv"]
    assert end.access.keys and end.access.keys[0].startswith("ASIA") and end.access.keys[2]
    end.close()


def test_the_role_is_asked_for_as_the_connection_says_and_once(sts: tuple[Sts, str]) -> None:
    asked, url = sts
    connection = through(url, external_id="shop-17", role_session_name="etl")
    found = [s3_client.client(connection)._request_signer._credentials.get_frozen_credentials() for _ in range(3)]
    assert [keys.access_key for keys in found] == ["ASIA0000000000000001"] * 3
    (request,) = asked.asked
    assert (request["Action"], request["RoleArn"], request["ExternalId"], request["RoleSessionName"]) == ("AssumeRole", ROLE, "shop-17", "etl")
    assert asked.signed_by == ["AKIDTESTING"]
    s3_client.client(through(url))
    assert asked.asked[1]["RoleSessionName"] == "data-operations-portal" and "ExternalId" not in asked.asked[1]


def test_a_credentials_file_and_the_default_chain_can_ask_too(sts: tuple[Sts, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, url = sts
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"AccessKeyId": "AKIDFILE", "SecretAccessKey": "s", "SessionToken": "t"}))
    s3_client.client(through(url, access_key_id="", secret_access_key="", credentials_file=str(file)))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDCHAIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    s3_client.client(through(url, access_key_id="", secret_access_key=""))
    assert asked.signed_by == ["AKIDFILE", "AKIDCHAIN"]


def test_credentials_are_renewed_before_they_end_by_keys_read_anew(sts: tuple[Sts, str], tmp_path: Path) -> None:
    asked, url = sts
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"AccessKeyId": "AKIDFIRST", "SecretAccessKey": "s"}))
    asked.lasts = timedelta(minutes=5)
    connection = through(url, access_key_id="", secret_access_key="", credentials_file=str(file))
    signer = s3_client.client(connection)._request_signer
    file.write_text(json.dumps({"AccessKeyId": "AKIDNEXT", "SecretAccessKey": "s"}))
    asked.lasts = timedelta(hours=1)
    assert signer._credentials.get_frozen_credentials().access_key == "ASIA0000000000000002"
    assert signer._credentials.get_frozen_credentials().access_key == "ASIA0000000000000002"
    assert asked.signed_by == ["AKIDFIRST", "AKIDNEXT"]


def test_the_thin_path_knows_when_to_ask_again(sts: tuple[Sts, str]) -> None:
    asked, url = sts
    found = access_of(StoreURL("s3", "bucket"), through(url))
    assert found.keys == ("ASIA0000000000000001", "temporary-1", "token-1")
    ends = datetime.now(UTC).timestamp() + 3600
    assert ends - 600 < found.renew_at < ends - 500
    assert found.expires_at == ""
    asked.refusal = (403, "AccessDenied")
    aws_role._credentials(through(url), s3_client._plain_session)._expiry_time = datetime.now(UTC)
    with pytest.raises(AccessDenied, match="may not be assumed"):
        access_of(StoreURL("s3", "bucket"), through(url))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((403, "AccessDenied"), AccessDenied, "trust policy"), ((403, "InvalidClientTokenId"), AccessDenied, "credentials that ask for it are wrong"),
        ((403, "ExpiredToken"), AccessDenied, "have ended"), ((400, "ValidationError"), SettingError, "role_arn"),
        ((400, "Throttling"), Throttled, "for now"), ((403, "Surprise"), PortalError, "403 Surprise"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_at_once(sts: tuple[Sts, str], answer: tuple[int, str], kind: type[PortalError], words: str) -> None:
    asked, url = sts
    asked.refusal = answer
    with pytest.raises(kind) as caught:
        s3_client.client(through(url))
    said = explain(caught.value)
    assert words in said and (ROLE in said)


def test_a_refusal_is_not_remembered(sts: tuple[Sts, str]) -> None:
    asked, url = sts
    asked.refusal = (403, "AccessDenied")
    with pytest.raises(AccessDenied):
        s3_client.client(through(url))
    asked.refusal = None
    s3_client.client(through(url)).close()


def test_no_service_and_no_credentials_are_told(sts: tuple[Sts, str]) -> None:
    with pytest.raises(Unreachable, match="STS did not answer"):
        s3_client.client(through("http://127.0.0.1:1"))
    with pytest.raises(AccessDenied, match="credentials to ask with, and there are none"):
        s3_client.client(through(sts[1], access_key_id="", secret_access_key=""))
    with pytest.raises(AccessDenied, match="ended at 2020"):
        s3_client.client(through(sts[1], expires_at="2020-01-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ({}, None), ({"endpoint_url": "https://minio.example:9000"}, "https://minio.example:9000"),
        ({"endpoint_url": "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com"}, None),
        ({"endpoint_url": "https://minio.example:9000", "sts_endpoint_url": "https://sts.example"}, "https://sts.example"),
    ],
)  # fmt: skip
def test_sts_is_where_the_service_has_it(endpoint: dict[str, str], asked: str | None) -> None:
    assert aws_role._endpoint(S3Connection(role_arn=ROLE, **KEYS, **endpoint)) == asked


def test_the_default_connection_takes_its_role_from_variables(home: Path) -> None:
    (home / ".env").write_text(f"AWS_ASSUME_ROLE_ARN={ROLE}\nAWS_ASSUME_ROLE_EXTERNAL_ID=x-1\nAWS_ASSUME_ROLE_SESSION_NAME=etl\n")
    found = Connections.load(settings.load(home)).get("s3")
    assert (found.role_arn, found.external_id, found.role_session_name) == (ROLE, "x-1", "etl")


def test_nobody_types_in_a_role_for_the_workers_own_credentials(home: Path) -> None:
    with pytest.raises(SettingError, match="names a role, but no credentials"):
        Connections.load(settings.load(home), {"typed": {"kind": "s3", "role_arn": ROLE}})
    with pytest.raises(SettingError, match="endpoint of its own"):
        Connections.load(settings.load(home), {"typed": {"kind": "s3", "sts_endpoint_url": "https://evil.example"}})
    typed = {"kind": "s3", "role_arn": ROLE, **KEYS}
    assert Connections.load(settings.load(home), {"typed": typed}).get("s3", "typed").role_arn == ROLE


@pytest.mark.parametrize(
    ("values", "word"),
    [({"role_arn": "loader"}, "ARN of a role"), ({"role_arn": "arn:aws:iam::1:user/x"}, "ARN"), ({"external_id": "x"}, "role_arn")],
)
def test_what_cannot_be_a_role_is_refused(home: Path, values: dict[str, str], word: str) -> None:
    fields = "".join(f'{name} = "{value}"\n' for name, value in values.items())
    (home / "connections.toml").write_text(f'[x]\nkind = "s3"\n{fields}')
    with pytest.raises(SettingError) as caught:
        Connections.load(settings.load(home))
    assert word in explain(caught.value)
