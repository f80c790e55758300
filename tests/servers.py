"""Real servers for the tests, each a process on a free port of 127.0.0.1, started once a session."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded import processes
from embedded.processes import Child

ADLS_ACCOUNT = "devaccount"
ADLS_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SNOWFLAKE_USER, SNOWFLAKE_PASSWORD = "PORTAL", "a-Snowflake-passw0rd"


@dataclass(frozen=True)
class Server:
    """A running server: its URL (`http://127.0.0.1:PORT`) and its process, which ends with the tests however they end."""

    url: str
    child: Child
    root: Path | None = None
    """Its folder, of those that are told one."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.child.process


def start(module: str, *arguments: str, root: Path | None = None) -> Server:
    """Start `python -m module …`, which must print `ready URL` when it listens."""
    log = Path(tempfile.mkstemp(prefix=f"{module}.", suffix=".log")[1])
    child = processes.start(module, [sys.executable, "-m", module, *arguments], log)
    return Server(processes.wait_for_line(child, "ready ").split()[1], child, root)


def stop(server: Server) -> None:
    processes.stop([server.child])
    server.child.log.unlink()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """S3 and SQS (moto): accepts any credentials."""
    server = start("embedded.s3")
    yield server
    stop(server)


@pytest.fixture(scope="session")
def adls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """ADLS (ours): ADLS_ACCOUNT and ADLS_KEY, signatures checked."""
    root = tmp_path_factory.mktemp("adls")
    server = start("embedded.adls", "--port", "0", "--root", str(root), "--account", f"{ADLS_ACCOUNT}={ADLS_KEY}")
    yield server
    stop(server)


@pytest.fixture(scope="session")
def snowflake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Snowflake (fakesnow behind a front that checks the password)."""
    root = tmp_path_factory.mktemp("snowflake")
    server = start("embedded.snowflake", "--port", "0", "--root", str(root), "--user", f"{SNOWFLAKE_USER}={SNOWFLAKE_PASSWORD}", root=root)
    yield server
    stop(server)


@pytest.fixture
def unique() -> str:
    """A name no other test uses: lower-case letters and digits, fit for buckets and containers."""
    return "t" + uuid.uuid4().hex[:16]
