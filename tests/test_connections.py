"""Connections: defaults from .env, names from connections.toml, and errors that name the field, the variable and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portal import aws_credentials, settings
from portal.connections import Connections
from portal.errors import SettingError, explain

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
KEYS = {"access_key_id": "AKIA", "secret_access_key": SECRET}
ROLE = "arn:aws:iam::123456789012:role/sales"


def write(home: Path, toml: str = "", env: str = "") -> settings.Settings:
    (home / "connections.toml").write_text(toml)
    (home / ".env").write_text(env)
    return settings.load(home)


def refused(home: Path, toml: str = "", env: str = "", typed: dict[str, Any] | None = None) -> str:
    with pytest.raises(SettingError) as caught:
        Connections.load(write(home, toml, env), typed)
    said = explain(caught.value)
    assert SECRET not in said and "[type=" not in said
    return said


def test_with_nothing_set_each_kind_has_a_default_that_leaves_it_to_the_provider(config: settings.Settings) -> None:
    loaded = Connections.load(config)
    assert [loaded.get(kind).kind for kind in ("s3", "adls", "local", "snowflake")] == ["s3", "adls", "local", "snowflake"]
    assert loaded.get("s3").access_key_id == "" and loaded.get("local").roots == (str(config.home / "data"),) and loaded.secrets() == []


@pytest.mark.parametrize("name", [None, "", "default"])
def test_the_default_comes_from_env_file(home: Path, name: str | None) -> None:
    config = write(home, env=f"AWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY={SECRET}\nSNOWFLAKE_PORT=8443\nSNOWFLAKE_SCHEMA=AUDIT\n")
    loaded = Connections.load(config)
    assert loaded.get("s3", name).secret_access_key.get_secret_value() == SECRET and loaded.secrets() == [SECRET]
    assert (loaded.get("snowflake", name).port, loaded.get("snowflake", name).schema_name) == (8443, "AUDIT")


def test_a_named_connection_takes_values_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_KEY", SECRET)
    loaded = Connections.load(write(home, '[lake]\nkind = "adls"\naccount = "a"\naccount_key = "env:LAKE_KEY"\n'))
    assert loaded.get("adls", "lake").account_key.get_secret_value() == SECRET and loaded.names("adls") == ["lake"]


def test_a_typed_connection_wins_over_a_stored_one_of_its_name(home: Path) -> None:
    config = write(home, '[lake]\nkind = "adls"\naccount = "stored"\n')
    assert Connections.load(config, {"lake": {"kind": "adls", "account": "typed"}}).get("adls", "lake").account == "typed"


def test_a_typed_value_never_reaches_into_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever may submit could send the worker's secrets to an endpoint of his own."""
    monkeypatch.setenv("LAKE_KEY", SECRET)
    loaded = Connections.load(write(home), {"typed": {"kind": "adls", "account": "a", "account_key": "env:LAKE_KEY"}})
    assert loaded.get("adls", "typed").account_key.get_secret_value() == "env:LAKE_KEY"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[x\n", ["connections.toml", "line 1", "TOML"]),
        ("kind = 's3'\n", ["'kind' stands outside", "[name]"]),
        ("[x]\nregion = 'a'\n", ["'x'", "kind", "s3, adls"]),
        ("[x]\nkind = 'ftp'\n", ["'x'", "kind", "s3, adls"]),
        ("[x]\nkind = 5\n", ["'x'", "kind"]),
        (f"[x]\nkind = 's3'\nsecret_acess_key = '{SECRET}'\n", ["'x'", "'secret_acess_key'", "Did you mean secret_access_key?"]),
        ("[x]\nkind = 's3'\nzebra = 1\n", ["'zebra'", "It can have", "access_key_id"]),
        (f"[x]\nkind = 's3'\nsecret_access_key = '{SECRET}'\n", ["access_key_id is missing", "go together"]),
        ("[x]\nkind = 's3'\nendpoint_url = 'localhost:9000'\n", ["endpoint_url", "https://"]),
        (f"[x]\nkind = 's3'\nendpoint_url = 'https://user:{SECRET}@host'\n", ["endpoint_url", "other fields"]),
        (f"[x]\nkind = 'adls'\nendpoint_url = 'https://a.host/?sv=1&sig={SECRET}'\n", ["endpoint_url", "other fields"]),
        ("[x]\nkind = 's3'\nexpires_at = 'soon'\n", ["expires_at"]),
        ("[x]\nkind = 'snowflake'\nport = 'many'\n", ["'x'", "port"]),
        ("[x]\nkind = 'adls'\naccount_key = 'env:NOT_SET'\n", ["account_key", "NOT_SET=…", ".env"]),
        ("[x]\nkind = 'adls'\naccount_key = 'env:'\n", ["account_key", "name of a variable"]),
        ("[default]\nkind = 's3'\n", ["'default'", ".env"]),
    ],
)
def test_a_wrong_connection_is_named_with_its_field(home: Path, toml: str, words: list[str]) -> None:
    said = refused(home, toml)
    assert not [word for word in words if word not in said], said


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (f"AWS_SECRET_ACCESS_KEY={SECRET}\n", ["AWS_ACCESS_KEY_ID", "default s3"]),
        ("SNOWFLAKE_PORT=many\n", ["SNOWFLAKE_PORT", "default snowflake"]),
        ("AZURE_STORAGE_ENDPOINT=nowhere\n", ["AZURE_STORAGE_ENDPOINT", "https://"]),
    ],
)
def test_a_wrong_default_names_the_variable(home: Path, env: str, words: list[str]) -> None:
    said = refused(home, env=env)
    assert not [word for word in words if word not in said], said


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "adls", "account": "a", "endpoint_url": "https://evil.example/a"},
        {"kind": "s3", "endpoint_url": "https://evil.example", "profile": "partner"},
        {"kind": "s3", "endpoint_url": "https://evil.example", "credentials_file": "/run/aws.json"},
        {"kind": "s3", "endpoint_url": "https://evil.example", "profile": "partner", **KEYS},
        {"kind": "s3", "endpoint_url": "https://evil.example", "credentials_file": "/run/aws.json", **KEYS},
        {"kind": "s3", "sts_endpoint_url": "https://evil.example", "role_arn": ROLE, "credentials_file": "/run/aws.json"},
        {"kind": "s3", "role_arn": ROLE},
        {"kind": "s3", "role_arn": ROLE, "profile": "partner", **KEYS},
        {"kind": "adls", "account": "a", "endpoint_url": "https://evil.example/a", "tenant_id": "t", "client_id": "c"},
        {"kind": "snowflake", "account": "a", "user": "u", "host": "evil.example", "private_key_file": "/run/key.pem", "password": SECRET},
        {"kind": "snowflake", "account": "a", "user": "u", "host": "evil.example", "private_key_passphrase": SECRET},
    ],
)
def test_a_typed_endpoint_never_gets_the_workers_own_credentials(home: Path, values: dict[str, str]) -> None:
    """An Entra ID token, above all, is good for the real account too."""
    assert "no credentials of its own" in refused(home, typed={"typed": values})


def test_nobody_types_in_which_folders_may_be_used(home: Path) -> None:
    assert "names folders of this machine" in refused(home, typed={"typed": {"kind": "local", "roots": ["/"]}})


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"kind": "s3", "session_token": SECRET}, "access_key_id and secret_access_key are missing"),
        ({"kind": "s3", "session_token": SECRET, "profile": "partner"}, "access_key_id and secret_access_key are missing"),
        ({"kind": "s3", "session_token": SECRET, "role_arn": ROLE}, "access_key_id and secret_access_key are missing"),
        ({"kind": "adls", "account": "a", "client_secret": SECRET}, "tenant_id and client_id are missing"),
        ({"kind": "adls", "account": "a", "client_secret": SECRET, "client_id": "c"}, "tenant_id is missing"),
    ],
)
def test_part_of_credentials_is_none(home: Path, values: dict[str, str], missing: str) -> None:
    """The libraries would leave it out and take the worker's own instead."""
    for more in ({}, {"endpoint_url": "https://evil.example"}):
        assert missing in refused(home, typed={"typed": {**values, **more}})


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "s3", "endpoint_url": "https://minio.example", **KEYS},
        {"kind": "s3", "role_arn": ROLE, "sts_endpoint_url": "https://sts.example", "session_token": "t", **KEYS},
        {"kind": "adls", "endpoint_url": "https://lake.example", "account_key": SECRET},
        {"kind": "adls", "endpoint_url": "https://lake.example", "sas_token": SECRET},
        {"kind": "adls", "endpoint_url": "https://lake.example", "tenant_id": "t", "client_id": "c", "client_secret": SECRET},
        {"kind": "snowflake", "account": "a", "user": "u", "host": "sf.example", "password": SECRET},
    ],
)
def test_whole_credentials_go_to_a_typed_endpoint(home: Path, values: dict[str, str]) -> None:
    assert Connections.load(write(home), {"typed": values}).get(values["kind"], "typed").brings_credentials


@pytest.mark.parametrize("name", ["default", "", "s3", "a,b"])
def test_a_typed_connection_needs_a_name_that_means_it(home: Path, name: str) -> None:
    """Else the job would run with the stored default and not with what was typed in."""
    assert "under the name" in refused(home, typed={name: {"kind": "adls", "account": "a"}})


def test_a_wrong_typed_connection_is_named(home: Path) -> None:
    assert "'account_kee'" in refused(home, typed={"typed": {"kind": "adls", "account_kee": SECRET}})


def test_an_unknown_name_lists_those_there_are_and_a_name_of_another_kind_says_so(home: Path) -> None:
    loaded = Connections.load(write(home, '[lake]\nkind = "adls"\n'))
    with pytest.raises(SettingError) as unknown:
        loaded.get("adls", "lak")
    assert "default, lake" in explain(unknown.value)
    with pytest.raises(SettingError, match="leads to adls, not to s3"):
        loaded.get("s3", "lake")


def test_no_secret_is_in_what_a_connection_prints(home: Path) -> None:
    env = f"AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY={SECRET}\nAZURE_STORAGE_KEY={SECRET}\nSNOWFLAKE_PASSWORD={SECRET}\n"
    loaded = Connections.load(write(home, env=env))
    shown = [loaded.get(kind) for kind in ("s3", "adls", "snowflake")]
    assert SECRET not in repr(shown) + str(shown) + "".join(item.label + item.model_dump_json() for item in shown)


def test_the_signature_inside_a_sas_and_the_keys_inside_a_credentials_file_are_secrets_too(home: Path) -> None:
    (home / "aws.json").write_text(json.dumps({"AccessKeyId": "A", "SecretAccessKey": SECRET, "SessionToken": "the-token"}))
    env = f"AZURE_STORAGE_SAS_TOKEN=?sv=1&sig=Zm9v%2FYmFy%3D\nAWS_CREDENTIALS_FILE={home}/aws.json\n"
    found = Connections.load(write(home, env=env)).secrets()
    assert {SECRET, "the-token", "Zm9v/YmFy="} <= set(found)


FLAT = {"AccessKeyId": "AKIA", "SecretAccessKey": SECRET, "SessionToken": "token", "Expiration": "2026-11-21T10:58:31+00:00"}


@pytest.mark.parametrize("data", [FLAT, {"Credentials": FLAT}, {"Version": 1, **FLAT}])
def test_aws_credentials_are_read_in_each_of_their_shapes(tmp_path: Path, data: dict[str, Any]) -> None:
    (tmp_path / "c.json").write_text(json.dumps(data))
    found = aws_credentials.read(tmp_path / "c.json")
    assert (found.access_key_id, found.secret_access_key, found.session_token, found.expires_at) == ("AKIA", SECRET, "token", FLAT["Expiration"])
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "cannot be read"), (f'{{"SecretAccessKey": "{SECRET}"', "is not JSON"), ("[]", "does not hold"),
        ('{"Credentials": 1}', "does not hold"),
        (json.dumps({**FLAT, "AccessKeyId": ""}), "AccessKeyId"), (json.dumps({"AccessKeyId": "A"}), "SecretAccessKey"),
        (json.dumps({**FLAT, "SessionToken": 5}), "SessionToken"), (json.dumps({**FLAT, "Expiration": "soon"}), "Expiration"),
    ],
)  # fmt: skip
def test_a_wrong_credentials_file_is_named_with_its_field(tmp_path: Path, content: str | None, word: str) -> None:
    file = tmp_path / "c.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingError) as caught:
        aws_credentials.read(file)
    said = explain(caught.value)
    assert word in said and str(file) in said and SECRET not in said
