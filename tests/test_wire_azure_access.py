"""How a named connection becomes an Access: endpoints, keys that become SAS, SAS as they are, tokens."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
from azure.core.exceptions import ClientAuthenticationError

from portal.connections import AdlsConnection
from portal.errors import AccessDenied, SettingError, explain
from portal.stores import adls_client
from portal.stores.url import StoreURL
from portal.wire import azure_access
from portal.wire.azure_access import access
from portal.wire.connection import Connection
from portal.wire.opening import open_end
from tests.servers import ADLS_KEY, Server
from tests.wire_azure import access_to, container_sas, end_to, make_container, put

URL = StoreURL.parse("abfss://c@acct/a/b")


@pytest.mark.parametrize(
    ("account", "endpoint_url", "kind", "where"),
    [
        ("acct", "", "blob", ("https", "acct.blob.core.windows.net", 443, "")),
        ("acct", "", "dfs", ("https", "acct.dfs.core.windows.net", 443, "")),
        ("acct.dfs.core.windows.net", "", "blob", ("https", "acct.blob.core.windows.net", 443, "")),
        ("acct.blob.core.windows.net", "", "dfs", ("https", "acct.dfs.core.windows.net", 443, "")),
        ("acct.dfs.core.usgovcloudapi.net", "", "blob", ("https", "acct.blob.core.usgovcloudapi.net", 443, "")),
        ("acct.dfs.core.chinacloudapi.cn", "", "blob", ("https", "acct.blob.core.chinacloudapi.cn", 443, "")),
        ("acct", "https://acct.blob.core.windows.net/", "dfs", ("https", "acct.dfs.core.windows.net", 443, "")),
        ("acct", "https://acct.privatelink.dfs.core.windows.net", "blob", ("https", "acct.privatelink.blob.core.windows.net", 443, "")),
        ("acct", "https://storage.example.com:8443/acct", "blob", ("https", "storage.example.com", 8443, "/acct")),
        ("acct", "http://127.0.0.1:10000/acct/", "blob", ("http", "127.0.0.1", 10000, "/acct")),
    ],
)
def test_both_endpoints_of_an_account_are_found(account: str, endpoint_url: str, kind: Any, where: tuple[str, str, int, str]) -> None:
    found = access(StoreURL("abfss", "c", account), AdlsConnection(account="acct", endpoint_url=endpoint_url, account_key=ADLS_KEY), kind)
    assert (found.scheme, found.host, found.port, found.base_path) == where
    assert (found.kind, found.container, found.account) == (kind, "c", "acct")
    assert open_end(found).access is found


@pytest.mark.parametrize(
    ("account", "options", "why"),
    [
        ("acct", {"endpoint_url": "http://storage.example.com/acct"}, "not https"),
        ("acct", {"account": "other"}, "leads to 'other'"),
        ("acct.evil.example.com", {"account": ""}, "no host of Azure"),
        ("acct.blob.core.windows.net.evil.example.com", {"account": ""}, "no host of Azure"),
        ("", {"account": ""}, "names no storage account"),
        ("acct", {"account_key": "not base64!"}, "is no base64"),
        ("acct", {"account_key": "", "sas_token": "sv=1&sig=x y"}, "spaces or line breaks"),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_secrets(account: str, options: dict[str, str], why: str) -> None:
    connection = AdlsConnection(**{"account": "acct", "account_key": ADLS_KEY, **options})
    with pytest.raises(SettingError, match=why) as caught:
        access(StoreURL("abfss", "c", account), connection)
    assert all(secret not in explain(caught.value) for secret in (ADLS_KEY, "not base64!", "sig=x"))


def test_an_account_key_signs_a_sas_of_a_few_days_for_the_container_alone() -> None:
    found = access(URL, AdlsConnection(account="acct", account_key=ADLS_KEY))
    token = {name: values[0] for name, values in parse_qs(found.sas).items()}
    assert (token["sr"], token["sp"], token["spr"]) == ("c", "racwdltme", "https")
    start, end = (datetime.fromisoformat(token[name]).timestamp() for name in ("st", "se"))
    assert start < time.time() - 600 and 86_400 < end - time.time() < 8 * 86_400
    assert time.time() + 3600 < found.renew_at < end - 3600
    assert found.expires_at == "" and found.keys is None and found.bearer == ""
    assert ADLS_KEY not in repr(found) and "sig" not in repr(found)


def test_the_sas_made_of_a_key_is_good_for_the_service(adls_server: Server, unique: str) -> None:
    make_container(adls_server, unique)
    for kind in ("blob", "dfs"):
        with contextlib.closing(end_to(adls_server, unique, kind)) as end:
            put(end, f"{kind}/x", b"1")
            end.delete(f"{kind}/x")
            assert end.list_page(kind).keys == [kind]


def test_a_sas_is_taken_as_it_is_and_tells_its_end() -> None:
    end = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = access(URL, AdlsConnection(account="acct", sas_token=f"?sv=2024-11-04&se={end.replace(':', '%3A')}&sig=a%2Bb%3D"))
    assert found.sas == f"sv=2024-11-04&se={end.replace(':', '%3A')}&sig=a%2Bb%3D"
    assert (found.expires_at, found.renew_at) == (end, float("inf"))
    with pytest.raises(AccessDenied, match="ended at 2026-01-01T00:00:00Z"):
        access(URL, AdlsConnection(account="acct", sas_token="se=2026-01-01T00:00:00Z&sig=x"))


def test_a_sas_that_ended_meanwhile_says_so(adls_server: Server, unique: str) -> None:
    make_container(adls_server, unique)
    token = container_sas(unique, "racwdl")
    ended = "se=2026-01-01T00%3A00%3A00Z&" + "&".join(part for part in token.split("&") if not part.startswith("se="))
    for kind in ("blob", "dfs"):
        with contextlib.closing(open_end(replace(access_to(adls_server, unique, kind), sas=ended))) as end:
            with pytest.raises(AccessDenied, match="SAS ended at 2026-01-01T00:00:00Z") as caught:
                end.list_page("")
            assert "sig=" not in explain(caught.value)


def test_a_sign_in_becomes_a_token_that_is_renewed_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = int(time.time()) + 3600
    asked: list[str] = []

    def get_token(scope: str) -> SimpleNamespace:
        asked.append(scope)
        return SimpleNamespace(token="a.b.c", expires_on=ends)

    monkeypatch.setattr(adls_client, "credential", lambda *_: SimpleNamespace(get_token=get_token))
    found = access(URL, AdlsConnection(account="acct", tenant_id="t", client_id="c", client_secret="s"))
    assert (found.bearer, found.sas, asked) == ("a.b.c", "", ["https://storage.azure.com/.default"])
    assert found.renew_at == ends - azure_access._TOKEN_MARGIN_S
    assert "a.b.c" not in repr(found)


def test_a_token_is_sent_with_the_date_and_never_in_the_address(monkeypatch: pytest.MonkeyPatch, adls_server: Server, unique: str) -> None:
    sent: list[str] = []
    real = Connection.request

    def request(self: Connection, method: str, target: str, lines: Any = "", body: Any = b"") -> Any:
        sent.extend([target, lines])
        return real(self, method, target, lines, body)

    monkeypatch.setattr(Connection, "request", request)
    with contextlib.closing(open_end(replace(access_to(adls_server, unique), sas="", bearer="a.b.c"))) as end:
        with pytest.raises(AccessDenied, match="credentials are wrong"):
            end.list_page("")
    target, lines = sent
    assert "a.b.c" not in target and "Authorization: Bearer a.b.c\r\n" in lines and "x-ms-date: " in lines


def test_a_failed_sign_in_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_token(scope: str) -> None:
        raise ClientAuthenticationError("no")

    monkeypatch.setattr(adls_client, "credential", lambda *_: SimpleNamespace(get_token=get_token))
    with pytest.raises(AccessDenied, match="needs a sign-in, and it failed"):
        access(URL, AdlsConnection(account="acct"))
