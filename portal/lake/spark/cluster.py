"""Where Spark runs and how it is secured: read from the settings' variables, refused when what is asked for would send secrets in the clear."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from portal.errors import SettingError
from portal.lake.spark.failures import SparkPassing

VARIABLES = (
    "SPARK_MASTER", "SPARK_AUTHENTICATE_SECRET_FILE", "SPARK_AUTHENTICATE_SECRET", "SPARK_AUTHENTICATE", "SPARK_DRIVER_HOST", "PYSPARK_PYTHON",
    "SPARK_DRIVER_MEMORY", "SPARK_EXECUTOR_MEMORY", "SPARK_EXECUTOR_CORES", "SPARK_CORES_MAX",
)  # fmt: skip
"""All that is read here; whatever else Spark knows stands in its own configuration (SPARK_CONF_DIR)."""
LOCAL_MASTER = "local[*,4]"
"""Every processor of this machine; what fails is tried four times, as on a cluster."""
_MASTER = re.compile(r"local(\[[^\]]+\])?|(spark|yarn|k8s|mesos)(://\S+)?")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_CONNECT_S = 5.0
_YES, _NO = ("", "yes", "true", "1", "on"), ("no", "false", "0", "off")


@dataclass(frozen=True)
class Cluster:
    """What the operator has set, by these variables in `.env` or the environment."""

    master: str = LOCAL_MASTER
    """SPARK_MASTER: local[N], spark://HOST:7077, yarn, k8s://https://HOST:443."""
    named: bool = False
    """Somebody said so: else what a spark-submit was told counts."""
    python: str = sys.executable
    """PYSPARK_PYTHON: the Python of the executors, a path there."""
    authenticates: bool = True
    """SPARK_AUTHENTICATE: no sends everything, credentials too, unencrypted and to whoever can reach the ports."""
    secret: str = field(default="", repr=False)
    """SPARK_AUTHENTICATE_SECRET, or the content of the file SPARK_AUTHENTICATE_SECRET_FILE: what master and workers have too."""
    driver_host: str = ""
    """SPARK_DRIVER_HOST: the name or address at which the executors reach this machine."""
    driver_memory: str = "1g"
    executor_memory: str = ""
    executor_cores: str = ""
    cores: str = ""
    """SPARK_CORES_MAX: at most so many of all (spark://)."""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Self:
        """Raises SettingError."""
        master = variables.get("SPARK_MASTER", "").strip() or LOCAL_MASTER
        if not _MASTER.fullmatch(master):
            raise SettingError(f"SPARK_MASTER={master} is none.", hint="Write local[*], spark://HOST:7077, yarn or k8s://https://HOST:443.")
        here = master.startswith("local") or _on_loopback(master)
        found = cls(
            master, bool(variables.get("SPARK_MASTER")), variables.get("PYSPARK_PYTHON") or (sys.executable if here else "python3"),
            _authenticates(variables), _secret(variables), variables.get("SPARK_DRIVER_HOST", ""),
            variables.get("SPARK_DRIVER_MEMORY") or "1g", variables.get("SPARK_EXECUTOR_MEMORY", ""), variables.get("SPARK_EXECUTOR_CORES", ""),
            variables.get("SPARK_CORES_MAX", ""),
        )  # fmt: skip
        found._refuse_open()
        return found

    def _refuse_open(self) -> None:
        if self.authenticates and self.master.startswith(("spark:", "mesos:")) and not self.secret:
            hint = (
                "Put the secret that master and workers have (their spark.authenticate.secret) into SPARK_AUTHENTICATE_SECRET_FILE, "
                "or say SPARK_AUTHENTICATE=no where everybody on the network may see it."
            )
            raise SettingError(f"{self.master} has no secret: credentials would go to the executors in the clear.", hint=hint)

    @property
    def is_local(self) -> bool:
        return self.master.startswith("local")

    @property
    def on_loopback(self) -> bool:
        return self.is_local or _on_loopback(self.master)

    def refuse_unreachable(self) -> None:
        """Spark itself tries for a minute, and then stops somewhere within. Raises SparkPassing."""
        if not self.master.startswith("spark://"):
            return
        why = ""
        for address in self.master.removeprefix("spark://").split(","):
            host, _, port = address.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
                return
            except (OSError, ValueError) as error:
                why = str(error)
        raise SparkPassing(f"The Spark master {self.master} does not answer: {why}.", hint="Is SPARK_MASTER right, and does the master run?")

    def conf(self) -> dict[str, str]:
        """What Spark is told, and nobody may change."""
        found = {
            # A task that runs twice at once would write its objects twice at once.
            "spark.speculation": "false",
            # Cancelled tasks end at once: Spark looks every two seconds, and waits as long again by itself.
            "spark.python.task.killTimeout": "100ms",
            "spark.authenticate": str(self.authenticates).lower(),
            "spark.network.crypto.enabled": str(self.authenticates).lower(),
            "spark.io.encryption.enabled": "true",
            "spark.redaction.regex": "(?i)secret|password|passphrase|token|credential|access[.]?key",
        }  # fmt: skip
        if self.secret and not self.is_local:
            found["spark.authenticate.secret"] = self.secret
        for name, value in {
            "spark.executor.memory": self.executor_memory, "spark.executor.cores": self.executor_cores, "spark.cores.max": self.cores,
            "spark.driver.host": "127.0.0.1" if self.on_loopback else self.driver_host,
            "spark.driver.bindAddress": "127.0.0.1" if self.on_loopback else "",
        }.items():  # fmt: skip
            if value:
                found[name] = value
        return found


def _on_loopback(master: str) -> bool:
    hosts = [address.rpartition(":")[0] for address in master.partition("://")[2].split(",")]
    return master.startswith("spark://") and all(host in _LOOPBACK for host in hosts)


def _authenticates(variables: Mapping[str, str]) -> bool:
    told = variables.get("SPARK_AUTHENTICATE", "").lower()
    if told not in (*_YES, *_NO):
        raise SettingError(f"SPARK_AUTHENTICATE={told} cannot be used.", hint="Write yes or no.")
    return told not in _NO


def _secret(variables: Mapping[str, str]) -> str:
    path = variables.get("SPARK_AUTHENTICATE_SECRET_FILE")
    if not path:
        return variables.get("SPARK_AUTHENTICATE_SECRET", "")
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        hint = "Give the file to the user that runs the portal."
        raise SettingError(f"SPARK_AUTHENTICATE_SECRET_FILE={path} cannot be read: {error}", hint=hint) from None
