"""A Spark session for as long as an engine needs one: started with what the operator set, ended with all that belongs to it."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portal.errors import SettingError
from portal.lake.catalogs.spark_conf import SparkConf
from portal.lake.packages import need
from portal.lake.spark.cluster import Cluster
from portal.lake.spark.failures import SparkFailed, told
from portal.lake.spark.java import java_home
from portal.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ICEBERG_JAR = "iceberg-spark-runtime-3.5_2.12-1.10.2.jar"
_LOG = Path(__file__).with_name("log4j2.properties")
_GIVEN = re.compile(
    r"PATH|HOME|USER|LOGNAME|TMPDIR|TZ|LANG|LANGUAGE|LC_\w+|LD_LIBRARY_PATH|VIRTUAL_ENV|PYTHON\w*|PYSPARK_\w+|SPARK_\w+|HADOOP_\w+|YARN_\w+|"
    r"HIVE_CONF_DIR|JAVA_\w+|KRB5\w*|KUBECONFIG|KUBERNETES_\w+|PORTAL_JOB_ID|PORTAL_HOME"
)
"""What of the environment Java gets: any other variable may hold a secret."""
_SECRET = re.compile(r"(?i)secret|password|token|credential")
_SOFT = {
    "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "8", "spark.hadoop.fs.defaultFS": "file:///",
}  # fmt: skip
"""What holds unless spark-defaults.conf or a spark-submit says otherwise."""
_END_WITHIN_S = 5.0


@contextmanager
def spark_session(
    settings: Settings, *, app: str, catalogs: Iterable[SparkConf] = (), conf: Mapping[str, str] | None = None, iceberg: bool = True,
    check: Callable[[], None] = lambda: None,
) -> Iterator[SparkSession]:  # fmt: skip
    """Start Spark where SPARK_MASTER says (`local[*]` without it), and end it, its Java too, at the end.

    A session that runs in this process already is used instead, and left running.

    Args:
        app: what Spark calls the application
        catalogs: Iceberg catalogs that SQL shall know (`spark_conf(name, connection)`)
        conf: further settings of Spark's, by full name; they never stand in a process list, but Spark shows them
        iceberg: bring Iceberg's classes and SQL extensions
        check: raises Cancelled when the job was asked to stop

    Raises:
        SettingError: a package, Java or a setting is missing or cannot be used
        SparkFailed: it does not start; SparkPassing: the master does not answer
    """
    need("pyspark")
    # What a catalog is reached with is told to the session alone: it stands in no configuration of the application.
    catalog_conf = {name: value for each in catalogs for part in each for name, value in part.items()}
    running = _running()
    if running is not None:
        with _also(running, {**(conf or {}), **catalog_conf}):
            yield running
        return
    cluster = Cluster.of(settings.variables)
    cluster.refuse_unreachable()
    with told("Starting Spark", cancelled=check):
        session = _started(settings, cluster, app, conf or {}, iceberg)
    try:
        for name, value in catalog_conf.items():
            session.conf.set(name, value)
        yield session
    finally:
        _end(session)


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


def iceberg_jar() -> Path:
    """Return the file with Iceberg's classes for Spark. Raises SettingError when the package is not there."""
    need("snowpark_connect_deps_iceberg")
    return Path(str(importlib.import_module("snowpark_connect_deps_iceberg").get_jar_path(ICEBERG_JAR)))


def _started(settings: Settings, cluster: Cluster, app: str, wanted: Mapping[str, str], iceberg: bool) -> SparkSession:
    sparks = importlib.import_module("pyspark")
    with _environment(settings.variables, cluster):
        gateway = _gateway(cluster, iceberg)
        try:
            session = _session(sparks, gateway, cluster, app, wanted, iceberg)
        except Exception:
            _end_java(gateway)
            raise
    session.sparkContext.setLogLevel("ERROR")
    return session


@contextmanager
def _environment(variables: Mapping[str, str], cluster: Cluster) -> Iterator[None]:
    """What Java inherits: pyspark hands on all that this process has, and reads some of it itself."""
    kept = dict(os.environ)
    given = {name: value for name, value in variables.items() if _GIVEN.fullmatch(name) and not _SECRET.search(name)}
    given |= {name: value for name, value in kept.items() if name.startswith("PYSPARK_GATEWAY_")}
    given |= {"JAVA_HOME": str(java_home(variables)), "PYSPARK_PYTHON": cluster.python}
    if cluster.on_loopback:
        given["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ.clear()
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _gateway(cluster: Cluster, iceberg: bool) -> Any:
    """Start Java. What is told here stands in the process list: nothing but what must be known before it starts."""
    sparks = importlib.import_module("pyspark")
    options = f"-Dlog4j2.configurationFile={_LOG.as_uri()}"
    first = {"spark.driver.memory": cluster.driver_memory, "spark.driver.defaultJavaOptions": options}
    if iceberg:
        first["spark.driver.extraClassPath" if cluster.is_local else "spark.jars"] = str(iceberg_jar())
    launch = importlib.import_module("pyspark.java_gateway").launch_gateway
    # Nothing that Java prints may get between what the engine prints.
    return launch(sparks.SparkConf(loadDefaults=False).setAll(list(first.items())), popen_kwargs={"stdout": 2})


def _session(sparks: Any, gateway: Any, cluster: Cluster, app: str, wanted: Mapping[str, str], iceberg: bool) -> SparkSession:
    conf = sparks.SparkConf(loadDefaults=True, _jvm=gateway.jvm)
    conf.setAppName(app)
    # Java that we started ourselves says local[*] when nobody told it anything else.
    if cluster.named or conf.get("spark.master", "local[*]") == "local[*]":
        conf.setMaster(cluster.master)
    for name, value in _SOFT.items():
        conf.setIfMissing(name, value)
    hard = {**wanted, **cluster.conf(), "spark.ui.showConsoleProgress": "false"}
    if iceberg:
        hard["spark.sql.extensions"] = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
    for name, value in hard.items():
        conf.set(name, value)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        sparks.SparkContext(conf=conf, gateway=gateway)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)  # pyspark takes it; what Ctrl-C means, the engine decides
    found: SparkSession = importlib.import_module("pyspark.sql").SparkSession.builder.getOrCreate()
    return found


def _end(session: SparkSession) -> None:
    gateway = session.sparkContext._gateway
    with suppress(Exception):  # Java may be gone already: that is an end, too
        session.stop()
    _end_java(gateway)


def _end_java(gateway: Any) -> None:
    """End Java, if it was started here, and forget it: the next session starts another."""
    sparks = importlib.import_module("pyspark")
    process = getattr(gateway, "proc", None)
    if process is None:
        return
    with suppress(Exception):
        gateway.shutdown()
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    sparks.SparkContext._active_spark_context = sparks.SparkContext._gateway = sparks.SparkContext._jvm = None


def master_of(session: SparkSession) -> str:
    """Return where a session runs, for the log."""
    found = session.sparkContext.master
    if not found:
        raise SparkFailed("The Spark session has ended.")
    return str(found)
