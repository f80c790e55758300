"""Fixtures every test may use."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from portal import settings
from tests import browser as chromium
from tests import servers
from tests.proxy import Proxy, Upstream
from tests.servers import (
    ADLS_ACCOUNT,
    ADLS_KEY,
    SNOWFLAKE_PASSWORD,
    SNOWFLAKE_USER,
    Server,
    adls_server,
    s3_server,
    snowflake_server,
    unique,
)
from tests.transferring import Clouds
from tests.weed import strict_s3

__all__ = ["adls_server", "s3_server", "snowflake_server", "strict_s3", "unique"]


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # What a shell starts in the background ignores Ctrl-C, and so would every command that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


gc.set_threshold(10_000, 20, 20)


def pytest_make_parametrize_id(val: object) -> str | None:
    """A test has the same name in each process that collects it: the head of gzip's bytes holds the second in which they were made."""
    return f"gzip of {len(val)} bytes" if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


LONGEST = (
    "test_ingest_hive.py", "test_demo.py", "test_injected_errors.py", "test_power_loss.py", "test_transfer_faults.py", "test_spark_cluster.py",
    "test_crash_points.py", "test_lake_chain.py", "test_download.py", "test_chain_strict_s3.py", "test_chain.py",
    "test_iceberg_spark.py", "test_upload_crashes.py", "test_cli_worker.py",
)  # fmt: skip
"""Files that take a minute or so: they begin first, that nobody waits for one of them alone at the end (`--no-loadscope-reorder`)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> Iterator[None]:
    """Python's collector does not look again and again at what was there before a file's tests: that was a third of this process's time."""
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def no_cloud_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever cloud the person running the tests is signed in to stays out of them.

    The order of the two matters to every test: what one has patched is put right again before pytest removes its folder.
    """
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "SNOWFLAKE_", "PORTAL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PORTAL_WARM", "0")  # a process that imports everything, for each worker of each test, would take longer than the tests
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))


@pytest.fixture(scope="module")
def sqs_server() -> Iterator[Server]:
    """An SQS of its own: the S3 of the others has enough to do."""
    server = servers.start("embedded.s3")
    yield server
    servers.stop(server)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty portal home: queue/, logs/, archive/, data/, and PORTAL_HOME pointing at it."""
    folder = tmp_path / "home"
    for name in ("queue", "logs", "archive", "data"):
        (folder / name).mkdir(parents=True)
    (folder / ".env").write_text("PORTAL_MIN_FREE_MB=1\nPORTAL_MIN_FREE_INODES=1\n")
    monkeypatch.setenv("PORTAL_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def accounts(s3_server: Server, adls_server: Server) -> Iterator[dict[str, Any]]:
    """Filled by the first test that needs them."""
    made: dict[str, Any] = {}
    yield made
    for account in made.values():
        account.close()


@pytest.fixture
def clouds(home: Path, s3_server: Server, adls_server: Server, accounts: dict[str, Any], unique: str) -> Iterator[Clouds]:
    """A bucket and a container of this test."""
    found = Clouds.behind(home, s3_server, adls_server, unique, accounts)
    yield found
    found.close()


@pytest.fixture
def wires(home: Path, s3_server: Server, adls_server: Server, unique: str) -> Iterator[tuple[Clouds, Proxy, Proxy]]:
    """The same, each behind a proxy."""
    with Proxy(Upstream.of(s3_server.url)) as s3, Proxy(Upstream.of(adls_server.url)) as adls:
        found = Clouds.behind(home, s3, adls, unique)  # type: ignore[arg-type]
        yield found, s3, adls
        found.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are tried again at once."""
    monkeypatch.setattr("portal.transfer.route.BACKOFF_S", 0.005)


@pytest.fixture
def config(home: Path) -> settings.Settings:
    return settings.load(home)


def box_variables(s3_server: Server, adls_server: Server, snowflake_server: Server) -> dict[str, str]:
    """What a .env needs to lead to the box's S3, ADLS and Snowflake."""
    return {
        "AWS_ENDPOINT_URL": s3_server.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AZURE_STORAGE_ACCOUNT": ADLS_ACCOUNT, "AZURE_STORAGE_ENDPOINT": f"{adls_server.url}/{ADLS_ACCOUNT}", "AZURE_STORAGE_KEY": ADLS_KEY,
        "SNOWFLAKE_ACCOUNT": "fakesnow", "SNOWFLAKE_USER": SNOWFLAKE_USER, "SNOWFLAKE_PASSWORD": SNOWFLAKE_PASSWORD,
        "SNOWFLAKE_HOST": "127.0.0.1", "SNOWFLAKE_PORT": str(snowflake_server.port), "SNOWFLAKE_PROTOCOL": "http",
        "SNOWFLAKE_DATABASE": "PORTAL", "SNOWFLAKE_SCHEMA": "AUDIT",
    }  # fmt: skip


@pytest.fixture
def box_env(home: Path, s3_server: Server, adls_server: Server, snowflake_server: Server) -> Path:
    """A home whose .env leads to the box's S3, ADLS and Snowflake."""
    with (home / ".env").open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in box_variables(s3_server, adls_server, snowflake_server).items())
    return home


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """A real Chromium. One a module: its event loop must not run beside other modules' own."""
    path = chromium.executable()
    if path is None:
        pytest.fail("There is no Chromium: python tests/browser.py tells how to get one.")
    with sync_playwright() as playwright:
        shown = playwright.chromium.launch(executable_path=path, args=list(chromium.ARGUMENTS))
        yield shown
        shown.close()


@pytest.fixture
def context(chrome: Browser) -> Iterator[BrowserContext]:
    made = chrome.new_context(viewport={"width": 1440, "height": 900})
    made.set_default_timeout(20_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that must not have broken the content policy or thrown a script error by the end of the test."""
    made = context.new_page()
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on("console", lambda message: problems.append(message.text) if "Content Security Policy" in message.text else None)
    yield made
    assert problems == []
