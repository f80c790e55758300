"""A REST catalog is somebody else's server: what it answers runs nothing, leads nowhere else and signs nothing here."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from portal import settings
from portal.connections import CatalogConnection, Connections
from portal.errors import CatalogError
from portal.lake.catalogs.base import Catalog
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.opening import open_catalog
from portal.lake.table_name import TableName
from tests import iceberg_tables

Answer = Callable[[str], Any]
"""Given what is asked for, path and query."""


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]


@contextmanager
def server(answer: Answer) -> Iterator[tuple[str, list[Asked]]]:
    """A server that answers everything as it is told; yields its URL and what it was asked."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}))
            data = json.dumps(answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", asked
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@contextmanager
def opened(home: Path, url: str, **fields: Any) -> Iterator[Catalog]:
    connection = CatalogConnection(type="rest", uri=url, **fields)
    files = Files.of(connection, Connections.load(settings.load(home)).get)
    catalog = open_catalog(connection, files)
    try:
        yield catalog
    finally:
        catalog.close()
        files.close()


def hostile(marker: Path, elsewhere: str) -> dict[str, Any]:
    """All that a server could choose if it were let."""
    command = {"args": ["touch", str(marker)]}
    return {
        "auth": {"type": "custom", "impl": "subprocess.Popen", "custom": command}, "uri": elsewhere, "oauth2-server-uri": f"{elsewhere}/tokens",
        "rest.sigv4-enabled": "true", "rest.signing-region": "us-east-1", "rest.signing-name": "s3", "client.access-key-id": "theirs",
        "ssl": {"cabundle": str(marker), "client": {"cert": str(marker), "key": str(marker)}}, "header.X-Evil": "yes", "token": "their-t0ken",
        "credential": "a:b", "py-io-impl": "tests.iceberg_tables.Trap", "py-catalog-impl": "tests.iceberg_tables.Trap",
        "snapshot-loading-mode": "refs", "rest-page-size": "7", "warehouse": "s3://theirs/",
    }  # fmt: skip


@pytest.mark.parametrize("where", ["defaults", "overrides"])
@pytest.mark.parametrize("signed", [{"token": "a-t0ken-of-ours"}, {"credential": "us:a-s3cret-of-ours"}, {}])
def test_a_servers_configuration_chooses_nothing(
    home: Path, tmp_path: Path, where: str, signed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEWORKER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    marker = tmp_path / "marker"

    def answer(path: str) -> Any:
        if path.startswith("/v1/config"):
            return {"defaults": {}, "overrides": {}, where: {"prefix": "ours", "namespace-separator": ".", **hostile(marker, other)}}
        if path.startswith("/v1/oauth/tokens"):
            return {"access_token": "a-t0ken-of-ours", "token_type": "bearer", "expires_in": 3600}
        return {"namespaces": [["a"], ["b"]] if "parent" not in path else []}

    with server(lambda path: {}) as (other, theirs), server(answer) as (url, asked):
        with opened(home, url, **signed) as catalog:
            assert catalog.namespaces() == [("a",), ("b",)]
        assert not theirs, "credentials would have gone there"
    assert not marker.exists(), "the server ran a program"
    listed = [one for one in asked if "namespaces" in one.path]
    assert {urlsplit(one.path).path for one in listed} == {"/v1/ours/namespaces"}, "what a prefix is good for"
    for one in listed:
        assert one.headers["authorization"] == f"Bearer {'a-t0ken-of-ours' if signed else None}"
        assert not {"x-evil", "x-amz-date"} & set(one.headers)
        assert "pageSize" not in one.path


def test_what_a_server_says_of_a_table_chooses_nothing(home: Path, tmp_path: Path) -> None:
    base = iceberg_tables.catalog(home / "data", (home / "data" / "wh").as_uri())
    made = iceberg_tables.table(base, "sales.orders", properties={"py-io-impl": "tests.iceberg_tables.Trap"})
    first, current = [entry.metadata_file for entry in made.metadata.metadata_log][-1], made.metadata_location
    base.engine.dispose()
    chosen = {name: value for name, value in hostile(tmp_path / "marker", "http://127.0.0.1:9").items() if isinstance(value, str)}
    metadata = json.loads(Path(first.removeprefix("file://")).read_text())
    table = {"metadata-location": first, "metadata": metadata, "config": chosen, "storage-credentials": [{"prefix": "", "config": chosen}]}

    def answer(path: str) -> Any:
        return {"defaults": {}, "overrides": {}} if path.startswith("/v1/config") else table

    seen = iceberg_tables.Trap.made
    with server(answer) as (url, asked), opened(home, url, token="a-t0ken-of-ours") as catalog:
        name = TableName(("sales",), "orders")
        assert catalog.metadata_location(name) == catalog.register(name, first) == first
        assert catalog.replace(name, first, current) == first
        assert {one.headers["authorization"] for one in asked} == {"Bearer a-t0ken-of-ours"}
        assert "authorization" not in {header.lower() for header in catalog._inner._session.headers}  # type: ignore[attr-defined]
    assert iceberg_tables.Trap.made == seen


def test_namespaces_without_end_come_to_one(home: Path) -> None:
    def endless(path: str) -> Any:
        parent = parse_qs(urlsplit(path).query).get("parent", [""])[0]
        return {"defaults": {}, "overrides": {}, "namespaces": [[*filter(None, parent.split("\x1f")), "again"]]}

    with server(endless) as (url, asked), opened(home, url) as catalog:
        with pytest.raises(CatalogError, match="levels"):
            catalog.namespaces()
        assert len(asked) < 50
    with server(lambda path: {"defaults": {}, "overrides": {}, "namespaces": [["a"], ["a"], ["a", "b"], []]}) as (url, asked):
        with opened(home, url) as catalog:
            assert catalog.namespaces() == [("a",), ("a", "b")], "one that does not look at what it is asked for repeats itself"
        assert len(asked) == 4
