"""A small Spark of this process, with Hive's tables, on 127.0.0.1 only: it makes the sample tables, and the tests use it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedded.java import java


def start(metastore: str, warehouse: str, scratch: Path, **more: str) -> Any:
    """Start Spark in this process and return its session.

    Args:
        metastore: address, `thrift://127.0.0.1:PORT`.
        warehouse: URL of the folder that new tables go to.
        scratch: a folder of this session's own.
        more: further settings, as `**{"spark.…": "…"}`.
    """
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("box")
    for name, value in {**settings(metastore, warehouse, scratch), **more}.items():
        builder = builder.config(name, value)
    with _environment(JAVA_HOME=str(Path(java()).resolve().parent.parent), SPARK_LOCAL_IP="127.0.0.1"):
        session = builder.enableHiveSupport().getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """For as long as Java is started."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def settings(metastore: str, warehouse: str, scratch: Path) -> dict[str, str]:
    """What a small Spark with Hive is told."""
    # To verify the classes of Spark's own jars is an eighth of what a short session costs.
    java_options = (
        "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote "
        f"-Dderby.system.home={scratch} -Djava.io.tmpdir={scratch}"
    )
    return {
        "spark.driver.memory": "768m", "spark.driver.extraJavaOptions": java_options, "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.local.dir": str(scratch),
        "spark.hadoop.hive.metastore.uris": metastore, "spark.sql.warehouse.dir": warehouse,
        "spark.hadoop.hive.exec.dynamic.partition.mode": "nonstrict", "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2", "spark.sql.adaptive.enabled": "false",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2", "spark.ui.showConsoleProgress": "false",
        "spark.cleaner.periodicGC.interval": "1h",
    }  # fmt: skip


def stop(session: Any) -> None:
    """End Spark and its Java."""
    from pyspark import SparkContext

    session.stop()
    gateway: Any = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(20)
        SparkContext._gateway = SparkContext._jvm = None
