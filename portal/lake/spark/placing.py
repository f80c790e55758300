"""Where a transfer moves its objects: in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from portal.lake.packages import need
from portal.lake.spark.cluster import Cluster
from portal.lake.spark.converting import Converting, DataSetOnSpark
from portal.lake.spark.distributing import Bring, Converts, spark_mover
from portal.lake.spark.java import java_home
from portal.lake.spark.session import spark_session
from portal.lake.spark.spark_lister import SparkLister
from portal.lake.spark.starting import submitted
from portal.settings import Settings
from portal.transfer.dataset import DataSet
from portal.transfer.migration import Migration

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def refuse_unready(settings: Settings) -> None:
    """Look at what Spark will need before anything is listed. Raises SettingError, and SparkPassing when the master does not answer."""
    need("pyspark")
    cluster = Cluster.of(settings.variables)
    java_home(settings.variables)
    if not submitted():
        cluster.refuse_unreachable()


@contextmanager
def on_spark(
    migration: Migration, settings: Settings, *, conversion: Converts | None = None, bring: Bring = lambda name, data: None
) -> Iterator[Migration]:
    """Give the same transfer with its source listed and its objects moved on the executors; see `spark_mover`. Raises what `spark_session` raises."""
    with spark_session(settings, app=f"portal {migration.job_id}", iceberg=False, check=migration.check) as session:
        yield replace(migration, lister=_lister(session, migration), mover=spark_mover(session, conversion=conversion, bring=bring))


@contextmanager
def data_set_on_spark(
    migration: Migration, settings: Settings, *, conversion: Callable[[], Converting], bring: Bring, folder: str
) -> Iterator[Migration]:
    """Give the same transfer with one executor making one data set of everything, in a folder of the target."""
    with spark_session(settings, app=f"portal {migration.job_id}", iceberg=False, check=migration.check) as session:
        together = DataSetOnSpark(session, conversion, bring, migration.job_id)
        yield replace(migration, lister=_lister(session, migration), mover=DataSet(together, folder))


def _lister(session: SparkSession, migration: Migration) -> SparkLister | None:
    """What lists the source. A plan of a bucket is gone on with wherever it was cut off; of other stores nobody could, so this machine lists them."""
    source = migration.route.source
    if source.url.scheme != "s3":
        return None
    return SparkLister(session, source, migration.folder / ".listing", migration.check)
