"""The warehouse against a real server: signing in, loading twice, and every way it goes wrong ending in a clear error."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyarrow import parquet

from portal.connections import SnowflakeConnection
from portal.errors import AccessDenied, PortalError, SettingError, Unreachable, WarehouseError, explain
from portal.warehouse import Load, Warehouse
from portal.warehouse_names import TableName, bare, identifier
from tests.servers import SNOWFLAKE_PASSWORD, SNOWFLAKE_USER, Server, start, stop

COLUMNS = {"job_id": "varchar", "bytes": "number(38,0)", "record_sha256": "varchar", "finished_at": "timestamp_tz(3)"}


def connection(server: Server, **changes: Any) -> SnowflakeConnection:
    values = {
        "account": "fakesnow", "user": SNOWFLAKE_USER, "password": SNOWFLAKE_PASSWORD, "host": "127.0.0.1", "port": server.port,
        "protocol": "http", "database": "PORTAL", "schema": "AUDIT", "login_timeout_s": 5,
    }  # fmt: skip
    return SnowflakeConnection.model_validate(values | changes)


@pytest.fixture
def warehouse(snowflake_server: Server) -> Iterator[Warehouse]:
    with Warehouse.connect(connection(snowflake_server), query_tag="01J0000000000000000000TEST") as session:
        yield session


@pytest.fixture
def table(unique: str) -> TableName:
    return TableName("PORTAL", "AUDIT", unique)


def load(table: TableName, folder: Path, rows: list[tuple[str, int | None, str]]) -> Load:
    file = folder / "rows.parquet"
    names = {"job_id": [row[0] for row in rows], "bytes": pa.array([row[1] for row in rows], pa.int64()), "record_sha256": [row[2] for row in rows]}
    times = pa.array([1_790_000_000_123 if row[1] else None for row in rows], pa.timestamp("ms", tz="UTC"))
    parquet.write_table(pa.table(names | {"finished_at": times}), file)
    return Load(table, COLUMNS, ("job_id",), file, compare="record_sha256")


def test_the_session_is_who_the_connection_says_and_carries_the_jobs_tag(snowflake_server: Server) -> None:
    with Warehouse.connect(connection(snowflake_server, role="LOADER", warehouse="WH"), query_tag="job-7") as session:
        assert session.identity() == {"user": "PORTAL", "role": "LOADER", "warehouse": "WH", "database": "PORTAL", "schema": "AUDIT"}
        assert session._session.socket_timeout is None, "else a long statement would be cut off"
        assert session.query("show parameters like 'QUERY_TAG' in session").rows[0][1] == "job-7"


def test_loading_twice_is_loading_once(warehouse: Warehouse, table: TableName, tmp_path: Path) -> None:
    rows = [("a", 1, "x"), ("b", None, "y")]
    first = warehouse.load([load(table, tmp_path, rows)], "LOAD1")[0]
    again = warehouse.load([load(table, tmp_path, rows)], "LOAD1")[0]
    other = warehouse.load([load(table, tmp_path, [*rows, ("c", 3, "z")])], "LOAD2")[0]
    assert [(item.staged, item.inserted, item.present, item.differing) for item in (first, again, other)] == [
        (2, 2, 2, ()), (2, 0, 2, ()), (3, 1, 3, ()),
    ]  # fmt: skip
    assert first.query_ids["copy"] and first.query_ids["merge"] != again.query_ids["merge"]
    found = warehouse.query(f"select job_id, bytes, finished_at from {table.sql} order by 1").rows
    moment = 1_790_000_000.123
    assert [(row[0], row[1], row[2] and row[2].timestamp()) for row in found] == [("a", 1, moment), ("b", None, None), ("c", 3, moment)]


def test_a_row_that_differs_is_told_of_and_left_alone(warehouse: Warehouse, table: TableName, tmp_path: Path) -> None:
    warehouse.load([load(table, tmp_path, [("a", 1, "x"), ("b", 2, "y")])], "LOAD1")
    done = warehouse.load([load(table, tmp_path, [("a", 9, "changed"), ("b", 2, "y")])], "LOAD2")[0]
    assert done.differing == ("a",) and done.inserted == 0
    assert warehouse.query(f"select bytes from {table.sql} where job_id = 'a'").rows == [(1,)]


def test_nothing_is_left_of_a_load(warehouse: Warehouse, table: TableName, tmp_path: Path) -> None:
    warehouse.load([load(table, tmp_path, [("a", 1, "x")])], "LOAD1")
    names = [row[0] for row in warehouse.query("select table_name from PORTAL.information_schema.tables where table_schema = 'AUDIT'").rows]
    assert bare(table.table) in names and not [name for name in names if "LOAD1" in name]
    assert not [row for row in warehouse.query('list @"PORTAL"."AUDIT"."PORTAL_LOADS"').rows if "LOAD1" in row[0]]


def test_what_a_cut_off_load_left_is_replaced(warehouse: Warehouse, table: TableName, tmp_path: Path) -> None:
    warehouse.query("create table PORTAL.AUDIT.PORTAL_LOADS_L_0 (job_id varchar)")
    warehouse.query("insert into PORTAL.AUDIT.PORTAL_LOADS_L_0 values ('ghost')")
    assert warehouse.load([load(table, tmp_path, [("a", 1, "x")])], "L")[0].staged == 1
    assert warehouse.count(table) == 1


def test_a_failure_leaves_none_of_the_load_in_any_table(warehouse: Warehouse, table: TableName, tmp_path: Path, unique: str) -> None:
    """The second file has two rows of one key: the first table must not keep its rows either."""
    (tmp_path / "second").mkdir()
    second = load(TableName("PORTAL", "AUDIT", f"{unique}b"), tmp_path / "second", [("k", 1, "x")])
    broken = Load(second.table, second.columns | {"nowhere": "varchar"}, ("nowhere",), second.file)
    with pytest.raises(WarehouseError):
        warehouse.load([load(table, tmp_path, [("a", 1, "x")]), broken], "LOAD1")
    assert warehouse.count(table) == 0


def test_a_table_of_before_gets_the_columns_it_lacks(warehouse: Warehouse, table: TableName, tmp_path: Path) -> None:
    warehouse.query(f"create table {table.sql} (job_id varchar, extra varchar)")
    assert warehouse.load([load(table, tmp_path, [("a", 1, "x")])], "LOAD1")[0].inserted == 1
    assert warehouse.columns(table) == ["JOB_ID", "EXTRA", "BYTES", "RECORD_SHA256", "FINISHED_AT"]


@pytest.mark.parametrize("name", ['odd "name"; drop table x --', "mit Leerzeichen", "ünï"])
def test_any_table_name_is_only_a_name(warehouse: Warehouse, tmp_path: Path, unique: str, name: str) -> None:
    table = TableName("PORTAL", "AUDIT", f"{name} {unique}")
    assert warehouse.load([load(table, tmp_path, [("a", 1, "x")])], "LOAD1")[0].inserted == 1
    assert warehouse.count(table) == 1


@hypothesis_settings(max_examples=200, deadline=None)
@given(name=st.text(min_size=1, max_size=60))
def test_an_identifier_is_one_quoted_token_or_refused(name: str) -> None:
    try:
        quoted = identifier(name)
    except SettingError:
        assert any(ord(letter) < 32 or letter == "\x7f" for letter in name)
        return
    assert quoted[0] == quoted[-1] == '"' and '"' not in quoted[1:-1].replace('""', "")


@pytest.mark.parametrize(("name", "means"), [("audit_jobs", "AUDIT_JOBS"), ('"audit_jobs"', "audit_jobs"), ("My Table", "My Table"), ("1st", "1st")])
def test_a_name_means_what_snowflake_would_read(name: str, means: str) -> None:
    assert bare(name) == means


def test_a_wrong_password_is_denied_and_not_shown(snowflake_server: Server) -> None:
    with pytest.raises(AccessDenied) as caught:
        Warehouse.connect(connection(snowflake_server, password="not-the-passw0rd"))
    said = explain(caught.value)
    assert "Incorrect username or password was specified" in said and "PORTAL@127.0.0.1" in said and "not-the-passw0rd" not in said


def test_nothing_listening_is_told_fast(snowflake_server: Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        started = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            Warehouse.connect(connection(snowflake_server, port=taken.getsockname()[1]))
    assert time.monotonic() - started < 30 and caught.value.retryable
    assert "did not answer" in explain(caught.value) and "network" in explain(caught.value)


def test_a_server_that_never_answers_is_given_up_after_the_login_timeout(snowflake_server: Server) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        started = time.monotonic()
        with pytest.raises(Unreachable, match="did not answer"):
            Warehouse.connect(connection(snowflake_server, port=silent.getsockname()[1], login_timeout_s=2))
        assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account": ""}, ["no account", "SNOWFLAKE_ACCOUNT"]),
        ({"user": ""}, ["no user", "SNOWFLAKE_USER"]),
        ({"password": ""}, ["neither", "SNOWFLAKE_PRIVATE_KEY_FILE", "SNOWFLAKE_PASSWORD"]),
        ({"private_key_file": "/nowhere/key.pem"}, ["/nowhere/key.pem", "SNOWFLAKE_PRIVATE_KEY_FILE"]),
    ],
)
def test_what_is_missing_is_named(snowflake_server: Server, changes: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingError) as caught:
        Warehouse.connect(connection(snowflake_server, **changes))
    assert all(word in explain(caught.value) for word in words)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """right.pem and its public.pem, locked.pem (the same, passphrase 'open sesame'), wrong.pem, no.pem."""
    folder = tmp_path_factory.mktemp("keys")
    right, wrong = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    pem, pkcs8, bare_key = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "right.pem").write_bytes(right.private_bytes(pem, pkcs8, bare_key))
    (folder / "wrong.pem").write_bytes(wrong.private_bytes(pem, pkcs8, bare_key))
    (folder / "locked.pem").write_bytes(right.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"open sesame")))
    (folder / "no.pem").write_text("no key")
    (folder / "public.pem").write_bytes(right.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return folder


@pytest.fixture(scope="module")
def key_server(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = str(tmp_path_factory.mktemp("snowflake"))
    server = start("embedded.snowflake", "--port", "0", "--root", root, "--user-key", f"PORTAL={keys / 'public.pem'}")
    yield server
    stop(server)


@pytest.mark.parametrize("how", [{"private_key_file": "right.pem"}, {"private_key_file": "locked.pem", "private_key_passphrase": "open sesame"}])
def test_a_key_pair_signs_in(key_server: Server, keys: Path, how: dict[str, str]) -> None:
    how = {**how, "private_key_file": str(keys / how["private_key_file"])}
    with Warehouse.connect(connection(key_server, password="", **how)) as session:
        assert session.identity()["user"] == "PORTAL"


@pytest.mark.parametrize(
    ("file", "phrase", "kind", "word"),
    [
        ("wrong.pem", "", AccessDenied, "refused"),
        ("no.pem", "", SettingError, "cannot be opened"),
        ("locked.pem", "", SettingError, "no passphrase is set"),
        ("locked.pem", "wrong", SettingError, "cannot be opened"),
        ("right.pem", "needless", SettingError, "is not encrypted"),
    ],
)
def test_a_key_that_does_not_fit_says_so(key_server: Server, keys: Path, file: str, phrase: str, kind: type[PortalError], word: str) -> None:
    how = {"private_key_file": str(keys / file), "private_key_passphrase": phrase}
    with pytest.raises(kind) as caught:
        Warehouse.connect(connection(key_server, password="", **how))
    assert word in explain(caught.value)


def test_a_missing_object_is_named(warehouse: Warehouse, table: TableName) -> None:
    with pytest.raises(WarehouseError) as caught:
        warehouse.count(table)
    assert str(table) in explain(caught.value) and "role" in explain(caught.value)
