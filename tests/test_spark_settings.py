"""What Spark is told, by whom and how: Java, master, secrets; and what it says when something fails."""

from __future__ import annotations

import os
import socket
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from portal.errors import AccessDenied, PortalError, SettingError, explain
from portal.lake.spark import answers, failures, java, own_code, session, starting
from portal.lake.spark.cluster import LOCAL_MASTER, VARIABLES, Cluster

SECRET = {"SPARK_AUTHENTICATE_SECRET": "a-secret-of-the-cluster"}


def fake_java(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    (folder / "bin" / "java").chmod(0o755)
    return folder


@pytest.mark.parametrize(("told", "fits"), [("1.8.0_402", True), ("11.0.2", True), ("17.0.15", True), ("21.0.1", False), ("9", False), ("", False)])
def test_only_a_java_that_spark_runs_on_is_taken(told: str, fits: bool, tmp_path: Path) -> None:
    named, on_path = fake_java(tmp_path / "named", told), fake_java(tmp_path / "path", "17.0.1")
    variables = {"JAVA_HOME": str(named), "PATH": f"{on_path}/bin"}
    assert java.java_home(variables) == (named if fits else on_path)


def test_without_one_the_wheels_java_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"JAVA_HOME": str(tmp_path), "PATH": f"{fake_java(tmp_path / 'new', '24')}/bin"}
    home = java.java_home(variables)
    assert java.version_of(home / "bin" / "java") == 17
    monkeypatch.setattr(java, "_of_the_wheel", lambda: None)
    with pytest.raises(SettingError, match=r"8, 11 or 17.*is no Java.*is Java 24"):
        java.java_home(variables)


def test_without_a_setting_spark_runs_here() -> None:
    found = Cluster.of({})
    assert found.master == LOCAL_MASTER and found.on_loopback and not found.named
    assert found.conf()["spark.driver.bindAddress"] == "127.0.0.1" and found.conf()["spark.authenticate"] == "true"


def test_a_master_far_away_without_a_secret_is_refused_unless_that_is_meant() -> None:
    with pytest.raises(SettingError, match="no secret") as caught:
        Cluster.of({"SPARK_MASTER": "spark://far:7077"})
    assert "SPARK_AUTHENTICATE=no" in caught.value.hint
    assert Cluster.of({"SPARK_MASTER": "spark://far:7077", "SPARK_AUTHENTICATE": "no"}).conf()["spark.authenticate"] == "false"
    told = Cluster.of({"SPARK_MASTER": "spark://far:7077", **SECRET})
    assert told.preferred()["spark.authenticate.secret"] == SECRET["SPARK_AUTHENTICATE_SECRET"] and not told.on_loopback
    assert told.conf()["spark.network.crypto.enabled"] == told.conf()["spark.io.encryption.enabled"] == "true"
    assert SECRET["SPARK_AUTHENTICATE_SECRET"] not in repr(told)


@pytest.mark.parametrize(("name", "value"), [
    *(("SPARK_MASTER", master) for master in (
        "far:7077", "spark", "k8s", "mesos", "spark://far", "spark://far:port", "spark://far:7077/", "SPARK://far:7077", "local[abc]", "local[0]",
        "local[2,0]", "local-cluster[2,1,1]", "k8s://", "yarn://far",
    )),
    ("SPARK_START_WITHIN_S", "soon"), ("SPARK_START_WITHIN_S", "0"),
    ("SPARK_AUTHENTICATE", "perhaps"), ("SPARK_AUTHENTICATE_SECRET_FILE", "/nowhere/secret"),
])  # fmt: skip
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        Cluster.of({name: value})
    assert caught.value.hint


@pytest.mark.parametrize("master", [
    "local", "local[*]", "local[2]", "local[*,4]", "local[2, 4]", "spark://far:7077", "spark://a.example.com:7077,[::1]:7078", "yarn",
    "k8s://https://10.0.0.1:443", "k8s://far:6443", "k8s://https://far/k8s/clusters/c-1", "mesos://far:5050",
])  # fmt: skip
def test_every_master_that_spark_knows_is_taken(master: str) -> None:
    assert Cluster.of({"SPARK_MASTER": master, **SECRET}).master == master


def test_the_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of-the-file\n")
    assert Cluster.of({"SPARK_MASTER": "spark://far:7077", "SPARK_AUTHENTICATE_SECRET_FILE": str(tmp_path / "secret")}).secret == "of-the-file"


def test_a_master_that_does_not_answer_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(failures.SparkPassing, match="does not answer"):
            Cluster.of({"SPARK_MASTER": f"spark://127.0.0.1:{port}", **SECRET}).refuse_unreachable()
        taken.listen()
        Cluster.of({"SPARK_MASTER": f"spark://gone.invalid:1,127.0.0.1:{port}", **SECRET}).refuse_unreachable()


def test_java_gets_none_of_the_environment_that_may_hold_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MY_SAS", "SPARK_AUTHENTICATE_SECRET", "SOME_TOKEN"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("SPARK_CONF_DIR", "/conf")
    before = dict(os.environ)
    with starting._environment(dict(os.environ), Cluster.of({}), ()):
        inherited = dict(os.environ)
    assert dict(os.environ) == before
    assert "hidden" not in inherited.values()
    assert inherited["SPARK_CONF_DIR"] == "/conf" and inherited["SPARK_LOCAL_IP"] == "127.0.0.1" and inherited["JAVA_HOME"]


def test_what_is_told_when_java_starts_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the process list."""
    told: dict[str, str] = {}
    monkeypatch.setattr("pyspark.java_gateway.launch_gateway", lambda conf, **_: told.update(conf.getAll()))
    starting._gateway(Cluster.of({"SPARK_MASTER": "spark://far:7077", **SECRET}), (), iceberg=True)
    assert told["spark.driver.extraClassPath"].endswith(".jar") and SECRET["SPARK_AUTHENTICATE_SECRET"] not in str(told)


class Throwable:
    """A Java exception as py4j shows it."""

    def __init__(self, text: str, cause: Throwable | None = None) -> None:
        self._text, self._cause = text, cause

    def toString(self) -> str:
        return self._text

    def getCause(self) -> Throwable | None:
        return self._cause


_TRACE = "\n\tat org.apache.spark.scheduler.DAGScheduler.failJob(DAGScheduler.scala:2844)\n\tat java.base/java.lang.Thread.run(Thread.java:840)"
_STAGE = "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 failed 4 times, most recent failure: Lost task 0.3 in "


@pytest.mark.parametrize(("thrown", "cause"), [
    (Throwable(f"{_STAGE}stage 3.0 (TID 6) (host executor 1): java.io.IOException: no room{_TRACE}\n\nDriver stacktrace:"), "IOException: no room"),
    (Throwable(f"{_STAGE}stage 3.0 (TID 6) (host executor driver): org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
               '  File "worker.py", line 1, in main\nZeroDivisionError: division by zero\n'), "ZeroDivisionError: division by zero"),
    (Throwable("org.apache.spark.SparkException: Job aborted.", Throwable("java.lang.RuntimeException: it broke")), "it broke"),
    (Throwable("java.lang.RuntimeException: java.lang.ClassNotFoundException: a.b.C", Throwable("java.lang.ClassNotFoundException: a.b.C")), "a.b.C"),
    (Throwable("org.apache.hadoop.hive.ql.metadata.HiveException: Unable", Throwable("MetaException(message:gone)")), "MetaException(message:gone)"),
])  # fmt: skip
def test_of_a_trace_the_first_useful_cause_is_told(thrown: Throwable, cause: str) -> None:
    error: Any = Exception("An error occurred while calling o1.collect.")
    error.java_exception = thrown
    told = explain(failures.failure("Reading sales.orders", error))
    assert cause in told and "\tat " not in told and ".scala" not in told and told.startswith("Reading sales.orders failed: ")


def test_what_may_go_through_later_is_tried_again_and_what_cannot_is_not() -> None:
    lost = f"{_STAGE}stage 3.0 (TID 6) (host executor 1): ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: gone"
    for text, retryable in ((lost, True), ("java.net.ConnectException: Connection refused", True), ("AnalysisException: no such column", False)):
        error: Any = Exception("x")
        error.java_exception = Throwable(text)
        assert failures.failure("Doing it", error).retryable is retryable


def test_an_error_of_a_task_comes_back_as_what_it_was_without_secrets() -> None:
    def refused(*_: object) -> None:
        raise AccessDenied("No.", hint="Ask.") from ValueError("sig=abcdefghij")

    with pytest.raises(AccessDenied) as caught:
        answers.value_of(answers.answered(refused, None, None, 0))
    assert caught.value.hint == "Ask." and "abcdefghij" not in explain(caught.value) and "because" in explain(caught.value)


def test_an_error_that_nobody_foresaw_is_told_as_sparks(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(failures.SparkFailed, match="ZeroDivisionError"):
        answers.value_of(answers.answered(lambda *_: 1 // 0, None, None, 0))
    assert "Traceback" in caplog.text


def test_the_code_that_is_sent_is_the_same_for_the_same_code_and_holds_no_state(tmp_path: Path) -> None:
    one, other = own_code.packed(tmp_path / "one.zip"), own_code.packed(tmp_path / "other.zip")
    assert own_code.stamp_of(one) == own_code.stamp_of(other)
    names = zipfile.ZipFile(one).namelist()
    assert "portal/movers/process.py" in names and "portal/planning/prices.toml" in names
    assert not [name for name in names if not name.startswith("portal/") or "__pycache__" in name or "/." in name]


def test_a_conflicting_setting_of_a_running_session_is_refused() -> None:
    running: Any = SimpleNamespace(conf=SimpleNamespace(get=lambda name, default: None, isModifiable=lambda name: False))
    with pytest.raises(PortalError, match=r"spark\.hadoop\.hive\.metastore\.uris"), session._also(running, {"spark.hadoop.hive.metastore.uris": "x"}):
        pass


def test_every_variable_that_is_told_of_is_read_and_no_other() -> None:
    asked: list[str] = []

    class Asked(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.append(name)
            return {"SPARK_MASTER": "local[2]"}.get(name, default)

    Cluster.of(Asked())
    assert set(asked) == set(VARIABLES)
