"""Snowflake for the demo and the tests: fakesnow behind a front that really checks who signs in.

    python -m embedded.snowflake --port 0 --root DIR --user NAME=PASSWORD --user-key NAME=public.pem

Prints `ready http://127.0.0.1:PORT` when it listens and ends on SIGTERM. fakesnow takes any password and any key; the front checks the
password, or the JWT of key-pair sign-in (https://docs.snowflake.com/en/developer-guide/sql-api/authenticating), before fakesnow sees
the login, and answers with Snowflake's own error codes. Databases and stages are kept under the root. Stage uploads go to URLs that carry
no signature, so it must listen on 127.0.0.1 only, which it does.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import hmac
import importlib
import json
import logging
import re
import secrets
import shutil
import socket
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pyarrow as pa
import uvicorn
from cryptography.hazmat.primitives import serialization
from fakesnow import arrow, info_schema
from fakesnow.instance import FakeSnow
from fakesnow.transforms import stage
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

WRONG_PASSWORD = ("390100", "Incorrect username or password was specified.")
WRONG_TOKEN = ("390144", "JWT token is invalid.")
NO_SUCH_WAY = ("390190", "The authenticator of this login is not supported here: use a password or a key pair.")

fake = importlib.import_module("fakesnow.server")  # the package hides the module behind a function of the same name

_FUNCTIONS = re.compile(r"\bcurrent_(user|role|warehouse)\s*\(\s*\)", re.IGNORECASE)
_ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]
_REMOVE = re.compile(r"""\s*remove\s+@"(?P<database>[^"/]+)"\."(?P<schema>[^"/]+)"\."(?P<stage>[^"/]+)"/(?P<path>[\w./-]+)\s*""", re.IGNORECASE)
_SHOW_TAG = re.compile(r"\s*show\s+parameters\s+like\s+'query_tag'", re.IGNORECASE)


@dataclass
class Accounts:
    """Who may sign in: upper-cased user names with a password, a public key, or both."""

    passwords: Mapping[str, str]
    keys: Mapping[str, Any] = field(default_factory=dict)

    def refusal(self, login: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return the code and message that refuse a login, or None when it is right."""
        user = str(login.get("LOGIN_NAME", "")).upper()
        way = str(login.get("AUTHENTICATOR") or "SNOWFLAKE").upper()
        if way == "SNOWFLAKE_JWT":
            return None if self._token_is_right(user, login) else WRONG_TOKEN
        if way != "SNOWFLAKE":
            return NO_SUCH_WAY
        given, right = str(login.get("PASSWORD", "")), self.passwords.get(user)
        known = right is not None and hmac.compare_digest(given.encode(), right.encode())
        return None if known else WRONG_PASSWORD

    def _token_is_right(self, user: str, login: Mapping[str, Any]) -> bool:
        key = self.keys.get(user)
        if key is None:
            return False
        try:
            claims = jwt.decode(str(login.get("TOKEN", "")), key, algorithms=_ALGORITHMS, options={"require": ["exp", "iss", "sub"]})
        except jwt.InvalidTokenError:
            return False
        subject = f"{str(login.get('ACCOUNT_NAME', '')).upper()}.{user}"
        return claims["sub"] == subject and claims["iss"] == f"{subject}.{_fingerprint(key)}"


def _fingerprint(key: Any) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()


@dataclass(frozen=True)
class _Session:
    """What fakesnow does not keep of a login."""

    user: str
    role: str
    warehouse: str
    query_tag: str


class Front:
    """fakesnow's own application with sign-in checked and the session's identity answered truly."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._sessions: dict[str, _Session] = {}

    def app(self) -> Starlette:
        ours = {"/session/v1/login-request": self.login, "/queries/v1/query-request": self.query}
        return Starlette(routes=[_replaced(route, ours) for route in fake.routes])

    async def login(self, request: Request) -> Response:
        body = await _json_body(request)
        data = body.get("data", {})
        if refused := self._accounts.refusal(data):
            code, message = refused
            return JSONResponse({"data": {"nextAction": None}, "code": code, "message": message, "success": False, "headers": None})
        asked = data.get("SESSION_PARAMETERS", {})
        data["SESSION_PARAMETERS"] = {name: value for name, value in asked.items() if name not in ("FAKESNOW_DB_PATH", "nop_regexes")}
        answer = json.loads((await fake.login_request(_with_body(request, body))).body)
        query = request.query_params
        token = answer["data"]["token"]
        self._sessions[token] = _Session(
            str(data.get("LOGIN_NAME", "")).upper(), query.get("roleName", "PUBLIC").upper(), query.get("warehouse", "").upper(),
            str(asked.get("QUERY_TAG", "")),
        )  # fmt: skip
        lives = {"masterToken": secrets.token_urlsafe(32), "validityInSeconds": 3600, "masterValidityInSeconds": 14400}
        answer["data"] |= {**lives, "sessionId": len(self._sessions)}
        return JSONResponse(answer)

    async def query(self, request: Request) -> Response:
        body = await _json_body(request)
        session = self._sessions.get(request.headers.get("Authorization", "")[17:-1])
        if session:
            body["sqlText"] = _with_identity(_removed(str(body["sqlText"])), session)
        return await fake.query_request(_with_body(request, body))


def _with_identity(sql: str, session: _Session) -> str:
    if _SHOW_TAG.match(sql):
        return f"select 'QUERY_TAG' as \"key\", {_literal(session.query_tag)} as \"value\""
    names = {"user": session.user, "role": session.role, "warehouse": session.warehouse}
    return _FUNCTIONS.sub(lambda found: _literal(names[found[1].lower()]), sql)


def _removed(sql: str) -> str:
    """Do the REMOVE that fakesnow does not know; the statement that answers it."""
    found = _REMOVE.fullmatch(sql)
    if not found:
        return sql
    files = Path(stage.LOCAL_BUCKET_PATH)
    target = files.joinpath(*found.group("database", "schema", "stage", "path")).resolve()
    if not target.is_relative_to(files) or not target.exists():
        return "select '' as \"name\", '' as \"result\" where false"
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    return f"select {_literal(found['path'])} as \"name\", 'removed' as \"result\""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _replaced(route: BaseRoute, ours: Mapping[str, Any]) -> BaseRoute:
    path = getattr(route, "path", "")
    return Route(path, ours[path], methods=["POST"]) if path in ours else route


async def _json_body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    body: dict[str, Any] = json.loads(gzip.decompress(raw) if request.headers.get("Content-Encoding") == "gzip" else raw)
    return body


def _with_body(request: Request, body: Mapping[str, Any]) -> Request:
    raw = json.dumps(body).encode()
    headers = [(name, value) for name, value in request.scope["headers"] if name not in (b"content-encoding", b"content-length")]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    return Request({**request.scope, "headers": headers}, receive)


def mend_fakesnow() -> None:
    """Put right what fakesnow 0.12 does unlike Snowflake and the portal would trip over."""
    whole_struct, whole_comment = arrow.timestamp_to_sf_struct, info_schema.insert_table_comment_sql

    def struct_with_nulls(times: Any) -> Any:
        """fakesnow answers a missing timestamp as 1970."""
        times = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
        filled = whole_struct(times.fill_null(0))
        return pa.StructArray.from_arrays(filled.flatten(), fields=list(filled.type), mask=times.is_null())

    def comment_if_any(catalog: str, schema: str, table: str, comment: str | None) -> str:
        """fakesnow notes the missing comment of MERGE's own temporary table in a second database, which ends the transaction."""
        return "select 1" if comment is None else whole_comment(catalog, schema, table, comment)

    arrow.timestamp_to_sf_struct, info_schema.insert_table_comment_sql = struct_with_nulls, comment_if_any


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            host, port = listening.getsockname()[:2]
            print(f"ready http://{host}:{port}", flush=True)


def serve(root: Path, accounts: Accounts, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    databases, files = root / "databases", root / "stages"
    for folder in (databases, files):
        folder.mkdir(parents=True, exist_ok=True)
    Path(stage.LOCAL_BUCKET_PATH).rmdir()  # fakesnow makes one in the temporary folder when it is imported
    stage.LOCAL_BUCKET_PATH = str(files.resolve())
    mend_fakesnow()
    fake.shared_fs = FakeSnow(db_path=databases)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    server = _Server(uvicorn.Config(Front(accounts).app(), log_level="warning", access_log=False, timeout_graceful_shutdown=2))
    warnings.filterwarnings("ignore", category=UserWarning, module="fakesnow")
    logging.getLogger("fakesnow.server").setLevel(logging.WARNING)
    try:
        server.run(sockets=[listening])
    finally:
        fake.shared_fs.duck_conn.close()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.upper(), value


def _key_pair(text: str) -> tuple[str, Any]:
    name, file = _pair(text)
    try:
        return name, serialization.load_pem_public_key(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{file} is no public key in PEM: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m embedded.snowflake", description="Snowflake for the demo and the tests, on 127.0.0.1.",
        fromfile_prefix_chars="@", epilog="@FILE reads arguments from a file, one a line, so that passwords stay off the command line.",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--root", type=Path, default=None, help="folder of databases and stages (default: a temporary one)")
    parser.add_argument("--user", type=_pair, action="append", default=[], metavar="NAME=PASSWORD", help="who may sign in with a password")
    parser.add_argument("--user-key", type=_key_pair, action="append", default=[], metavar="NAME=PUBLIC.PEM", help="who may sign in with a key pair")
    arguments = parser.parse_args()
    root = arguments.root or Path(tempfile.mkdtemp(prefix="box-snowflake-"))
    try:
        serve(root, Accounts(dict(arguments.user), dict(arguments.user_key)), arguments.port)
    except OSError as error:
        parser.exit(1, f"embedded.snowflake: port {arguments.port} cannot be used: {error.strerror}\n")


if __name__ == "__main__":
    main()
