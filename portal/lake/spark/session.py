"""A Spark session for as long as an engine needs one: started with what the operator set, ended with all that belongs to it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from portal.errors import SettingError
from portal.lake.catalogs.spark_conf import SparkConf
from portal.lake.packages import need
from portal.lake.spark.cluster import Cluster
from portal.lake.spark.failures import told
from portal.lake.spark.scratch import scratch_folders
from portal.lake.spark.starting import end, start, submitted
from portal.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_WORKING = "Working with Spark"
_SCRATCH = ".spark"
"""In the home, unless SPARK_LOCAL_DIRS says otherwise: /tmp may be small, and in memory."""


@contextmanager
def spark_session(
    settings: Settings, *, app: str, catalogs: Iterable[SparkConf] = (), conf: Mapping[str, str] | None = None, iceberg: bool = True,
    check: Callable[[], None] = lambda: None,
) -> Iterator[SparkSession]:  # fmt: skip
    """Start Spark where a spark-submit or SPARK_MASTER says (`local[*]` without them), and end it, its Java too, at the end.

    A session that runs in this process already is used instead, and left running.

    Args:
        app: what Spark calls the application
        catalogs: Iceberg catalogs that SQL shall know (`spark_conf(name, connection)`)
        conf: further settings of Spark's, by full name; they never stand in a process list, but Spark shows them
        iceberg: bring Iceberg's classes and SQL extensions
        check: raises Cancelled when the job was asked to stop

    Raises:
        SettingError: a package, Java or a setting is missing or cannot be used
        SparkFailed: it does not start, or failed; SparkPassing: the master does not answer in time, or Spark has ended
    """
    need("pyspark")
    # What a catalog is reached with is told to the session alone: it stands in no configuration of the application.
    catalog_conf = {name: value for each in catalogs for part in each for name, value in part.items()}
    running = _running()
    if running is not None:
        with told(_WORKING, cancelled=check), _also(running, {**(conf or {}), **catalog_conf}):
            yield running
        return
    cluster = Cluster.of(settings.variables)
    if not submitted():
        cluster.refuse_unreachable()
    with scratch_folders(() if submitted() else cluster.local_dirs or (settings.home / _SCRATCH,)) as folders:
        session = start(settings.variables, cluster, app, conf or {}, iceberg=iceberg, folders=folders, check=check)
        try:
            with told(_WORKING, cancelled=check):
                for name, value in catalog_conf.items():
                    session.conf.set(name, value)
                yield session
        finally:
            end(session)


def _running() -> SparkSession | None:
    sparks = importlib.import_module("pyspark")
    if sparks.SparkContext._active_spark_context is None:
        return None
    found: SparkSession = importlib.import_module("pyspark.sql").SparkSession.builder.getOrCreate()
    return found


@contextmanager
def _also(session: SparkSession, wanted: Mapping[str, str]) -> Iterator[None]:
    """Set what can be set in a session that runs, for as long as this lasts. Raises SettingError for what cannot."""
    before = {name: session.conf.get(name, None) for name in wanted}
    changed = {name: value for name, value in wanted.items() if before[name] != value}
    for name, value in changed.items():
        if not (name.startswith("spark.sql.") and _settable(session, name)):
            raise SettingError(f"A Spark session runs in this process with another {name} than {value}.", hint="End that one first.")
    for name, value in changed.items():
        session.conf.set(name, value)
    try:
        yield
    finally:
        for name in changed:
            old = before[name]
            # A catalog that was used stays: Spark has loaded it, and would not load it a second time.
            if old is not None:
                session.conf.set(name, old)
            elif not name.startswith("spark.sql.catalog."):
                session.conf.unset(name)


def _settable(session: SparkSession, name: str) -> bool:
    return name.startswith("spark.sql.catalog.") or bool(session.conf.isModifiable(name))
