"""The box's Hive: its metastore and the sample tables in it, where the packages of the lakehouse are installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from embedded import processes
from embedded.processes import Child, ChildFailed

NAME = "metastore"
_PACKAGES = ("pyspark", "pyiceberg", "fastavro")
_FILL_S = 300.0


def installed() -> bool:
    """Tell whether the packages of the lakehouse are there, without importing them."""
    return all(find_spec(name) is not None for name in _PACKAGES)


def warehouse(home: Path) -> Path:
    """Where the tables' files lie: in the folder that the portal may read without being told to."""
    return home / "data" / "warehouse"


def start(home: Path, port: int) -> Child:
    """Start the metastore, which takes some seconds. Raises ChildFailed."""
    if not installed():
        raise ChildFailed("The packages of the lakehouse are not installed: pip install -r requirements-lake.txt")
    if port and processes.port_in_use(port):
        raise ChildFailed(f"Port {port} of 127.0.0.1 is in use, {NAME} cannot listen there: stop what uses it or give another --{NAME}-port.")
    root = home / "box" / NAME
    command = [sys.executable, "-m", "embedded.metastore", "--port", str(port), "--root", str(root), "--warehouse", str(warehouse(home))]
    return processes.start(NAME, command, home / "box" / f"{NAME}.log")


def endpoints(home: Path, child: Child) -> dict[str, str]:
    """Return the variables that lead to the metastore, when it answers. Raises ChildFailed."""
    uri = processes.wait_for_line(child, "ready ").split()[1]
    return {"HIVE_METASTORE_URI": uri, "HIVE_WAREHOUSE": warehouse(home).as_uri()}


def fill(home: Path, env: Mapping[str, str]) -> str:
    """Make the sample tables that are not there yet; returns what there is, in words. Raises ChildFailed."""
    told = home / "box" / NAME / "filled"
    if told.exists():
        return told.read_text("utf-8")
    command = [sys.executable, "-m", "embedded.lake_data", "--metastore", env["HIVE_METASTORE_URI"], "--warehouse", env["HIVE_WAREHOUSE"]]
    child = processes.start("sample tables", command, home / "box" / "lake_data.log")
    try:
        text = processes.wait_for_line(child, "ready ", _FILL_S).removeprefix("ready ")
    finally:
        processes.stop([child])  # it has told that Spark is down before it says ready
    told.write_text(text, "utf-8")
    return text
