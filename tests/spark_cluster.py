"""A real Spark cluster for the tests: a standalone master and two workers on 127.0.0.1, who know each other by a secret; and Spark in small."""

from __future__ import annotations

import os
import re
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from embedded import processes
from embedded.processes import Child
from portal.lake.spark.java import java_home
from portal.processes import descendants

SMALL_JAVA = (
    "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss512k -XX:CICompilerCount=1 -XX:-UsePerfData "
    "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)
"""A Java that is to live for a few seconds beside others: to verify the classes of Spark's own jars takes an eighth of that."""
_UP_WITHIN_S = 60


def small(**more: str) -> dict[str, str]:
    """Variables with which Spark starts small and soon, whatever it is started by."""
    return {"SPARK_SUBMIT_OPTS": SMALL_JAVA, "SPARK_DRIVER_MEMORY": "512m", **more}


@dataclass
class Cluster:
    """A running cluster; its processes end with the tests, however those end."""

    folder: Path
    secret: str
    url: str
    """spark://127.0.0.1:PORT"""
    master: Child
    workers: list[Child] = field(default_factory=list)

    def variables(self, **more: str) -> dict[str, str]:
        """What a driver needs in its environment or `.env`."""
        (file := self.folder / "secret").write_text(self.secret)
        file.chmod(0o600)
        return small(SPARK_MASTER=self.url, SPARK_AUTHENTICATE_SECRET_FILE=str(file), SPARK_EXECUTOR_MEMORY="512m", **more)

    def add_worker(self) -> Child:
        """Start a worker with one core. `registered` tells when it is there."""
        number = len(self.workers)
        work = self.folder / f"work-{number}"
        arguments = ["--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--work-dir", str(work), "--webui-port", "0", self.url]
        self.workers.append(_java(self.folder, self.secret, f"worker-{number}", "worker.Worker", *arguments))
        return self.workers[-1]

    def wait_registered(self) -> None:
        """Wait until every worker that lives is known to the master."""
        for worker in (worker for worker in self.workers if not worker.ended):
            _said(worker, r"(Successfully registered) with master")

    def executors(self) -> list[int]:
        """Process ids of the executors, the oldest first."""
        below = descendants(*(worker.process.pid for worker in self.workers))
        return sorted(pid for pid in below if b"CoarseGrainedExecutorBackend" in command(pid))

    def kill(self, worker: Child) -> None:
        """kill -9 a worker: its executors notice by themselves."""
        for pid in {worker.process.pid, *(pid for pid in descendants(worker.process.pid) if b"deploy.worker.Worker" in command(pid))}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        worker.process.wait()


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Start a cluster; end it, with whatever it started."""
    secret = secrets.token_hex(16)
    master = _java(folder, secret, "master", "master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
    found = Cluster(folder, secret, "", master)
    try:
        found.url = _said(master, r"Starting Spark master at (spark://\S+)")
        for _ in range(workers):
            found.add_worker()
        found.wait_registered()
        yield found
    finally:
        processes.stop([found.master, *found.workers])


def _java(folder: Path, secret: str, name: str, kind: str, *arguments: str) -> Child:
    """Start what `spark-class` would; the secret stands in a file that only this user reads, not in the process list."""
    import pyspark

    conf = folder / "spark.conf"
    if not conf.exists():
        (folder / "local").mkdir()
        conf.touch(0o600)
        conf.write_text(
            f"spark.authenticate true\nspark.authenticate.secret {secret}\nspark.network.crypto.enabled true\n"
            "spark.worker.cleanup.enabled false\nspark.worker.ui.retainedExecutors 5\n"
        )
    home = Path(pyspark.__file__).parent
    env = {
        **os.environ, "SPARK_HOME": str(home), "JAVA_HOME": str(java_home(os.environ)), "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": f"{SMALL_JAVA} -Djava.io.tmpdir={folder}/local",
        "PYSPARK_PYTHON": sys.executable, "SPARK_NO_DAEMONIZE": "1",
        "SPARK_LOCAL_DIRS": str(folder / "local"),
    }  # fmt: skip
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", "--properties-file", str(conf), *arguments]
    return processes.start(f"spark {name}", command, folder / f"{name}.log", env)


def _said(child: Child, pattern: str) -> str:
    """Wait until a process has said something; returns the group of the pattern."""
    until = time.monotonic() + _UP_WITHIN_S
    while not (found := re.search(pattern, "\n".join(child.output()))):
        assert not child.ended, child.obituary()
        assert time.monotonic() < until, f"{child.name} did not say {pattern}: {child.log}"
        time.sleep(0.05)
    return found[1]


def command(pid: int) -> bytes:
    """Return the command line of a process; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
