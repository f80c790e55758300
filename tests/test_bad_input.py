"""Bad input, item by item, through the queue folder, a worker and the real engines: a clear ending, a record, and nothing lost.

All jobs of `CASES` run once, in one queue; each test looks at one of them. What is proved elsewhere: an object that changes between listing
and copying (test_migrate), wrong secrets of S3 (test_stores_strict_s3), the pages of the launcher (test_ui_pages).
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.filedatalake import DataLakeServiceClient, FileSystemSasPermissions, generate_file_system_sas
from botocore.exceptions import NoCredentialsError

from portal import audit, check, settings
from portal.cli import main
from portal.cli.watch import ended
from portal.connections import S3Connection
from portal.errors import AccessDenied, explain
from portal.jobs import Job
from portal.spool import Spool
from portal.stores import adls_errors, s3_errors
from portal.stores.s3_client import client as s3_client
from portal.worker import Worker
from tests.conftest import box_variables
from tests.queues import a_job, until
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server

LAKE, BUCKET = "badinput", "bad-input"
_OBJECTS = {
    "ragged/a.csv": b"a,b,c\n1,2,3\n4,5\n", "quote/a.csv": b'a,b\n1,"open\n2,3\n', "encoding/a.csv": "a,b\n1,日本\n".encode("shift_jis"),
    "empty/a.csv": b"", "name/dir./a.csv": b"a\n1\n", "good/a.csv": b"a,b\n1,2\n", "half/good.csv": b"a,b\n1,2\n", "half/bad.csv": b"a,b\n1\n",
}  # fmt: skip
_OLD = datetime(2020, 1, 1, tzinfo=UTC)

CASES: dict[str, tuple[str, dict[str, Any], str, list[str]]] = {
    "unknown engine": ("no_such", {}, "rejected", ["There is no engine 'no_such'", "migrate"]),
    "engine with ../": ("../../bin/sh", {}, "rejected", ["There is no engine '../../bin/sh'", "what to do: Submit", "migrate"]),
    "parameters of the wrong type": ("list", {"source": 5, "min_bytes": "x"}, "rejected", ["2 parameters are wrong", "source", "min_bytes"]),
    "missing bucket": ("list", {"source": "s3://no-such-bucket/"}, "failed", ["no bucket 'no-such-bucket'", "what to do"]),
    "missing container": ("migrate", {"source": "s3://{bucket}/good/", "target": "abfss://none-here@{account}/x/"}, "failed", ["'none-here'"]),
    "missing key": ("migrate", {"source": "s3://{bucket}/", "keys": ["good/none.csv"], "target": "{lake}/k/"}, "failed", ["good/none.csv"]),
    "zero matches": ("migrate", {"source": "s3://{bucket}/nothing/", "target": "{lake}/z/"}, "failed", ["Nothing matched", "allow_empty"]),
    "empty file": ("convert", {"source": "s3://{bucket}/empty/", "target": "{lake}/e/"}, "failed", ["empty/a.csv", "The file is empty"]),
    "ragged rows": (
        "migrate", {"source": "s3://{bucket}/ragged/", "target": "{lake}/r/", "convert": "parquet"}, "failed", ["ragged/a.csv", "Line 3: 2 values"],
    ),
    "broken quote": ("convert", {"source": "s3://{bucket}/quote/", "target": "{lake}/q/"}, "failed", ["quote/a.csv", "never closed"]),
    "wrong encoding": ("convert", {"source": "s3://{bucket}/encoding/", "target": "{lake}/c/"}, "failed", ["not utf-8", "encoding=cp1252"]),
    "one of two": ("convert", {"source": "s3://{bucket}/half/", "target": "{lake}/h/"}, "partial", []),
    "target exists": ("migrate", {"source": "s3://{bucket}/good/", "target": "{lake}/there/"}, "failed", ["exist already", "there/a.csv"]),
    "name not allowed": ("migrate", {"source": "s3://{bucket}/name/", "target": "{lake}/n/"}, "failed", ["ends in a dot", "bad_names=skip"]),
    "expired S3 session": ("list", {"source": "s3://{bucket}/", "source_connection": "s3old"}, "failed", ["ended at 2020-01-01", "Get new ones"]),
    "wrong ADLS key": ("list", {"source": "{lake}/", "source_connection": "wrongkey"}, "failed", ["the credentials are wrong", "Check key"]),
    "expired SAS": ("list", {"source": "{lake}/", "source_connection": "oldsas"}, "failed", ["The SAS for", "ended at 2020-01-01", "Get a new one"]),
    "wrong Snowflake password": ("audit_export", {"target_connection": "sfwrong"}, "failed", ["refused the credentials", "Check user, password"]),
    "Snowflake unreachable": ("audit_export", {"target_connection": "sfdown"}, "failed", ["did not answer", "Check account, host and port"]),
}  # fmt: skip

JUNK = {
    "5-01M7Z1SMFGJFHD6JXZEEX35FA1.json": b'{"id": "01M7Z', "5-01M7Z1SMFGJFHD6JXZEEX35FA2.json": b"", "hello.json": b"garbage",
    "5-01M7Z1SMFGJFHD6JXZEEX35FA3.json": a_job("list", id="../../etc/passwd").to_json().encode(),
    "5-01M7Z1SMFGJFHD6JXZEEX35FA4.json": a_job("list", id="01M7Z1SMFGJFHD6JXZEEX35FA4", retry_of="../../etc").to_json().encode(),
}  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What came of all the jobs."""

    settings: settings.Settings
    spool: Spool
    jobs: dict[str, Job]


@pytest.fixture(scope="module")
def ran(s3_server: Server, adls_server: Server, snowflake_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    home = tmp_path_factory.mktemp("home")
    (home / "data").mkdir()
    variables = {**box_variables(s3_server, adls_server, snowflake_server), "PORTAL_MIN_FREE_MB": 1, "PORTAL_MIN_FREE_INODES": 1}
    (home / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    (home / "connections.toml").write_text(_connections(s3_server, adls_server, snowflake_server))
    _fill(s3_server, adls_server)
    config = settings.load(home)
    worker = Worker(config, slots=3)
    try:
        ids = {name: worker.spool.submit(_job(engine, params)).id for name, (engine, params, *_) in CASES.items()}
        for name, content in JUNK.items():
            (config.queue_dir / name).write_bytes(content)
        until(worker.empty, 300, worker.turn)
    finally:
        worker.leave()
    yield Ran(config, worker.spool, {name: found for name, job_id in ids.items() if (found := worker.spool.find(job_id))})


def _job(engine: str, params: dict[str, Any]) -> Job:
    filled = json.loads(
        json.dumps(params).replace("{bucket}", BUCKET).replace("{lake}", f"abfss://{LAKE}@{ADLS_ACCOUNT}").replace("{account}", ADLS_ACCOUNT)
    )
    return a_job(engine, params=filled, max_attempts=1)


def _fill(s3_server: Server, adls_server: Server) -> None:
    s3 = boto3.client("s3", endpoint_url=s3_server.url, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing-secret")
    s3.create_bucket(Bucket=BUCKET)
    for key, content in _OBJECTS.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    with DataLakeServiceClient(f"{adls_server.url}/{ADLS_ACCOUNT}", credential={"account_name": ADLS_ACCOUNT, "account_key": ADLS_KEY}) as service:
        lake = service.create_file_system(LAKE)
        lake.get_file_client("there/a.csv").upload_data(b"mine", overwrite=True)


def _connections(s3_server: Server, adls_server: Server, snowflake_server: Server) -> str:
    lake = {"kind": "adls", "account": ADLS_ACCOUNT, "endpoint_url": f"{adls_server.url}/{ADLS_ACCOUNT}"}
    snow = {"kind": "snowflake", "account": "a", "user": "PORTAL", "password": "a-wrong-password", "host": "127.0.0.1", "protocol": "http",
            "database": "PORTAL", "schema": "AUDIT", "login_timeout_s": 2}  # fmt: skip
    sas = generate_file_system_sas(ADLS_ACCOUNT, LAKE, ADLS_KEY, permission=FileSystemSasPermissions(read=True, list=True), expiry=_OLD)
    tables = {
        "s3old": {"kind": "s3", "endpoint_url": s3_server.url, "access_key_id": "ASIA", "secret_access_key": "an-old-secret",
                  "session_token": "an-old-token", "expires_at": "2020-01-01T00:00:00Z"},
        "wrongkey": {**lake, "account_key": "d3Jvbmcga2V5IHdyb25nIGtleQ=="}, "oldsas": {**lake, "sas_token": sas},
        "sfwrong": {**snow, "port": snowflake_server.port}, "sfdown": {**snow, "port": 9},
    }  # fmt: skip
    return "".join(f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()) for name, values in tables.items())


@pytest.mark.parametrize("case", CASES)
def test_a_job_that_cannot_be_done_ends_with_its_reason(ran: Ran, case: str) -> None:
    _, _, status, words = CASES[case]
    job = ran.jobs[case]
    assert (str(job.status), [attempt.outcome for attempt in job.attempts]) in ((status, []), (status, [status])), job.error
    error = job.error or ""
    assert all(word in error for word in words), error
    assert error.partition("\n")[0][-1:] != ":" or "\n  - " in error, "the first line alone is what a table of jobs shows"
    assert status == "partial" or "what to do:" in error or "parameters are wrong" in error, error
    log = ran.spool.log_path(job.id)
    assert "Traceback" not in error + (log.read_text() if log.exists() else "")
    rows = audit.rows(ran.settings, _days(-1), _days(1)).set_index("job_id")
    assert rows.loc[job.id, "status"] == status


def _days(distance: int) -> Any:
    return (datetime.now(UTC) + timedelta(days=distance)).date()


def test_waiting_and_ledger_tell_what_failed_in_a_partial_job(ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORTAL_HOME", str(ran.settings.home))
    job = ran.jobs["one of two"]
    assert main(["ledger", job.id, "--failed"]) == 0
    assert "Line 2: 1 value" in capsys.readouterr().out
    assert "half/bad.csv: " in ended(job) and f"ledger {job.id} --failed" in ended(job)


def test_nothing_is_lost_in_the_target(ran: Ran, adls_server: Server) -> None:
    with DataLakeServiceClient(f"{adls_server.url}/{ADLS_ACCOUNT}", credential={"account_name": ADLS_ACCOUNT, "account_key": ADLS_KEY}) as service:
        lake = service.get_file_system_client(LAKE)
        assert lake.get_file_client("there/a.csv").download_file().readall() == b"mine"
        found = sorted(item.name for item in lake.get_paths() if not item.is_directory)
        assert found == ["h/_good.parquet.schema.json", "h/good.parquet", "there/a.csv"]


@pytest.mark.parametrize("name", JUNK)
def test_a_file_in_the_queue_that_is_no_job_is_set_aside_and_named(ran: Ran, name: str) -> None:
    found = {finding.path.name: finding for finding in check.inspect(ran.settings)}
    assert set(found) == set(JUNK), "and everything else is in order"
    assert found[name].path.read_bytes() == JUNK[name]
    assert "what to do:" in found[name].text


def test_ended_credentials_of_s3_name_the_moment() -> None:
    with pytest.raises(AccessDenied) as caught:
        s3_client(S3Connection(access_key_id="a", secret_access_key="b", expires_at="2020-01-01T00:00:00Z"))  # type: ignore[arg-type]
    assert "2020-01-01T00:00:00Z" in explain(caught.value)


def test_without_a_worker_every_command_that_waits_for_one_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "No worker is running on this queue: start one with `python worker.py`."
    assert main(["submit", "list", "--source", "s3://bucket/"]) == 0
    out, err = capsys.readouterr()
    assert said in err
    for command in (["jobs"], ["show", out.strip()]):
        assert main(command) == 0
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(("source", "variables"), [
    ("s3://bucket/", ["AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="]), ("abfss://lake@account/", ["AZURE_STORAGE_KEY=", "AZURE_STORAGE_SAS_TOKEN="]),
])  # fmt: skip
def test_a_missing_setting_is_named_with_what_to_put_there(source: str, variables: list[str]) -> None:
    with pytest.raises(AccessDenied) as caught:
        if source.startswith("s3"):
            with s3_errors.translated("Listing", bucket="bucket"):
                raise NoCredentialsError
        with adls_errors.translated("Listing", container="lake", account="account"):
            raise ClientAuthenticationError("nobody signed in")
    assert all(name in caught.value.hint for name in variables)
    assert ".env" in caught.value.hint


@pytest.mark.parametrize("command", [["-m", "portal", "jobs"], ["worker.py"]])
def test_a_home_that_cannot_be_made_is_named(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PORTAL_HOME", str(tmp_path / "file" / "home"))
    done = subprocess.run([sys.executable, *command], cwd=settings.CODE_ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "PORTAL_HOME" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("server", ["s3", "adls", "snowflake"])
def test_a_server_whose_port_is_in_use_says_so_and_ends(server: str, tmp_path: Path) -> None:
    root = {"s3": [], "adls": ["--root", str(tmp_path), "--account", f"{ADLS_ACCOUNT}={ADLS_KEY}"], "snowflake": ["--root", str(tmp_path)]}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", f"embedded.{server}", "--port", port, *root[server]]
        done = subprocess.run(command, cwd=settings.CODE_ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert port in done.stderr and "in use" in done.stderr and "Traceback" not in done.stderr


def test_a_nearly_full_disk_refuses_new_jobs_and_says_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTAL_MIN_FREE_MB", "999999999")
    assert main(["submit", "list", "--source", "s3://bucket/"]) == 1
    assert "lower PORTAL_MIN_FREE_MB" in capsys.readouterr().err
    assert not list((home / "queue").glob("*.json"))
