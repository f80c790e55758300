"""How Spark starts and ends when it does not go well: what a spark-submit was told, a cluster that does not answer, a Java that is lost."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.clientserver import ClientServer, JavaParameters, PythonParameters

from portal.errors import Cancelled, PortalError, SettingError, explain
from portal.lake.spark import failures, scratch, starting
from portal.lake.spark.cluster import Cluster

SECRET = {"SPARK_AUTHENTICATE_SECRET": "a-secret-of-the-cluster"}
JAR = "/jars/iceberg.jar"


class Conf(dict[str, str]):
    """Spark's own configuration, with what a spark-submit was told."""

    def setIfMissing(self, name: str, value: str) -> None:
        self.setdefault(name, value)

    def set(self, name: str, value: str) -> None:
        self[name] = value

    def setAppName(self, name: str) -> None:
        self["spark.app.name"] = name

    def setMaster(self, master: str) -> None:
        self["spark.master"] = master

    def getAll(self) -> list[tuple[str, str]]:
        return list(self.items())


class Java:
    """A Java that runs already, as py4j shows it; `added` is what its class loader got."""

    def __init__(self, process: Any = None, has_iceberg: bool = False) -> None:
        self.proc, self.added = process, list[str]()
        loader = SimpleNamespace(getResource=lambda name: name if has_iceberg else None, addURL=self.added.append)
        thread = SimpleNamespace(currentThread=lambda: SimpleNamespace(getContextClassLoader=lambda: loader))
        files = SimpleNamespace(File=lambda path: SimpleNamespace(toURI=lambda: SimpleNamespace(toURL=lambda: path)))
        self.jvm = SimpleNamespace(java=SimpleNamespace(lang=SimpleNamespace(Thread=thread), io=files))

    def shutdown(self) -> None:
        self.proc.ended = True


class Stopped(Exception):
    """Spark was about to start."""


def conf_of(monkeypatch: pytest.MonkeyPatch, gateway: Java, variables: dict[str, str], iceberg: bool = True, **told: str) -> tuple[Conf, str]:
    """What Spark would start with, and the executors' Python; `told` stands in Spark's own configuration."""
    conf = Conf({"spark.master": "local[*]"} | {name.replace("_", "."): value for name, value in told.items()})
    seen: list[str] = []

    def context(**_: object) -> None:
        seen.append(os.environ["PYSPARK_PYTHON"])
        raise Stopped

    monkeypatch.setattr(starting, "_gateway", lambda *_: gateway)
    monkeypatch.setattr(starting, "iceberg_jar", lambda: Path(JAR))
    monkeypatch.setattr("pyspark.SparkConf", lambda **_: conf)
    monkeypatch.setattr("pyspark.SparkContext", context)
    with pytest.raises(Stopped):
        starting.start(variables, Cluster.of(variables), "tests", {}, iceberg=iceberg, folders=(), check=lambda: None)
    return conf, seen[0]


def test_what_a_spark_submit_was_told_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"spark_driver_host": "driver.example.com", "spark_jars": "/own.jar", "spark_executor_memory": "3g"}
    variables = {**SECRET, "SPARK_EXECUTOR_MEMORY": "1g", "SPARK_DRIVER_HOST": "other.example.com", "SPARK_MASTER": "local[2]"}
    conf, python = conf_of(monkeypatch, java := Java(), variables, spark_master="yarn", **told)
    assert conf["spark.master"] == "yarn" and conf["spark.driver.host"] == "driver.example.com" and "spark.driver.bindAddress" not in conf
    assert conf["spark.executor.memory"] == "3g" and python == "python3"
    assert conf["spark.jars"] == f"/own.jar,{JAR}" and java.added == [JAR]
    assert conf["spark.authenticate.secret"] == SECRET["SPARK_AUTHENTICATE_SECRET"] and conf["spark.authenticate"] == "true"


def test_a_spark_submit_that_was_told_no_master_takes_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    conf, _ = conf_of(monkeypatch, Java(), {"SPARK_MASTER": "local[2]"})
    assert conf["spark.master"] == "local[2]" and conf["spark.driver.host"] == conf["spark.driver.bindAddress"] == "127.0.0.1"


def test_the_iceberg_that_a_spark_submit_brings_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    conf, _ = conf_of(monkeypatch, java := Java(has_iceberg=True), {}, spark_master="yarn")
    assert "spark.jars" not in conf and not java.added


def test_executors_elsewhere_get_icebergs_classes_and_a_local_spark_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(stdin=SimpleNamespace(close=lambda: None), wait=lambda _: None)
    conf, _ = conf_of(monkeypatch, Java(process, has_iceberg=True), {"SPARK_MASTER": "spark://far:7077", **SECRET}, spark_jars="/own.jar")
    assert conf["spark.jars"] == f"/own.jar,{JAR}"
    conf, _ = conf_of(monkeypatch, Java(process, has_iceberg=True), {})
    assert "spark.jars" not in conf


def test_a_master_that_only_sparks_own_configuration_names_is_not_bound_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(stdin=SimpleNamespace(close=lambda: None), wait=lambda _: None, ended=False)
    conf, python = conf_of(monkeypatch, Java(process), {}, spark_master="yarn")
    assert conf["spark.master"] == "yarn" and "spark.driver.host" not in conf and python == "python3"
    assert process.ended  # the first one had the loopback interface alone


def test_a_submitted_master_without_a_secret_is_refused() -> None:
    with pytest.raises(SettingError, match="no secret"):
        Cluster.of({}).at({"spark.master": "spark://far:7077"}, submitted=True)
    told = {"spark.master": "spark://far:7077", "spark.authenticate.secret": "theirs"}
    assert Cluster.of({}).at(told, submitted=True).master == "spark://far:7077"


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, raised: Any, process: Any) -> Iterator[None]:
    monkeypatch.setattr(starting, "_gateway", lambda *_: SimpleNamespace(proc=process, jvm=None, shutdown=lambda: setattr(process, "ended", True)))
    monkeypatch.setattr(starting, "_own_conf", lambda _: {})
    monkeypatch.setattr(starting, "_session", raised)
    yield


class JavaError(Exception):
    """What py4j raises: it asks Java for what it says."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.java_exception = self

    def toString(self) -> str:
        if self._process.ended:
            raise ConnectionRefusedError
        return "org.apache.spark.SparkException: Could not parse Master URL: 'x'"

    def getCause(self) -> None:
        return None


JavaError.__module__ = "py4j.protocol"


def test_why_spark_does_not_start_is_asked_while_java_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(ended=False, stdin=SimpleNamespace(close=lambda: None), wait=lambda _: None)

    def raised(*_: object) -> None:
        raise JavaError(process)

    with failing(monkeypatch, raised, process), pytest.raises(failures.SparkFailed, match="Could not parse Master URL: 'x'") as caught:
        starting.start({}, Cluster.of({}), "tests", {}, iceberg=False, folders=(), check=lambda: None)
    assert process.ended and "SPARK_MASTER" in caught.value.hint


def lost_gateway() -> ClientServer:
    """py4j with nobody where Java was."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return ClientServer(JavaParameters(port=port, auth_token="x"), PythonParameters(port=0, eager_load=False))


@pytest.mark.parametrize("ends", ["late", "cancelled"])
def test_a_start_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    with subprocess.Popen(["sleep", "100"], stdin=subprocess.PIPE) as process:

        def hangs(*_: object) -> None:
            process.wait(60)
            lost_gateway().jvm.System.exit(0)  # what a call says whose Java has ended

        def check() -> None:
            if ends == "cancelled":
                raise Cancelled

        cluster = Cluster.of({"SPARK_MASTER": "yarn", "SPARK_START_WITHIN_S": "600" if ends == "cancelled" else "0.1"})
        expected, words = (Cancelled, "cancelled") if ends == "cancelled" else (failures.SparkPassing, "yarn has not taken the application")
        begun = time.monotonic()
        with failing(monkeypatch, hangs, process), pytest.raises(expected, match=words) as caught:
            starting.start({}, cluster, "tests", {}, iceberg=False, folders=(), check=check)
        assert ends == "cancelled" or "because" not in explain(caught.value)
        assert process.returncode is not None and time.monotonic() - begun < 60


def test_a_lost_java_is_told_and_may_be_tried_again() -> None:
    with pytest.raises(failures.SparkPassing, match="Moving failed: Spark has ended") as caught, failures.told("Moving"):
        lost_gateway().jvm.System.exit(0)
    assert caught.value.retryable and "SPARK_DRIVER_MEMORY" in caught.value.hint


def test_an_error_of_sparks_behind_another_is_told_too() -> None:
    with pytest.raises(failures.SparkPassing, match="Spark has ended"), failures.told("Moving"):
        try:
            lost_gateway().jvm.System.exit(0)
        except OSError as error:
            raise RuntimeError("it went wrong") from error


def test_an_error_that_is_not_sparks_stays_what_it_is() -> None:
    with pytest.raises(ConnectionRefusedError), failures.told("Moving"):
        socket.create_connection(("127.0.0.1", 9), 5)


def test_a_killed_process_leaves_no_files_for_ever_and_a_living_one_keeps_its_own(tmp_path: Path) -> None:
    with scratch.scratch_folders([tmp_path / "new"]) as (living,):
        dead = tmp_path / "new" / "portal-dead"
        dead.mkdir()
        (dead / "blockmgr").mkdir()
        (foreign := tmp_path / "new" / "sales").mkdir()
        with scratch.scratch_folders([tmp_path / "new"]) as (other,):
            assert other != living and living.is_dir() and foreign.is_dir() and not dead.exists()
        assert not other.exists()
    assert not living.exists()
    with pytest.raises(PortalError, match="cannot be put") as caught, scratch.scratch_folders([Path("/proc/nothing")]):
        pass
    assert "SPARK_LOCAL_DIRS" in caught.value.hint
