"""The sign-in page: one form for local accounts, one link to the provider with OpenID Connect; no script."""

from __future__ import annotations

import asyncio
import html
import secrets
import time
from collections import defaultdict, deque
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from portal import settings
from portal.ui import access, accounts, provider, sessions
from portal.ui.access import Mode

NEXT_COOKIE = "portal_next"
"""Holds the page that was asked for during the round trip to the provider, which Streamlit forgets."""

_FORM_COOKIE = "portal_form"
_MOST_BYTES = 4096
_MOST_FAILURES, _WITHIN_S = 5, 300.0
_MOST_REMEMBERED = 10_000
_attempts: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
_hashing = asyncio.Semaphore(2)
"""Each check of a password takes 64 MiB; more at once would let strangers fill the memory."""

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in · Data Operations Portal</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="/app/static/favicon.svg"><style>
@font-face{font-family:Inter;src:url(/app/static/inter-latin-wght-normal.woff2);font-weight:100 900}
:root{--bg:#F8FAFC;--box:#FFF;--text:#0F172A;--line:#CBD5E1;--blue:#1D4ED8;--red:#B91C1C}
@media(prefers-color-scheme:dark){:root{--bg:#080D18;--box:#0B1220;--text:#E5EAF3;--line:#2B3950;--blue:#3B82F6;--red:#F87171}}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--bg);color:var(--text);font:400 14px/1.45 Inter,system-ui,sans-serif}
main{width:20rem;padding:2rem;background:var(--box);border:1px solid var(--line);border-radius:8px}
h1{font-size:18px;font-weight:600;margin:.75rem 0 1.25rem}label{display:block;margin:.9rem 0;font-weight:500}
input{box-sizing:border-box;width:100%;margin-top:.3rem;padding:.5rem .6rem;border:1px solid var(--line);
border-radius:6px;background:transparent;color:inherit;font:inherit}
button,.button{box-sizing:border-box;display:block;width:100%;margin-top:.6rem;padding:.55rem;border:0;border-radius:6px;background:var(--blue);
color:#FFF;font:600 14px Inter,system-ui,sans-serif;text-align:center;text-decoration:none;cursor:pointer}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}[role=alert]{color:var(--red);font-weight:500}
</style></head><body><main><img src="/app/static/favicon.svg" width="28" height="28" alt=""><h1>Data Operations Portal</h1>@ERROR@
@BODY@</main></body></html>"""
_FORM = """<form method="post"><input type="hidden" name="token" value="@TOKEN@"><input type="hidden" name="next" value="@NEXT@">
<label>User name<input name="name" autocomplete="username" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form>"""
_LINK = """<a class="button" href="/sign-in/start?next=@NEXT@">Sign in</a>"""


def local_path(wanted: str) -> str:
    """Return a path of this site and nothing else; '/' for anything that could lead elsewhere."""
    fits = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable() and wanted.isascii()
    return wanted if fits else "/"


async def page(request: Request) -> Response:
    wanted = local_path(request.query_params.get("next", "/"))
    if access.mode(settings.load()) is not Mode.OIDC:
        return _form(request, wanted)
    failed = "The sign-in did not work. Please try again." if "failed" in request.query_params else ""
    return _shown(_LINK.replace("@NEXT@", quote(wanted)), failed)


async def start(request: Request) -> Response:
    """Send the browser to the provider, and keep in mind where to lead it back to."""
    if access.mode(settings.load()) is not Mode.OIDC:
        return RedirectResponse("/sign-in", 303)
    response = RedirectResponse(provider.start_url(), 303)
    wanted, secure = local_path(request.query_params.get("next", "/")), request.url.scheme == "https"
    response.set_cookie(NEXT_COOKIE, quote(wanted), max_age=600, httponly=True, samesite="lax", secure=secure)
    return response


async def answer(request: Request) -> Response:
    """Check name and password; a wrong pair looks the same whichever of the two is wrong."""
    if access.mode(settings.load()) is Mode.OIDC:
        return RedirectResponse("/sign-in", 303)
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return _form(request, "/", "The form is too long.", 413)
    given = {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
    name, wanted = given.get("name", ""), given.get("next", "/")
    expected = request.cookies.get(_FORM_COOKIE, "")
    if not expected or not secrets.compare_digest(given.get("token", "").encode(), expected.encode()):
        return _form(request, wanted, "The form was open too long. Please try again.", 403)
    who = (request.client.host if request.client else "", name)
    if _too_many(who):
        return _form(request, wanted, "Too many wrong attempts. Wait five minutes.", 429)
    current = settings.load()
    _attempts[who].append(time.monotonic())  # before the check, so that guesses sent all at once are counted too
    async with _hashing:
        found = await run_in_threadpool(accounts.check, current, name, given.get("password", ""))
    if found is None:
        return _form(request, wanted, "Wrong user name or password.", 401)
    _attempts.pop(who, None)
    response = RedirectResponse(local_path(wanted), 303)
    secure = request.url.scheme == "https"
    response.set_cookie(sessions.COOKIE, sessions.issue(current, name), max_age=sessions.LIFETIME_S, httponly=True, samesite="lax", secure=secure)
    return response


async def leave(request: Request) -> Response:
    response = RedirectResponse("/auth/logout" if access.mode(settings.load()) is Mode.OIDC else "/sign-in", 303)
    response.delete_cookie(sessions.COOKIE)
    return response


def _too_many(who: tuple[str, str]) -> bool:
    if len(_attempts) > _MOST_REMEMBERED:
        for other in list(_attempts):
            _forget_old(other)
    _forget_old(who)
    return len(_attempts.get(who, ())) >= _MOST_FAILURES


def _forget_old(who: tuple[str, str]) -> None:
    seen = _attempts[who]
    while seen and seen[0] < time.monotonic() - _WITHIN_S:
        seen.popleft()
    if not seen:
        del _attempts[who]


def _form(request: Request, wanted: str, error: str = "", status: int = 200) -> Response:
    token = secrets.token_urlsafe(16)
    response = _shown(_FORM.replace("@TOKEN@", token).replace("@NEXT@", html.escape(local_path(wanted), quote=True)), error, status)
    response.set_cookie(_FORM_COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response


def _shown(body: str, error: str, status: int = 200) -> Response:
    told = f'<p role="alert">{html.escape(error)}</p>' if error else ""
    return HTMLResponse(_PAGE.replace("@ERROR@", told).replace("@BODY@", body), status, headers={"cache-control": "no-store"})
