"""The box's Snowflake, spoken to by the real connector: it checks who signs in, and keeps what it is given.

Signing in by key pair through the connector is proved in test_warehouse.py.
"""

from __future__ import annotations

import base64
import hashlib
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import pytest
import snowflake.connector
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from snowflake.connector.errors import DatabaseError

from embedded.snowflake.accounts import WRONG_TOKEN, Accounts
from tests.servers import SNOWFLAKE_PASSWORD, SNOWFLAKE_USER, Server, start, stop


def connect(port: int, **how: Any) -> Any:
    return closing(
        snowflake.connector.connect(
            account="fakesnow", host="127.0.0.1", port=port, protocol="http", login_timeout=10,
            session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False, "QUERY_TAG": "job-1"}, **how,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    return {name: rsa.generate_private_key(65537, 2048) for name in ("right", "wrong")}


def test_the_right_password_gets_a_session_with_its_identity(snowflake_server: Server) -> None:
    with connect(snowflake_server.port, user=SNOWFLAKE_USER.lower(), password=SNOWFLAKE_PASSWORD, role="loader", warehouse="wh") as session:
        cursor = session.cursor()
        assert cursor.execute("select current_user(), current_role(), current_warehouse()").fetchone() == ("PORTAL", "LOADER", "WH")
        assert cursor.execute("show parameters like 'QUERY_TAG' in session").fetchone()[1] == "job-1"


@pytest.mark.parametrize(("user", "password"), [(SNOWFLAKE_USER, "wrong"), ("NOBODY", SNOWFLAKE_PASSWORD)])
def test_a_wrong_password_or_user_gets_the_connectors_own_error(snowflake_server: Server, user: str, password: str) -> None:
    with pytest.raises(DatabaseError, match=r"Incorrect username or password was specified\.") as caught:
        connect(snowflake_server.port, user=user, password=password)
    assert int(caught.value.errno) == 390100


def _login(key: Any, **changes: Any) -> dict[str, Any]:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    print_ = "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
    claims = {"iss": f"ORG.LOADER.{print_}", "sub": "ORG.LOADER", "iat": int(time.time()), "exp": int(time.time()) + 60, **changes}
    token = jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm="RS256")
    return {"LOGIN_NAME": "loader", "ACCOUNT_NAME": "org", "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": token}


@pytest.mark.parametrize(
    "changes", [{"exp": 1}, {"exp": None}, {"iss": "ORG.LOADER.SHA256:none"}, {"iss": "OTHER.LOADER"}, {"sub": "ORG.OTHER"}, {"sub": None}]
)
def test_each_claim_of_the_token_is_checked(keys: dict[str, Any], changes: dict[str, Any]) -> None:
    accounts = Accounts({}, {"LOADER": keys["right"].public_key()})
    assert accounts.refusal(_login(keys["right"])) is None
    assert accounts.refusal(_login(keys["wrong"])) == WRONG_TOKEN
    assert accounts.refusal(_login(keys["right"], **changes)) is not None


def test_an_unsigned_token_is_refused(keys: dict[str, Any]) -> None:
    accounts = Accounts({}, {"LOADER": keys["right"].public_key()})
    claims = jwt.decode(_login(keys["right"])["TOKEN"], options={"verify_signature": False})
    assert accounts.refusal({**_login(keys["right"]), "TOKEN": jwt.encode(claims, None, algorithm="none")}) is not None


def test_a_statement_without_a_session_is_refused(snowflake_server: Server) -> None:
    url = f"{snowflake_server.url}/queries/v1/query-request"
    request = urllib.request.Request(url, b'{"sqlText": "select 1"}', {"Authorization": 'Snowflake Token="x"'})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 401
    caught.value.close()


def test_tables_outlive_the_server(tmp_path: Path) -> None:
    arguments = ("embedded.snowflake", "--port", "0", "--root", str(tmp_path), "--user", "A=b")
    for statement in ("create table t as select 42 as x", "select x from t"):
        server = start(*arguments)
        try:
            with connect(server.port, user="A", password="b", database="DB", schema="S") as session:
                rows = session.cursor().execute(statement).fetchall()
        finally:
            stop(server)
    assert rows == [(42,)]


VOLUME = "NAME = 'a' STORAGE_PROVIDER = 'AZURE' STORAGE_BASE_URL = 'azure://nowhere.blob.core.windows.net/box/' AZURE_TENANT_ID = 't'"


@pytest.mark.parametrize(
    ("before", "statement", "code"),
    [
        ([], "create external volume V", 393921),
        ([], "create external volume V storage_locations = ((name = 'a' storage_provider = 'AZURE'))", 1003),
        ([], "describe external volume V", 2003),
        ([f"create external volume V storage_locations = (({VOLUME}))"], f"create external volume V storage_locations = (({VOLUME}))", 2002),
        (["create catalog integration C catalog_source = object_store table_format = iceberg enabled = true"],
         "create iceberg table T external_volume = 'V' catalog = 'C' metadata_file_path = 'x.json'", 2003),
        ([f"create external volume V storage_locations = (({VOLUME}))",
          "create catalog integration C catalog_source = object_store table_format = iceberg enabled = true"],
         "create iceberg table T external_volume = 'V' catalog = 'C' metadata_file_path = 'x.json'", 3167),
        ([], "create iceberg table T external_volume = 'V' catalog = 'C'", 1003),
        ([], "alter iceberg table T refresh 'x.json'", 2003),
        ([], "drop external volume V", 2003),
        ([], "create external volume V storage_locations = ((", 1003),
    ],
)  # fmt: skip
def test_what_cannot_be_done_with_tables_on_azure_has_snowflakes_code(
    snowflake_server: Server, unique: str, before: list[str], statement: str, code: int
) -> None:
    def own(sql: str) -> str:
        return sql.replace(" V", f" V_{unique}").replace("'V'", f"'v_{unique}'").replace(" C ", f" C_{unique} ").replace("'C'", f"'C_{unique}'")

    with connect(snowflake_server.port, user=SNOWFLAKE_USER, password=SNOWFLAKE_PASSWORD, database="LAKE", schema=unique) as session:
        for sql in before:
            session.cursor().execute(own(sql))
        with pytest.raises(DatabaseError) as caught:
            session.cursor().execute(own(statement))
    assert caught.value.errno == code


def test_volumes_are_shown_described_and_dropped(snowflake_server: Server, unique: str) -> None:
    with connect(snowflake_server.port, user=SNOWFLAKE_USER, password=SNOWFLAKE_PASSWORD) as session:
        cursor = session.cursor()
        made = f'create external volume if not exists "v {unique}" storage_locations = (({VOLUME})) allow_writes = false comment = \'it\'\'s\''
        assert cursor.execute(made).fetchone() != cursor.execute(made).fetchone() and "already exists" in cursor.execute(made).fetchone()[0]
        assert cursor.execute(f"show external volumes like 'V%{unique}'").fetchall() == [(f"v {unique}", "false", "it's")]
        described = {row[1]: row[3] for row in cursor.execute(f'desc external volume "v {unique}"').fetchall()}
        assert described["ALLOW_WRITES"] == "false" and "AZURE_CONSENT_URL" in described["STORAGE_LOCATION_1"]
        cursor.execute(f'drop external volume "v {unique}"')
        assert cursor.execute(f"show external volumes like 'V%{unique}'").fetchall() == []
