"""fakesnow's own application behind a front: sign-in checked, the session's identity answered truly, tables on Azure read for real."""

from __future__ import annotations

import gzip
import importlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakesnow.transforms import stage
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from embedded.snowflake.accounts import Accounts
from embedded.snowflake.answers import INTERNAL, Refused, literal
from embedded.snowflake.lake import Lake

fake = importlib.import_module("fakesnow.server")  # the package hides the module behind a function of the same name

_FUNCTIONS = re.compile(r"\bcurrent_(user|role|warehouse)\s*\(\s*\)", re.IGNORECASE)
_REMOVE = re.compile(r"""\s*remove\s+@"(?P<database>[^"/]+)"\."(?P<schema>[^"/]+)"\."(?P<stage>[^"/]+)"/(?P<path>[\w./-]+)\s*""", re.IGNORECASE)
_SHOW_TAG = re.compile(r"\s*show\s+parameters\s+like\s+'query_tag'", re.IGNORECASE)


@dataclass(frozen=True)
class _Session:
    """What fakesnow does not keep of a login."""

    user: str
    role: str
    warehouse: str
    query_tag: str


class Front:
    """fakesnow's own application with sign-in checked and the session's identity answered truly."""

    def __init__(self, accounts: Accounts, lake: Lake) -> None:
        self._accounts, self._lake = accounts, lake
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
        token = request.headers.get("Authorization", "")[17:-1]
        session, theirs = self._sessions.get(token), fake.sessions.get(token)
        if session and theirs:
            sql = str(body["sqlText"])
            try:
                ours = await run_in_threadpool(self._lake.answer, sql, theirs)
            except Refused as refused:
                return _refusal(refused)
            except Exception as error:  # else the connector would ask again and again, and do it again each time
                return _refusal(Refused(INTERNAL, f"SQL execution internal error: {type(error).__name__}: {error}"))
            body["sqlText"] = ours or _with_identity(_removed(sql), session)
        return await fake.query_request(_with_body(request, body))


def _refusal(refused: Refused) -> Response:
    data = {"errorCode": refused.code, "sqlState": refused.state}
    return JSONResponse({"data": data, "code": refused.code, "message": refused.message, "success": False})


def _with_identity(sql: str, session: _Session) -> str:
    if _SHOW_TAG.match(sql):
        return f"select 'QUERY_TAG' as \"key\", {literal(session.query_tag)} as \"value\""
    names = {"user": session.user, "role": session.role, "warehouse": session.warehouse}
    return _FUNCTIONS.sub(lambda found: literal(names[found[1].lower()]), sql)


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
    return f"select {literal(found['path'])} as \"name\", 'removed' as \"result\""


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
