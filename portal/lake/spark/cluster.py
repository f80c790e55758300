"""Where Spark runs and how it is secured: read from the settings' variables, refused when what is asked for would send secrets in the clear."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from portal.errors import SettingError
from portal.lake.spark.failures import SparkPassing

VARIABLES = (
    "SPARK_MASTER", "SPARK_AUTHENTICATE_SECRET_FILE", "SPARK_AUTHENTICATE_SECRET", "SPARK_AUTHENTICATE", "SPARK_DRIVER_HOST", "PYSPARK_PYTHON",
    "SPARK_DRIVER_MEMORY", "SPARK_EXECUTOR_MEMORY", "SPARK_EXECUTOR_CORES", "SPARK_CORES_MAX", "SPARK_LOCAL_DIRS", "SPARK_START_WITHIN_S",
)  # fmt: skip
"""All that is read here; whatever else Spark knows stands in its own configuration (SPARK_CONF_DIR)."""
UNTOLD_MASTER = "local[*]"
LOCAL_MASTER = "local[*,4]"
"""Every processor of this machine; what fails is tried four times, as on a cluster."""
_HOST = r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])"
_AT = rf"{_HOST}:[1-9]\d{{0,4}}"
_MASTER = re.compile(
    rf"local(\[([1-9]\d*|\*)(, *[1-9]\d*)?\])?|spark://{_AT}(,{_AT})*|yarn|k8s://(https?://)?{_HOST}(:[1-9]\d{{0,4}})?(/\S*)?|mesos://\S+"
)
_BOUND_TO_LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SECRETS = ("spark.authenticate.secret", "spark.authenticate.secret.file")
_CONNECT_S = 5.0
_YES, _NO = ("", "yes", "true", "1", "on"), ("no", "false", "0", "off")


@dataclass(frozen=True)
class Cluster:
    """What the operator has set, by these variables in `.env` or the environment."""

    master: str = LOCAL_MASTER
    """SPARK_MASTER: local[N], spark://HOST:7077, yarn, k8s://https://HOST:443."""
    named: bool = False
    """Somebody said so: else what a spark-submit was told counts."""
    python_told: str = ""
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
    local_dirs: tuple[Path, ...] = ()
    """SPARK_LOCAL_DIRS: folders of this machine for what Spark does not keep in memory."""
    start_within_s: float = 300.0
    """SPARK_START_WITHIN_S: a cluster that has not taken the application by then is given up."""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Self:
        """Raises SettingError."""
        master = variables.get("SPARK_MASTER", "").strip()
        if master and not _MASTER.fullmatch(master):
            hint = "Write local[*], local[4], spark://HOST:7077, yarn or k8s://https://HOST:443."
            raise SettingError(f"SPARK_MASTER={master} is no master that Spark knows.", hint=hint)
        folders = (folder.strip() for folder in variables.get("SPARK_LOCAL_DIRS", "").split(","))
        found = cls(
            master or LOCAL_MASTER, bool(master), variables.get("PYSPARK_PYTHON", ""), _authenticates(variables), _secret(variables),
            variables.get("SPARK_DRIVER_HOST", ""), variables.get("SPARK_DRIVER_MEMORY") or "1g", variables.get("SPARK_EXECUTOR_MEMORY", ""),
            variables.get("SPARK_EXECUTOR_CORES", ""), variables.get("SPARK_CORES_MAX", ""), tuple(Path(folder) for folder in folders if folder),
            _seconds(variables),
        )  # fmt: skip
        found._refuse_open()
        return found

    def at(self, told: Mapping[str, str], *, submitted: bool) -> Self:
        """Return the same for the master that counts in the end. Raises SettingError.

        Args:
            told: Spark's own configuration: of spark-defaults.conf and, under a spark-submit, of its command line
            submitted: Java is a spark-submit's: what that was told comes before SPARK_MASTER
        """
        there = told.get("spark.master") or UNTOLD_MASTER
        # Java says local[*] when nobody told it anything else.
        if there == UNTOLD_MASTER or (self.named and not submitted):
            return self
        found = replace(self, master=there)
        found._refuse_open(told)
        return found

    def _refuse_open(self, told: Mapping[str, str] | None = None) -> None:
        secret = self.secret or any((told or {}).get(name) for name in _SECRETS)
        if self.authenticates and self.master.startswith(("spark:", "mesos:")) and not secret:
            hint = (
                "Put the secret that master and workers have (their spark.authenticate.secret) into SPARK_AUTHENTICATE_SECRET_FILE, "
                "or say SPARK_AUTHENTICATE=no where everybody on the network may see it."
            )
            raise SettingError(f"{self.master} has no secret: credentials would go to the executors in the clear.", hint=hint)

    @property
    def python(self) -> str:
        """The Python of the executors."""
        return self.python_told or (sys.executable if self.on_loopback else "python3")

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
            except (OSError, OverflowError) as error:
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
        return {**found, **(_BOUND_TO_LOOPBACK if self.is_local else {})}

    def preferred(self) -> dict[str, str]:
        """What the operator wants unless a spark-submit was told otherwise."""
        found = {
            "spark.executor.memory": self.executor_memory, "spark.executor.cores": self.executor_cores, "spark.cores.max": self.cores,
            "spark.driver.host": self.driver_host, "spark.authenticate.secret": "" if self.is_local else self.secret,
        }  # fmt: skip
        return {**{name: value for name, value in found.items() if value}, **(_BOUND_TO_LOOPBACK if self.on_loopback else {})}


def _on_loopback(master: str) -> bool:
    hosts = [address.rpartition(":")[0] for address in master.partition("://")[2].split(",")]
    return master.startswith("spark://") and all(host in _LOOPBACK for host in hosts)


def _authenticates(variables: Mapping[str, str]) -> bool:
    told = variables.get("SPARK_AUTHENTICATE", "").lower()
    if told not in (*_YES, *_NO):
        raise SettingError(f"SPARK_AUTHENTICATE={told} cannot be used.", hint="Write yes or no.")
    return told not in _NO


def _seconds(variables: Mapping[str, str]) -> float:
    told = variables.get("SPARK_START_WITHIN_S") or str(Cluster.start_within_s)
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", told) or not float(told):
        raise SettingError(f"SPARK_START_WITHIN_S={told} cannot be used.", hint="Write seconds: 300.")
    return float(told)


def _secret(variables: Mapping[str, str]) -> str:
    path = variables.get("SPARK_AUTHENTICATE_SECRET_FILE")
    if not path:
        return variables.get("SPARK_AUTHENTICATE_SECRET", "")
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        hint = "Give the file to the user that runs the portal."
        raise SettingError(f"SPARK_AUTHENTICATE_SECRET_FILE={path} cannot be read: {error}", hint=hint) from None
