"""Where a transfer moves its objects: in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from portal.lake.packages import need
from portal.lake.spark.cluster import Cluster
from portal.lake.spark.distributing import Bring, spark_mover
from portal.lake.spark.java import java_home
from portal.lake.spark.session import spark_session
from portal.lake.spark.share_task import Conversion
from portal.settings import Settings
from portal.transfer.migration import Migration


def refuse_unready(settings: Settings) -> None:
    """Look at what Spark will need before anything is listed. Raises SettingError, and SparkPassing when the master does not answer."""
    need("pyspark")
    cluster = Cluster.of(settings.variables)
    java_home(settings.variables)
    cluster.refuse_unreachable()


@contextmanager
def on_spark(
    migration: Migration, settings: Settings, *, conversion: Conversion | None = None, bring: Bring = lambda name, data: None
) -> Iterator[Migration]:
    """Give the same transfer with its objects moved on the executors; see `spark_mover`. Raises what `spark_session` raises."""
    with spark_session(settings, app=f"portal {migration.job_id}", iceberg=False, check=migration.check) as session:
        yield replace(migration, mover=spark_mover(session, conversion=conversion, bring=bring))
