"""Hive, Spark and tables for the tests: import the fixtures that a file needs, as `from tests.lake import metastore, spark, database`.

The metastore is one for all files and processes that run at the same time; it ends with the last that uses it. The Spark session is one a file:
others start one of their own, in other ways.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import snowpark_connect_deps_iceberg

from embedded import processes
from embedded import spark as small_spark

ICEBERG_JAR = "iceberg-spark-runtime-3.5_2.12-1.10.2.jar"
_UP_S = 90


@dataclass(frozen=True)
class Metastore:
    """A running metastore: its address, and the folder that new databases and tables lie in."""

    uri: str
    warehouse: Path


@pytest.fixture(scope="session")
def metastore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metastore]:
    """Hive's own metastore; what is in it belongs to many tests: each makes a database of its own (`database`)."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "metastore"
    root.mkdir(exist_ok=True)
    with (root / "users").open("w") as users:
        uri = _join(root, users)
        yield Metastore(uri, root / "warehouse")


def _join(root: Path, users: IO[str]) -> str:
    """Become one of the metastore's users, which all hold a shared lock; the first one starts it."""
    with (root / "starting").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is ending
        ready = root / "ready"
        if not ready.exists():
            _start_keeper(root)
        deadline = time.monotonic() + _UP_S
        while not ready.exists():
            assert time.monotonic() < deadline, f"no metastore after {_UP_S} s: {(root / 'keeper.log').read_text()}"
            time.sleep(0.05)
        return ready.read_text("utf-8").strip()


def _start_keeper(root: Path) -> None:
    """In a session of its own: it outlives the process that happened to be the first."""
    with (root / "keeper.log").open("w") as log:
        command = [sys.executable, "-m", "tests.lake_keeper", str(root)]
        environment = processes.clean_environment(PYTHONWARNINGS="ignore")
        subprocess.run(
            command, cwd=processes.ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True,
        )  # fmt: skip


@pytest.fixture
def database(metastore: Metastore, spark: Any) -> str:
    """A database of Hive that no other test uses; its name."""
    name = "d" + uuid.uuid4().hex[:12]
    spark.sql(f"create database {name}")
    return name


@pytest.fixture(scope="module")
def spark(metastore: Metastore) -> Iterator[Any]:
    """A Spark session on two threads: `spark_catalog` is Hive's with Iceberg tables beside the others (SparkSessionCatalog)."""
    session = start_spark(metastore)
    yield session
    small_spark.stop(session)


def start_spark(metastore: Metastore, **conf: str) -> Any:
    """Start Spark in this process, small; more of its settings by `**{"spark.…": "…"}`."""
    scratch = Path(tempfile.mkdtemp(prefix="spark.", dir=metastore.warehouse.parent))
    catalog = "org.apache.iceberg.spark"
    iceberg = {
        "spark.jars": str(snowpark_connect_deps_iceberg.get_jar_path(ICEBERG_JAR)),
        "spark.sql.extensions": f"{catalog}.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.spark_catalog": f"{catalog}.SparkSessionCatalog", "spark.sql.catalog.spark_catalog.type": "hive",
    }  # fmt: skip
    return small_spark.start(metastore.uri, metastore.warehouse.as_uri(), scratch, **iceberg, **conf)


def lake_variables(metastore: Metastore) -> dict[str, str]:
    """What a .env needs to lead to the metastore."""
    return {"HIVE_METASTORE_URI": metastore.uri, "HIVE_WAREHOUSE": metastore.warehouse.as_uri()}
