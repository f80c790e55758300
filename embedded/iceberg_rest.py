"""An Iceberg REST catalog on this machine: `python -m embedded.iceberg_rest --root DIR --port 0` prints where it listens once it does.

It speaks the part of Iceberg's REST protocol that readers, writers and the portal use (namespaces; list, load, create, register, commit, rename
and drop of tables; OAuth 2 tokens), keeps its tables in SQLite below DIR, checks the bearer token of every request, and makes all commits one
after another. Namespaces of several levels, paging and views it does not have.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import ValidationError
from pyiceberg import exceptions
from pyiceberg.catalog.rest import CreateTableRequest, RegisterTableRequest, TableResponse
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.table import CommitTableRequest, Table
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

from embedded import adls_io

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (exceptions.NoSuchTableError, 404), (exceptions.NoSuchNamespaceError, 404), (exceptions.TableAlreadyExistsError, 409),
    (exceptions.NamespaceAlreadyExistsError, 409), (exceptions.NamespaceNotEmptyError, 409), (exceptions.CommitFailedException, 409),
    (exceptions.ValidationError, 400), (FileNotFoundError, 400), (ValidationError, 400), (ValueError, 400),
)  # fmt: skip


class Rest(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, catalog: SqlCatalog, token: str, client: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.catalog, self.token, self.client = catalog, token, client
        self.one_by_one = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: Rest
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answered()

    do_POST = do_DELETE = do_HEAD = do_GET

    def log_message(self, *args: Any) -> None:
        return

    def _answered(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = self._routed(body)
        except Exception as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
            answer = _trouble(status, type(error).__name__, str(error))
        data = b"" if answer is None or self.command == "HEAD" else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _routed(self, body: bytes) -> tuple[int, Any]:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts == ["v1", "oauth", "tokens"]:
            return self._token(body)
        if not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.server.token}"):
            return 401, _trouble(401, "NotAuthorizedException", "the bearer token is missing or wrong")
        with self.server.one_by_one:
            return self._known(self.command, parts[1:], body)

    def _token(self, body: bytes) -> tuple[int, Any]:
        given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
        client = base64.b64decode(encoded).decode() if kind == "Basic" else f"{given.get('client_id')}:{given.get('client_secret')}"
        if client != self.server.client:
            return 401, {"error": "invalid_client", "error_description": "unknown client or wrong secret"}
        return 200, {"access_token": self.server.token, "token_type": "bearer", "expires_in": 3600}

    def _known(self, method: str, parts: list[str], body: bytes) -> tuple[int, Any]:
        catalog = self.server.catalog
        match (method, *parts):
            case ("GET", "config"):
                return 200, {"defaults": {}, "overrides": {}}
            case ("GET", "namespaces"):
                parent = parse_qs(urlsplit(self.path).query).get("parent")
                return 200, {"namespaces": [] if parent else [list(name) for name in catalog.list_namespaces()]}
            case ("POST", "namespaces"):
                wanted = json.loads(body)
                catalog.create_namespace(tuple(wanted["namespace"]), wanted.get("properties") or {})
                return 200, {"namespace": wanted["namespace"], "properties": wanted.get("properties") or {}}
            case ("GET" | "HEAD", "namespaces", name):
                return 200, {"namespace": [name], "properties": catalog.load_namespace_properties(name)}
            case ("DELETE", "namespaces", name):
                catalog.drop_namespace(name)
                return 204, None
            case (_, "namespaces", name, *rest):
                return self._of_namespace(method, name, rest, body)
            case ("POST", "tables", "rename"):
                wanted = json.loads(body)
                before, after = ((*wanted[end]["namespace"], wanted[end]["name"]) for end in ("source", "destination"))
                catalog.rename_table(before, after)
                return 204, None
        return 404, _trouble(404, "NotFoundException", f"{method} {self.path} is not known here")

    def _of_namespace(self, method: str, name: str, parts: list[str], body: bytes) -> tuple[int, Any]:
        catalog = self.server.catalog
        match (method, *parts):
            case ("GET", "tables"):
                found = [{"namespace": list(one[:-1]), "name": one[-1]} for one in catalog.list_tables(name)]
                return 200, {"identifiers": found}
            case ("POST", "tables"):
                return 200, _told(self._created(name, CreateTableRequest.model_validate_json(body)))
            case ("POST", "register"):
                wanted = RegisterTableRequest.model_validate({"overwrite": False, **json.loads(body)})
                catalog._load_file_io().new_input(wanted.metadata_location).open().close()
                return 200, _told(catalog.register_table((name, wanted.name), wanted.metadata_location))
            case ("GET" | "HEAD", "tables", table):
                return 200, _told(catalog.load_table((name, table)))
            case ("POST", "tables", table):
                wanted_changes = CommitTableRequest.model_validate_json(body)
                current = catalog.load_table((name, table))
                done = catalog.commit_table(current, wanted_changes.requirements, wanted_changes.updates)
                return 200, json.loads(done.model_dump_json(by_alias=True, exclude_none=True))
            case ("DELETE", "tables", table):
                catalog.drop_table((name, table))
                return 204, None
        return 404, _trouble(404, "NotFoundException", f"{method} {self.path} is not known here")

    def _created(self, name: str, wanted: CreateTableRequest) -> Table:
        return self.server.catalog.create_table(
            (name, wanted.name), wanted.table_schema, wanted.location, wanted.partition_spec or UNPARTITIONED_PARTITION_SPEC,
            wanted.write_order or UNSORTED_SORT_ORDER, wanted.properties,
        )  # fmt: skip


def _told(table: Table) -> Any:
    answer = TableResponse(**{"metadata-location": table.metadata_location, "metadata": table.metadata, "config": {}})
    return json.loads(answer.model_dump_json(by_alias=True, exclude_none=True))


def _trouble(status: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": status}}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m embedded.iceberg_rest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of its database, and of tables that are created without a place")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--token", default="box-token", help="the bearer token that it asks for")
    parser.add_argument("--client", default="box:box-secret", help="CLIENT_ID:CLIENT_SECRET for which it gives that token")
    parser.add_argument("--adls", default="", metavar="URL", help="the box's ADLS: http://127.0.0.1:PORT/ACCOUNT")
    parser.add_argument("--adls-key", default="", metavar="KEY", help="key of that account")
    given = parser.parse_args()
    given.root.mkdir(parents=True, exist_ok=True)
    catalog = SqlCatalog("default", **{
        "uri": f"sqlite:///{given.root.resolve() / 'catalog.db'}", "warehouse": (given.root.resolve() / "warehouse").as_uri(),
        "py-io-impl": "embedded.adls_io.BoxIO", adls_io.ENDPOINT: given.adls, adls_io.KEY: given.adls_key,
    })  # fmt: skip
    try:
        server = Rest(given.port, catalog, given.token, given.client)
    except OSError as error:
        sys.exit(f"embedded.iceberg_rest: port {given.port} of 127.0.0.1 cannot be used: {error.strerror}.")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"ready http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
