"""Testing a connection: it answers for every kind, in words, without a secret, and never raises."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from portal import settings
from portal.probe import Probe, probe
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, SNOWFLAKE_PASSWORD, Server

SECRETS = (ADLS_KEY, SNOWFLAKE_PASSWORD, "testing-secret", "a-wrong-Passw0rd")


def shown(found: Probe) -> str:
    text = json.dumps(asdict(found), ensure_ascii=False)
    assert not [secret for secret in SECRETS if secret in text]
    return text


@pytest.fixture
def box(box_env: Path) -> settings.Settings:
    return settings.load(box_env)


@pytest.mark.parametrize("kind", ["s3", "adls", "snowflake"])
def test_the_default_connections_of_the_box_answer(box: settings.Settings, kind: str) -> None:
    found = probe(box, kind, "default")
    assert found.ok, shown(found)
    assert found.detail["leads_to"] and found.duration_s >= 0


def test_local_folders_answer(config: settings.Settings) -> None:
    (config.home / "data" / "in").mkdir()
    found = probe(config, "local")
    assert found.ok and str(config.home / "data") in found.text


def test_snowflake_says_who_it_is(box: settings.Settings) -> None:
    found = probe(box, "snowflake")
    assert found.detail["user"] == "PORTAL" and "Signed in as PORTAL" in found.text


def test_a_wrong_password_is_told_with_what_to_do(box: settings.Settings, snowflake_server: Server) -> None:
    typed = {
        "account": "fakesnow", "user": "PORTAL", "password": "a-wrong-Passw0rd", "host": "127.0.0.1", "port": snowflake_server.port,
        "protocol": "http",
    }  # fmt: skip
    found = probe(box, "snowflake", typed=typed)
    assert not found.ok and "Incorrect username or password" in found.text and "Check user" in found.hint
    shown(found)


def test_a_wrong_account_key_is_told(box: settings.Settings, adls_server: Server) -> None:
    typed = {"account": ADLS_ACCOUNT, "endpoint_url": f"{adls_server.url}/{ADLS_ACCOUNT}", "account_key": "d3JvbmcgYWNjb3VudCBrZXk="}
    found = probe(box, "adls", typed=typed)
    assert not found.ok and "d3JvbmcgYWNjb3VudCBrZXk" not in shown(found)


def test_nothing_configured_says_what_to_set(config: settings.Settings) -> None:
    found = probe(config, "snowflake")
    assert not found.ok and "SNOWFLAKE_ACCOUNT" in found.hint


@pytest.mark.parametrize(("kind", "name"), [("s3", "no-such"), ("snowflake", "no-such"), ("ftp", "x")])
def test_an_unknown_name_or_kind_is_an_answer_too(config: settings.Settings, kind: str, name: str) -> None:
    found = probe(config, kind, name)
    assert not found.ok and (name in found.text or kind in found.text)


def test_a_typed_field_that_is_wrong_is_named_without_its_value(config: settings.Settings) -> None:
    found = probe(config, "s3", typed={"secret_acces_key": "a-wrong-Passw0rd"})
    assert not found.ok and "secret_acces_key" in found.text
    shown(found)
