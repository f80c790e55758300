"""The gate in front of every request and WebSocket: who may come in, from which page, and with which headers it goes out.

Streamlit checks its own sign-in only inside the script; this covers files, downloads and the WebSocket too.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from urllib.parse import quote, unquote, urlsplit

from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from portal import settings
from portal.errors import PortalError, SettingError, explain
from portal.ui import access, accounts, headers, provider, sessions, sign_in
from portal.ui.access import Mode

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CLOSED = ("/_stcore/metrics", "/_stcore/upload_file", "/_stcore/script-health-check", "/_stcore/agent")
_OPEN = ("/sign-in", "/_stcore/health", "/app/static/")


def routes() -> list[BaseRoute]:
    """The addresses of ours beside Streamlit's."""
    return [
        Route("/sign-in", sign_in.page, methods=["GET"]),
        Route("/sign-in", sign_in.answer, methods=["POST"]),
        Route("/sign-in/start", sign_in.start, methods=["GET"]),
        Route("/sign-out", sign_in.leave),
    ]


def middleware() -> list[Middleware]:
    """The gate; ends the process with a clear message when the server would be open to others without sign-in."""
    try:
        provider.check_settings()
        check_address(str(config.get_option("server.address") or "0.0.0.0"), access.mode(settings.load()))  # noqa: S104 - what Streamlit does without an address
    except PortalError as error:
        print(explain(error), file=sys.stderr)
        sys.exit(2)
    return [Middleware(Gate)]


def check_address(address: str, how: Mode) -> None:
    """Raises SettingError when nobody has to sign in and others could come in."""
    if how is Mode.OPEN and address not in LOOPBACK:
        raise SettingError(
            f"The launcher will not listen on {address}: no sign-in is configured, so anybody could submit jobs.",
            hint="Add accounts with `python -m portal.ui.users add NAME --role admin`, configure OpenID Connect in .streamlit/secrets.toml, "
            "or leave --server.address at 127.0.0.1.",
        )


class Gate:
    """ASGI middleware. `portal.ui.access` asks again inside the script; here strangers do not even get that far."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = await asyncio.to_thread(_refusal, HTTPConnection(scope))
        if scope["type"] == "websocket":
            await (send({"type": "websocket.close", "code": 4403}) if refusal else self.app(scope, receive, send))
            return
        guarded = functools.partial(_with_headers, send)
        if refusal:
            await refusal(scope, receive, guarded)
        else:
            await self.app(scope, receive, _returning(HTTPConnection(scope), guarded))


async def _with_headers(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", []), *headers.security_headers()]
    await send(message)


def _refusal(connection: HTTPConnection) -> Response | None:
    """Return the answer for whoever may not come in, None for who may."""
    if connection.url.path.startswith(_CLOSED):
        return PlainTextResponse("Not found", 404)
    if not _same_origin(connection):
        return PlainTextResponse("This request comes from another site.", 403)
    how = access.mode(current := settings.load())
    if how is Mode.OPEN:
        return (
            None if _host(connection) in LOOPBACK else PlainTextResponse("Without sign-in the portal answers only to 127.0.0.1 and localhost.", 403)
        )
    if connection.url.path.startswith(_OPEN if how is Mode.LOCAL else (*_OPEN, *provider.PATHS)) or _known(how, current, connection):
        return None
    return _asked_to_sign_in(how, connection)


def _asked_to_sign_in(how: Mode, connection: HTTPConnection) -> Response:
    """A page of ours leads to the provider at once, the front page does not: it is where signing out and what failed end."""
    if "text/html" not in connection.headers.get("accept", ""):
        return PlainTextResponse("Sign in first.", 401)
    wanted = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
    page = "/sign-in/start" if how is Mode.OIDC and wanted != "/" else "/sign-in"
    return RedirectResponse(f"{page}?next={quote(wanted)}", 303)


def _known(how: Mode, current: settings.Settings, connection: HTTPConnection) -> bool:
    if how is Mode.OIDC:
        return provider.claims(connection.cookies) is not None
    name = sessions.name_in(current, connection.cookies.get(sessions.COOKIE, ""))
    return bool(name and name in accounts.read(current))


def _same_origin(connection: HTTPConnection) -> bool:
    """A browser names the page's origin on every WebSocket and POST; what lacks it there is no page of ours."""
    origin = connection.headers.get("origin")
    if origin is None:
        return connection.scope["type"] == "http" and connection.scope["method"] in ("GET", "HEAD")
    return urlsplit(origin).netloc == connection.headers.get("host")


def _host(connection: HTTPConnection) -> str:
    return urlsplit(f"//{connection.headers.get('host', '')}").hostname or ""


def _returning(connection: HTTPConnection, send: Send) -> Send:
    """Lead whoever comes back from the identity provider to the page they wanted."""
    if not connection.url.path.startswith("/oauth2callback"):
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and 300 <= int(message["status"]) < 400:
            message["headers"] = _led_back(connection, list(message.get("headers", [])))
        await send(message)

    return sending


def _led_back(connection: HTTPConnection, found: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Only a sign-in that worked leads to the page: a page that sends strangers to the provider again would send them round for ever."""
    wanted = sign_in.local_path(unquote(connection.cookies.get(sign_in.NEXT_COOKIE, "")))
    kept = [(name, value) for name, value in found if name.lower() != b"location"]
    if any(name.lower() == b"set-cookie" and _signs_in(value) for name, value in found):
        return [*kept, (b"location", wanted.encode()), (b"set-cookie", f"{sign_in.NEXT_COOKIE}=; Path=/; Max-Age=0".encode())]
    answered = {"code", "error"} & connection.query_params.keys()
    if answered and provider.claims(connection.cookies) is None:
        return [*kept, (b"location", f"/sign-in?failed=1&next={quote(wanted)}".encode())]
    return found


def _signs_in(cookie: bytes) -> bool:
    return cookie.startswith(f"{provider.COOKIE}=".encode()) and b"max-age=0" not in cookie.lower()
