"""What the transfer tests share: a bucket, a container and a folder, and engines run in this process."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from portal import settings
from portal.connections import Connections
from portal.context import JobContext
from portal.engine import execute
from portal.ledger import ledger
from portal.planning import preflight
from portal.redact import Redactor
from portal.stores.base import Account, ObjectInfo, Store, walk
from portal.stores.opening import open_account, open_store
from portal.stores.url import StoreURL
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server


@dataclass
class Clouds:
    """A bucket and a container of one test, and the home whose .env leads to them."""

    home: Path
    name: str
    accounts: dict[str, Any] | None = None
    """Those of the session's servers by their kind, whose clients many tests use: making one takes longer than most of what a test asks of it."""

    def __post_init__(self) -> None:
        self.config = settings.load(self.home)
        connections = Connections.load(self.config)
        self.s3, self.adls = (self._made(kind, connections.get(kind)) for kind in ("s3", "adls"))
        self.local = open_store(StoreURL("file", ""), connections.get("local"))
        self.bucket = f"s3://{self.name}"
        self.lake = f"abfss://{self.name}@{ADLS_ACCOUNT}"
        self._runs = 0

    @classmethod
    def behind(cls, home: Path, s3_server: Server, adls_server: Server, name: str, accounts: dict[str, Any] | None = None) -> Clouds:
        """Make the home's .env lead to the servers."""
        with (home / ".env").open("a") as file:
            file.write(f"AWS_ENDPOINT_URL={s3_server.url}\nAWS_ACCESS_KEY_ID=testing\nAWS_SECRET_ACCESS_KEY=testing-secret\n")
            file.write(f"AZURE_STORAGE_ACCOUNT={ADLS_ACCOUNT}\nAZURE_STORAGE_KEY={ADLS_KEY}\n")
            file.write(f"AZURE_STORAGE_ENDPOINT={adls_server.url}/{ADLS_ACCOUNT}\n")
        return cls(home, name, accounts)

    def _made(self, kind: str, connection: Any) -> Store:
        accounts = {} if self.accounts is None else self.accounts
        account: Account = accounts.get(kind) or accounts.setdefault(kind, open_account(connection))
        account.create_container(self.name)
        return account.store(self.name)

    def close(self) -> None:
        if self.accounts is None:
            self.s3.close()
            self.adls.close()

    def context(self, **options: Any) -> JobContext:
        self._runs += 1
        folder = self.home / "logs" / f"run-{self._runs}"
        folder.mkdir()
        return JobContext(options.pop("job_id", f"run-{self._runs}"), folder, self.config, **options)

    def run(self, engine: str, job: JobContext | None = None, **params: Any) -> Ran:
        """Run an engine as the frame does; returns exit code, result and folder."""
        module = importlib.import_module(f"engines.{engine}")
        job = job or self.context()
        code = execute(module.Params, module.run, params, job, Redactor())
        return Ran(code, json.loads((job.folder / f"result-{job.attempt}.json").read_text()), job)

    def migrate(self, job: JobContext | None = None, **params: Any) -> Ran:
        return self.run("migrate", job, **{"source": f"{self.bucket}/", "target": f"{self.lake}/", **params})


@dataclass
class Ran:
    code: int
    result: Mapping[str, Any]
    job: JobContext

    @property
    def counts(self) -> dict[str, int]:
        """Those that are not 0."""
        return {name: count for name, count in self.result["counts"].items() if count}

    @property
    def table(self) -> list[dict[str, Any]]:
        """The ledger."""
        found: list[dict[str, Any]] = ledger.read(self.job.folder / ledger.LEDGER_FILE).to_pylist()
        return found

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The ledger by source key."""
        return {row["source_key"]: row for row in self.table}

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.result["error"]
        return found


def put(store: Store, key: str, data: bytes | str = b"a,b\n1,2\n", **options: Any) -> ObjectInfo:
    with store.open_write(key, overwrite=True, **options) as writer:
        writer.write(data.encode() if isinstance(data, str) else data)
        return writer.commit()


def get(store: Store, key: str) -> bytes:
    with store.open_read(key) as reader:
        return b"".join(iter(lambda: reader.read(1 << 20), b""))


def keys(store: Store, prefix: str = "") -> list[str]:
    return sorted(info.key for info in walk(store, prefix))


def then(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Let something happen between the preflight and the copies of the next run."""
    run = preflight.Check.run

    def checked(self: preflight.Check) -> preflight.Preflight:
        found = run(self)
        what()
        monkeypatch.setattr(preflight.Check, "run", run)
        return found

    monkeypatch.setattr(preflight.Check, "run", checked)
