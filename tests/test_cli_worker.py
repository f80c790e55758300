"""The command line with a living worker and real servers: submit to archive, as a person or a script does it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import boto3
import pytest

from portal.cli import main
from portal.settings import CODE_ROOT
from tests.servers import Server

Portal = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def worker(box_env: Path) -> Iterator[None]:
    """A worker on this test's home, stopped after it."""
    process = subprocess.Popen([sys.executable, "worker.py", "--quiet"], cwd=CODE_ROOT)
    yield
    process.terminate()
    assert process.wait(20) == 0


LOOKING = ("show", "jobs", "ledger", "logs", "workers", "audit", "check")
"""Commands that only look run in this process: the way from a process to a command is one for all, and the others go it."""


def looked(*arguments: str) -> subprocess.CompletedProcess[str]:
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    out.flush()
    out.seek(0)
    return subprocess.CompletedProcess(arguments, code, out.read(), err.getvalue())


@pytest.fixture
def portal(box_env: Path) -> Portal:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        if arguments[0] in LOOKING:
            done = looked(*arguments)
        else:
            done = subprocess.run([sys.executable, "-m", "portal", *arguments], cwd=CODE_ROOT, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        assert "does not know" not in done.stderr
        return done

    return run


@pytest.fixture
def bucket(s3_server: Server, unique: str) -> str:
    s3 = boto3.client("s3", endpoint_url=s3_server.url, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing-secret")
    s3.create_bucket(Bucket=unique)
    for number in range(3):
        s3.put_object(Bucket=unique, Key=f"in/{number}.csv", Body=f"id,name\n{number},x\n".encode())
    return unique


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def until(portal: Portal, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while not holds(job := told(portal("show", job_id, "--json"))):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return dict(job)


def test_a_chain_is_submitted_waited_for_and_told(portal: Portal, worker: None, bucket: str, home: Path) -> None:
    order = home / "chain.json"
    copied = f"file://{home}/data/copied"
    order.write_text(json.dumps({
        "engine": "migrate", "name": "to disk", "params": {"source": f"s3://{bucket}/in/", "target": copied, "verify": "md5"},
        "then": [{"engine": "list", "params": {"source": {"$result": "/outputs/0/url"}}}],
    }))  # fmt: skip
    done = portal("submit", "--file", str(order), "--wait", "chain", "--json")
    assert done.returncode == 0, done.stderr
    first, second = told(done)
    assert (first["status"], first["result"]["counts"]["copied"]) == ("succeeded", 3)
    assert (second["engine"], second["status"], second["parent"]) == ("list", "succeeded", first["id"])
    assert second["result"]["counts"]["listed"] == 3
    assert "to disk" in done.stderr and "3 copied" in done.stderr

    rows = told(portal("ledger", first["id"], "--json"))
    assert sorted((row["source_key"], row["outcome"], row["proof"]) for row in rows) == [(f"in/{n}.csv", "copied", "read-back") for n in range(3)]
    assert told(portal("ledger", first["id"], "--failed", "--json")) == []
    shown = told(portal("show", first["id"][-8:], "--json"))
    assert Path(shown["record"]).is_file()
    assert "3" in portal("logs", first["id"]).stdout
    assert [job["id"] for job in told(portal("jobs", "--parent", first["id"], "--json"))] == [second["id"]]

    report = told(portal("audit", "report", "--format", "json"))
    assert {row["job_id"]: row["status"] for row in report} == {first["id"]: "succeeded", second["id"]: "succeeded"}
    assert "read-back" in portal("audit", "report").stdout
    assert portal("check").returncode == 0


def test_exit_codes_tell_the_outcome_and_a_failed_job_can_be_retried(portal: Portal, worker: None, bucket: str, home: Path) -> None:
    done = portal("submit", "list", "--source", "s3://no-such-bucket-here/", "--wait", "--json")
    failed = told(done)
    assert (done.returncode, failed["status"]) == (1, "failed")
    assert "no-such-bucket-here" in failed["error"] and "no-such-bucket-here" in done.stderr

    done = portal("retry", failed["id"], "--wait")
    assert done.returncode == 1
    again = told(portal("show", done.stdout.strip(), "--json"))
    assert (again["retry_of"], again["status"]) == (failed["id"], "failed")

    done = portal("rerun", failed["id"], "--source", f"s3://{bucket}/", "--wait", "--json")
    assert (done.returncode, told(done)["status"], told(done)["parent"]) == (0, "succeeded", failed["id"])

    quoting = json.dumps({"engine": "list", "params": {"source": {"$result": "/outputs/99/url"}}})
    done = portal("submit", "list", "--source", f"s3://{bucket}/", "--then", quoting, "--wait", "chain", "--json")
    assert (done.returncode, [job["status"] for job in told(done)]) == (2, ["succeeded", "rejected"])


def test_a_running_job_is_followed_and_cancelled(portal: Portal, worker: None, home: Path) -> None:
    target = f"file://{home}/data/big.csv"
    job_id = portal("submit", "generate", "--target", target, "--rows", "200000000").stdout.strip()
    until(portal, job_id, lambda job: bool(job["status"] == "running" and job["progress"]))
    assert job_id in portal("jobs", "--status", "running").stdout
    following = subprocess.Popen([sys.executable, "-m", "portal", "logs", "-f", job_id], cwd=CODE_ROOT, stdout=subprocess.PIPE, text=True)
    assert following.stdout and "200,000,000 rows" in following.stdout.readline() + following.stdout.readline()
    assert "cancel requested" in portal("cancel", job_id, "--as", "ann").stdout
    assert until(portal, job_id, lambda job: bool(job["finished_at"]))["status"] == "cancelled"
    following.communicate(timeout=20)
    assert following.returncode == 0
    assert "already cancelled" in portal("cancel", job_id).stdout
    assert not (home / "data" / "big.csv").exists()


def test_waiting_on_a_terminal_rewrites_one_line(portal: Portal, worker: None, bucket: str) -> None:
    controller, terminal = os.openpty()
    done = subprocess.run([sys.executable, "-m", "portal", "submit", "list", "--source", f"s3://{bucket}/", "--wait"], cwd=CODE_ROOT,
                          stdout=subprocess.PIPE, stderr=terminal, timeout=60)  # fmt: skip
    os.close(terminal)
    shown = os.read(controller, 65536).decode()
    os.close(controller)
    assert done.returncode == 0
    assert "\r\x1b[2K" in shown
    assert "succeeded after" in shown


def test_connections_are_tested_against_the_real_servers(portal: Portal, box_env: Path) -> None:
    done = portal("connections", "test", "s3", "adls", "--json")
    assert (done.returncode, [(item["kind"], item["ok"]) for item in told(done)]) == (0, [("s3", True), ("adls", True)])
    with (box_env / ".env").open("a") as file:
        file.write("AZURE_STORAGE_KEY=d3Jvbmcga2V5IHdyb25nIGtleQ==\n")
    done = portal("connections", "test", "adls")
    assert (done.returncode, "FAILED" in done.stdout) == (1, True)
    assert "d3Jvbmcg" not in done.stdout + done.stderr
    listed = portal("connections")
    assert listed.returncode == 0
    assert "snowflake" in listed.stdout
    assert "testing-secret" not in listed.stdout


def test_a_worker_that_is_stopped_leaves_the_list(portal: Portal, box_env: Path) -> None:
    process = subprocess.Popen([sys.executable, "worker.py", "--quiet", "--name", "w1"], cwd=CODE_ROOT)
    deadline = time.monotonic() + 20
    while portal("workers").returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [item["name"] for item in told(portal("workers", "--json")) if item["alive"]] == ["w1"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert portal("workers").returncode == 1
