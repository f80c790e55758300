"""Starting Spark: a Java that gets nothing secret, what counts of all that was said, within a time; and ending it."""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portal.errors import PortalError
from portal.lake.packages import need
from portal.lake.spark.cluster import Cluster
from portal.lake.spark.failures import SparkPassing, told
from portal.lake.spark.java import java_home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ICEBERG_JAR = "iceberg-spark-runtime-3.5_2.12-1.10.2.jar"
_ICEBERG_CLASS = "org/apache/iceberg/spark/SparkCatalog.class"
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
_LOOK_EVERY_S = 0.2
_END_WITHIN_S = 5.0

log = logging.getLogger("portal.lake")


def submitted() -> bool:
    """Whether this process was started by a spark-submit, whose Java is used."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def start(
    variables: Mapping[str, str], cluster: Cluster, app: str, wanted: Mapping[str, str], *, iceberg: bool, folders: Sequence[Path],
    check: Callable[[], None],
) -> SparkSession:  # fmt: skip
    """Start Java, if no spark-submit has, and Spark in it. `end` ends both.

    Args:
        folders: for what Spark does not keep in memory; a spark-submit's Java has its own
        check: raises Cancelled when the job was asked to stop; asked meanwhile

    Raises:
        SettingError: a setting cannot be used
        SparkFailed: it does not start; SparkPassing: the cluster does not answer, or not in time
    """
    with told("Starting Spark", cancelled=check), _environment(variables, cluster, folders):
        gateway = _gateway(cluster, folders, iceberg)
        try:
            there = cluster.at(_own_conf(gateway), submitted=gateway.proc is None)
            if there is not cluster:
                there.refuse_unreachable()
            if gateway.proc is not None and cluster.on_loopback and not there.on_loopback:
                end_java(gateway)
                del os.environ["SPARK_LOCAL_IP"]
                gateway = _gateway(there, folders, iceberg)
            os.environ["PYSPARK_PYTHON"] = there.python
            # While Java lives: it is asked for what went wrong.
            with told("Starting Spark", cancelled=check), _bounded(gateway, there, check):
                session = _session(gateway, there, app, wanted, iceberg)
                session.sparkContext.setLogLevel("ERROR")
        except BaseException:
            end_java(gateway)
            raise
    return session


def iceberg_jar() -> Path:
    """Return the file with Iceberg's classes for Spark. Raises SettingError when the package is not there."""
    need("snowpark_connect_deps_iceberg")
    return Path(str(importlib.import_module("snowpark_connect_deps_iceberg").get_jar_path(ICEBERG_JAR)))


@contextmanager
def _environment(variables: Mapping[str, str], cluster: Cluster, folders: Sequence[Path]) -> Iterator[None]:
    """What Java inherits: pyspark hands on all that this process has, and reads some of it itself."""
    kept = dict(os.environ)
    given = {name: value for name, value in variables.items() if _GIVEN.fullmatch(name) and not _SECRET.search(name)}
    given |= {name: value for name, value in kept.items() if name.startswith("PYSPARK_GATEWAY_")}
    given |= {"JAVA_HOME": str(java_home(variables)), "PYSPARK_PYTHON": cluster.python}
    if cluster.on_loopback:
        given["SPARK_LOCAL_IP"] = "127.0.0.1"
    if folders:
        given["SPARK_LOCAL_DIRS"] = ",".join(map(str, folders))
    os.environ.clear()
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _gateway(cluster: Cluster, folders: Sequence[Path], iceberg: bool) -> Any:
    """Start Java. What is told here stands in the process list: nothing but what must be known before it starts."""
    sparks = importlib.import_module("pyspark")
    options = f"-Dlog4j2.configurationFile={_LOG.as_uri()}"
    if folders:
        options += f' "-Djava.io.tmpdir={folders[0]}"'
    first = {"spark.driver.memory": cluster.driver_memory, "spark.driver.defaultJavaOptions": options}
    if iceberg:
        first["spark.driver.extraClassPath"] = str(iceberg_jar())
    launch = importlib.import_module("pyspark.java_gateway").launch_gateway
    # Nothing that Java prints may get between what the engine prints.
    return launch(sparks.SparkConf(loadDefaults=False).setAll(list(first.items())), popen_kwargs={"stdout": 2})


def _own_conf(gateway: Any) -> dict[str, str]:
    """What spark-defaults.conf says, and a spark-submit."""
    return dict(importlib.import_module("pyspark").SparkConf(loadDefaults=True, _jvm=gateway.jvm).getAll())


@contextmanager
def _bounded(gateway: Any, cluster: Cluster, check: Callable[[], None]) -> Iterator[None]:
    """End Java when the cluster takes too long, and when the job is cancelled: whoever waits for Java hears of nothing else."""
    over, late = threading.Event(), threading.Event()

    def watch() -> None:
        until = time.monotonic() + cluster.start_within_s
        while not over.wait(_LOOK_EVERY_S):
            if time.monotonic() > until:
                late.set()
            if late.is_set() or _cancelled(check):
                _halt(gateway)
                return

    if not cluster.is_local:
        log.info("starting Spark at %s; it has %g s for it", cluster.master, cluster.start_within_s)
    thread = threading.Thread(target=watch, name="spark-start", daemon=True)
    thread.start()
    try:
        yield
    except Exception:
        if not late.is_set():
            raise
    finally:
        over.set()
        thread.join()
    if late.is_set():
        hint = (
            "Does the cluster run, has it free cores and memory, and does what leads there (SPARK_MASTER, HADOOP_CONF_DIR) fit? "
            "SPARK_START_WITHIN_S gives it more time."
        )
        what = f"Starting Spark failed: {cluster.master} has not taken the application within {cluster.start_within_s:g} s."
        raise SparkPassing(what, hint=hint) from None


def _cancelled(check: Callable[[], None]) -> bool:
    try:
        check()
    except PortalError:
        return True
    return False


def _halt(gateway: Any) -> None:
    if gateway.proc is not None:
        _ended(gateway.proc)
        return
    with suppress(Exception):  # a spark-submit's Java: this very connection ends with it
        gateway.jvm.java.lang.System.exit(1)


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _session(gateway: Any, cluster: Cluster, app: str, wanted: Mapping[str, str], iceberg: bool) -> SparkSession:
    sparks = importlib.import_module("pyspark")
    conf = sparks.SparkConf(loadDefaults=True, _jvm=gateway.jvm)
    conf.setAppName(app)
    conf.setMaster(cluster.master)
    for name, value in _SOFT.items():
        conf.setIfMissing(name, value)
    for name, value in cluster.preferred().items():
        if gateway.proc is None:
            conf.setIfMissing(name, value)
        else:
            conf.set(name, value)
    hard = {**wanted, **cluster.conf(), "spark.ui.showConsoleProgress": "false"}
    if iceberg:
        hard["spark.sql.extensions"] = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
        _bring_iceberg(gateway, cluster, conf)
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


def _bring_iceberg(gateway: Any, cluster: Cluster, conf: Any) -> None:
    """Have Java here know Iceberg's classes, and executors elsewhere too."""
    loader = gateway.jvm.java.lang.Thread.currentThread().getContextClassLoader()
    known = loader.getResource(_ICEBERG_CLASS) is not None
    if known and gateway.proc is None:
        return  # the spark-submit brings its own, or the cluster has them
    jar = str(iceberg_jar())
    if not known:
        loader.addURL(gateway.jvm.java.io.File(jar).toURI().toURL())
    if not cluster.is_local:
        conf.set("spark.jars", ",".join(filter(None, (conf.get("spark.jars", ""), jar))))


def end(session: SparkSession) -> None:
    """End a session, and the Java that was started for it."""
    gateway = session.sparkContext._gateway
    with suppress(Exception):  # Java may be gone already: that is an end, too
        session.stop()
    end_java(gateway)


def end_java(gateway: Any) -> None:
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
